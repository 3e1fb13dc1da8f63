//! Categories: a tree that ADMIN keeps. Products hang at any of its nodes; a search by one finds all below it.
//!
//! - [`rules`]: what a category may be called, and where it may hang. [`store`]: SQL. [`http`]: its URLs.

pub mod http;
pub mod rules;
pub mod store;

use garde::Validate;
use serde::Deserialize;

/// What ADMIN says of a category. A change replaces all of it.
#[derive(Debug, Clone, Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct Wish {
    /// 1 to 999,999,999; at registration alone.
    pub category_code: Option<i32>,
    /// 1 to 20 characters, of no other category.
    pub category_name: String,
    /// The category that it belongs to; none at the top.
    pub parent_code: Option<i32>,
}
