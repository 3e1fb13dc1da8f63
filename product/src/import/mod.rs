//! Bulk import: a seller's CSV, or a remote JSON API page by page, becomes products.
//!
//! Rows are stored as they came, in batches, before the answer; workers of every instance turn each batch into products
//! in one transaction, which also removes it. Whatever is killed, the rest goes on. A row that comes again is known by
//! the seller's own `externalId`. Imported products are told to the other services behind the import, at a pace that
//! leaves the log to the sales that run ([`crate::sale::turn`]).
//!
//! - [`csv`]: rows of a file. [`remote`]: pages of an address, which must not lead inside. [`rules`]: a row as a product.
//! - [`store`]: SQL. [`work`]: batches. [`fetch`]: pages. [`http`]: the URLs.

pub mod csv;
pub mod fetch;
pub mod http;
pub mod remote;
pub mod rules;
pub mod store;
pub mod work;

pub use common::wire::catalog::{ImportState as State, ImportView as View, RowRejection as Rejection};

use serde_json::{Map, Value};

/// A row as it came: the fields of a product, with `externalId`.
pub type Row = Map<String, Value>;

/// Rows of one import at most.
pub const ROWS_MAX: usize = 100_000;
/// Rows of a batch: some tens of milliseconds of one transaction.
pub const BATCH: usize = 250;
