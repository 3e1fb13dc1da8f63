//! What sellers see of their own: products, and each sale as it runs.
//!
//! Units come from the stock stage's tables. Who was let in and ordered is counted from `queue.events.v1` ([`events`]),
//! because only the log knows what was before: it is the same whichever instance answers and whatever was restarted. Who
//! waits and is inside at this moment is asked of queue-server itself ([`sale`]): counting that from the log would mean
//! to keep every ticket here a second time. Where queue-server does not answer, these two are missing and the rest is not.
//!
//! - [`store`]: SQL. [`live`]: streams. [`http`]: the URLs.

pub mod events;
pub mod http;
pub mod live;
pub mod sale;
pub mod store;

use common::wire::Time;
use common::wire::id::{CompanyId, ProductId};
use common::wire::money::Won;
use common::wire::product::SaleState;
use serde::Serialize;

/// Where a sale's units are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Units {
    /// Ever given to the sale.
    pub total: i64,
    /// Can be ordered.
    pub available: i64,
    /// Held by orders that are not paid.
    pub reserved: i64,
    /// Paid.
    pub sold: i64,
}

/// A product in its seller's list.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Own {
    /// The product.
    pub product_id: ProductId,
    /// Its company.
    pub company_id: CompanyId,
    /// Its name.
    pub product_name: String,
    /// Price.
    pub discounted_price: Won,
    /// Where its sale stands; drafts are in the list.
    pub state: SaleState,
    /// Its units.
    pub units: Units,
    /// First moment of the sale.
    pub sale_start_time: Time,
    /// First moment after it.
    pub sale_end_time: Time,
    /// What it was imported as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// When it was last changed.
    pub updated_at: Time,
}

/// People of a waiting room since the beginning.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct People {
    /// Tickets made.
    pub joined: i64,
    /// Admissions that began.
    pub let_in: i64,
    /// Admissions that ended with an order.
    pub ordered: i64,
}

/// A sale as it runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SaleView {
    /// The product.
    pub product_id: ProductId,
    /// Where the sale stands.
    pub state: SaleState,
    /// Its units.
    pub units: Units,
    /// Tickets made.
    pub joined: i64,
    /// Admissions that began.
    pub let_in: i64,
    /// Of these, the share that ordered, 0 to 1; absent while nobody was let in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversion: Option<f64>,
    /// People in the line now; absent while queue-server does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u64>,
    /// People inside now, and not ordered yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inside: Option<u64>,
}
