//! What people asked to be told: one subscription per account and product covers that its sale begins soon, that it has
//! begun, and that the product is back in stock.

pub(crate) mod http;
mod store;

pub(crate) use store::PER_ACCOUNT_MAX;
