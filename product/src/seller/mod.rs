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

pub use common::wire::catalog::{OwnView as Own, SaleView, Units};

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
