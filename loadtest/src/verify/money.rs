//! Money: what the order service booked, and what the payment provider says it took.

use std::collections::HashMap;

use serde::Deserialize;
use sqlx::postgres::PgPool;
use uuid::Uuid;

use super::Check;
use super::orders::{Orders, is_paid};
use crate::http::{Agent, Call};
use crate::stack::Stack;

const AREA: &str = "money";

/// Amounts of the approved attempts of each order.
pub(super) type Attempts = HashMap<Uuid, Vec<i64>>;

/// A payment at the provider.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Payment {
    order_id: String,
    status: String,
    total_amount: i64,
}

/// The provider's list.
#[derive(Debug, Deserialize)]
struct Payments {
    items: Vec<Payment>,
}

/// Payments that the order service booked as approved.
pub(super) async fn attempts(pool: &PgPool, product: i64) -> anyhow::Result<Attempts> {
    let rows: Vec<(Uuid, i64)> = sqlx::query_as(
        "SELECT order_id, amount FROM payment_attempt JOIN order_hold USING (order_id)
         WHERE product_id = $1 AND state = 'approved'",
    )
    .bind(product)
    .fetch_all(pool)
    .await?;
    let mut attempts = Attempts::new();
    for (order, amount) in rows {
        attempts.entry(order).or_default().push(amount);
    }
    Ok(attempts)
}

/// All payments that the provider knows.
pub(super) async fn provider(stack: &Stack, agent: &Agent) -> anyhow::Result<Vec<Payment>> {
    let call = Call::get(format!("{}/sandbox/payments", stack.payment_sandbox));
    let list: Payments = agent.send(&call).await?.success("the provider's payments")?;
    Ok(list.items)
}

/// What must hold of the money.
pub(super) fn checks(orders: &Orders, attempts: &Attempts, payments: &[Payment]) -> Vec<Check> {
    let paid = || orders.iter().filter(|(_, order)| is_paid(order.state));
    let booked = |id: &Uuid| attempts.get(id).map_or(&[][..], Vec::as_slice);
    let unbooked = paid().filter(|(id, order)| booked(id) != [order.total_price]);
    let stray = attempts.keys().filter(|id| !orders.get(*id).is_some_and(|order| is_paid(order.state)));
    let taken: Vec<(Uuid, i64)> = payments
        .iter()
        .filter(|payment| payment.status == "DONE")
        .filter_map(|payment| Some((payment.order_id.parse().ok()?, payment.total_amount)))
        .filter(|(id, _)| orders.contains_key(id))
        .collect();
    let unwanted = taken.iter().filter(|(id, _)| !is_paid(orders[id].state));
    let took: i64 = taken.iter().map(|(_, amount)| amount).sum();
    let owed: i64 = paid().map(|(_, order)| order.total_price).sum();
    vec![
        Check::new(AREA, "a paid order has one approved payment of its price", unbooked.map(|(id, _)| id)),
        Check::new(AREA, "an approved payment belongs to a paid order", stray),
        Check::new(AREA, "the provider took nothing for an unpaid order", unwanted.map(|(id, _)| id)),
        Check::one(
            AREA,
            "the provider took what the paid orders cost",
            took == owed,
            format!("took {took} won, owed {owed} won"),
        ),
    ]
}
