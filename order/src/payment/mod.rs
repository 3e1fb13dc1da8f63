//! Payments: one attempt at a time per order, the provider's word as the truth.
//!
//! - [`http`]: what the provider's page needs, and confirming what it gave.
//! - [`rules`]: who may pay when, and how long to wait between questions. Pure.
//! - [`provider`]: the payment provider's API and what its answers mean.
//! - [`store`]: the attempts' rows.
//! - [`settle`]: takes an outcome: attempt, order, stored answer and events in one transaction.
//! - [`late`]: the provider has the money although the order has ended.
//! - [`webhook`]: the provider's hints.
//! - [`resolve`]: asks the provider about attempts whose outcome is unknown.
//!
//! No transaction is open while the provider is asked. The attempt's row is written before the call, so that a
//! process that dies in between leaves a trace for the resolver.

pub mod http;
pub mod late;
pub mod provider;
pub mod resolve;
pub mod rules;
pub mod settle;
pub mod store;
pub mod webhook;

use common::wire::Time;
use common::wire::id::{OrderId, PaymentId, UserId};
use common::wire::money::Won;

/// One try to pay one order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// Its id.
    pub id: PaymentId,
    /// The order.
    pub order: OrderId,
    /// What the provider's page gave: the provider's name of the payment.
    pub payment_key: String,
    /// Key under which the provider does it once.
    pub idempotency_key: String,
    /// What to pay.
    pub amount: Won,
    /// Who pays.
    pub user: UserId,
    /// The buyer's own key, whose stored answer the outcome becomes.
    pub user_key: String,
    /// It was counted as declined, and the provider hints at something else.
    pub declined: bool,
    /// How often the provider was asked about it.
    pub checks: u32,
    /// How often the provider had hinted at it when it was claimed.
    pub hints: i32,
    /// When it was made.
    pub created_at: Time,
}

impl Attempt {
    /// The route under which the buyer's key is claimed.
    pub fn route(&self) -> String {
        route(self.order)
    }
}

/// The route of an order's payment.
pub fn route(order: OrderId) -> String {
    format!("/api/orders/{order}/payment")
}
