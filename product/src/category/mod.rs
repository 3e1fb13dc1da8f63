//! Categories: a tree that ADMIN keeps. Products hang at any of its nodes; a search by one finds all below it.
//!
//! - [`rules`]: what a category may be called, and where it may hang. [`store`]: SQL. [`http`]: its URLs.

pub mod http;
pub mod rules;
pub mod store;

pub use common::wire::catalog::CategoryWish as Wish;
