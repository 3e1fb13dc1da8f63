//! The provider has the money for an attempt that nobody waits for any more: counted as declined, or its order ended
//! meanwhile. Nobody is charged without an order: it becomes one again, or the money goes back.

use common::wire::Time;
use serde_json::Value;
use sqlx::PgConnection;

use super::{Attempt, rules, store};
use crate::app::App;
use crate::error::Error;
use crate::order::rules::Trigger;
use crate::order::{self, By, Order, Step, resend};
use crate::refund;

/// Takes the money of such an attempt; its order is locked. Returns the order's transitions, which are written, and
/// nothing when somebody else has taken it.
///
/// # Errors
/// The database's.
pub async fn approved(
    tx: &mut PgConnection,
    (order, attempt): (&mut Order, &Attempt),
    (raw, by): (&Value, By),
    now: Time,
) -> Result<Option<Vec<Step>>, Error> {
    let alone = !store::has_other(tx, attempt).await?;
    let triggers = rules::paid_late(order.state, alone);
    let state = if triggers.is_empty() { "surplus" } else { "approved" };
    if !store::approve_late(tx, attempt.id, state, raw, now).await? {
        return Ok(None);
    }
    tracing::warn!(order.id = %order.id, payment.id = %attempt.id, from = order::rules::name(order.state), state, "paid late");
    let mut steps = Vec::with_capacity(triggers.len());
    for trigger in triggers {
        let step = order.take(*trigger, by, now).map_err(anyhow::Error::new)?;
        // One at a time: a statement moves an order once.
        order::store::advance(tx, std::slice::from_ref(&step), now).await?;
        if *trigger == Trigger::PaidLate {
            order::store::begin_again(tx, order.id, now + chrono::Duration::seconds(resend::PATIENCE_S))
                .await?;
        }
        steps.push(step);
    }
    if triggers.is_empty() {
        refund::owe(tx, attempt.id, "paid twice, or too late", now).await?;
    }
    Ok(Some(steps))
}

/// The same for an attempt that was counted as declined, in a transaction of its own.
///
/// # Errors
/// The database's.
pub async fn settle(app: &App, attempt: &Attempt, raw: &Value) -> Result<(), Error> {
    let now = app.clock.now();
    let mut tx = app.pg.begin().await?;
    let mut order = order::store::lock_one(&mut tx, attempt.order).await?.ok_or(Error::UnknownOrder)?;
    let taken = approved(&mut tx, (&mut order, attempt), (raw, By::System), now).await?;
    let Some(steps) = taken else { return Ok(()) };
    if let Some(last) = steps.last() {
        super::settle::restate(&mut tx, attempt, last.to).await?;
    }
    tx.commit().await?;
    app.metrics.payments_total.with_label_values(&["late"]).inc();
    app.committed(&steps);
    Ok(())
}
