//! Money on its way back to the buyer: one refund at a time per payment, the provider's word as the truth.
//!
//! - [`http`]: asking for a refund; cancelling a paid order asks for all of it.
//! - [`store`]: the rows. A row is written before the provider is called, as for payments.
//! - [`settle`]: takes an outcome: refund, payment, order, stored answer and events in one transaction.
//! - [`resolve`]: asks the provider about refunds whose outcome is unknown, and makes those that the service owes.

pub mod http;
pub mod resolve;
pub mod settle;
pub mod store;

use common::wire::Time;
use common::wire::id::{OrderId, PaymentId, RefundId, UserId};
use common::wire::money::Won;
use sqlx::PgConnection;

use crate::error::Error;
use crate::order::By;

/// One refund.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refund {
    /// Its id.
    pub id: RefundId,
    /// The payment whose money it is.
    pub payment: PaymentId,
    /// The order that was paid.
    pub order: OrderId,
    /// The provider's name of the payment.
    pub payment_key: String,
    /// Key under which the provider does it once.
    pub idempotency_key: String,
    /// What goes back.
    pub amount: Won,
    /// What stays with the shop.
    pub left_after: Won,
    /// Why, for the provider and the buyer.
    pub reason: String,
    /// Who asked for it; nobody where the service itself owes it.
    pub asker: Option<Asker>,
    /// How often the provider was asked about it.
    pub checks: u32,
    /// When it was made.
    pub created_at: Time,
}

/// Who asked for a refund, and under which key the answer is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asker {
    /// The account.
    pub user: UserId,
    /// The route of the key: the refunds' or the cancel's.
    pub route: String,
    /// The `Idempotency-Key`.
    pub key: String,
}

impl Refund {
    /// Who causes what comes of it.
    pub fn by(&self) -> By {
        self.asker.as_ref().map_or(By::System, |asker| By::User(asker.user))
    }
}

/// A payment whose money the shop has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Paid {
    /// The payment.
    pub id: PaymentId,
    /// What was paid.
    pub amount: Won,
    /// What went back before.
    pub returned: Won,
}

impl Paid {
    /// What can still go back.
    pub fn left(self) -> Won {
        Won(self.amount.0 - self.returned.0)
    }
}

/// All that is left of a payment is owed to its buyer; [`resolve`] gives it back.
///
/// # Errors
/// The database's.
pub async fn owe(tx: &mut PgConnection, payment: PaymentId, reason: &str, now: Time) -> Result<(), Error> {
    let paid = store::paid(tx, payment).await?;
    let left = paid.left();
    store::insert(tx, (paid, left), (reason, None), now).await?;
    Ok(())
}

/// The same for orders whose units could not be had a second time.
///
/// # Errors
/// The database's.
pub async fn owe_orders(tx: &mut PgConnection, orders: &[OrderId], now: Time) -> Result<(), Error> {
    for order in orders {
        match store::paid_for(tx, *order).await? {
            Some(paid) => owe(tx, paid.id, "no units left for a late payment", now).await?,
            // Only a payment revives an order, so nobody should ever read this.
            None => tracing::error!(order.id = %order, "to be refunded, and never paid"),
        }
    }
    crate::order::store::mark_not_held(tx, orders).await?;
    Ok(())
}
