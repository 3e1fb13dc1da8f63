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

use common::wire::Time;
use common::wire::id::CompanyId;
use common::wire::problem::FieldError;
use serde::Serialize;
use serde_json::{Map, Value};
use uuid::Uuid;

/// A row as it came: the fields of a product, with `externalId`.
pub type Row = Map<String, Value>;

/// Rows of one import at most.
pub const ROWS_MAX: usize = 100_000;
/// Rows of a batch: some tens of milliseconds of one transaction.
pub const BATCH: usize = 250;

/// A row that became no product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rejection {
    /// Its number, from 1, without the head of a file.
    pub row: i64,
    /// What its seller calls it, where it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// The rules that it breaks.
    pub errors: Vec<FieldError>,
}

/// Where an import stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum State {
    /// Rows wait, or pages are to come.
    Running,
    /// Every row was dealt with.
    Done,
    /// Pages are missing; the rows that came were dealt with.
    Failed,
}

/// How far an import is.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct View {
    /// The import.
    pub import_id: Uuid,
    /// For which company.
    pub company_id: CompanyId,
    /// Where it stands.
    pub state: State,
    /// Rows that were read.
    pub read: i64,
    /// Rows that became products.
    pub stored: i64,
    /// Rows whose `externalId` the company had already.
    pub known: i64,
    /// Rows that became nothing.
    pub rejected: i64,
    /// The first 1,000 of these.
    pub rejections: Vec<Rejection>,
    /// Why no further page came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// When it was asked for.
    pub created_at: Time,
    /// When the last row was dealt with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
}
