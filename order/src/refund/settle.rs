//! Takes a refund's outcome: refund, payment, order, stored answer and events in one transaction.

use axum::http::StatusCode;
use common::wire::Time;
use common::wire::money::Won;
use common::wire::order::{OrderState, RefundView};
use sqlx::PgConnection;

use super::{Refund, store};
use crate::app::App;
use crate::error::Error;
use crate::idempotency::{self, Answer};
use crate::order::rules::Trigger;
use crate::order::{self, Order, Step, view};
use crate::payment::provider::{Provider as _, Returned};

/// Asks the provider for the money and stores what became of it.
///
/// # Errors
/// The database's.
pub async fn carry_out(app: &App, refund: &Refund) -> Result<Answer, Error> {
    let returned = match app.provider.give_back(refund).await {
        // A refusal may be about a first call whose answer was lost: the record tells.
        refused @ Returned::Refused { .. } => match app.provider.find_refund(refund).await {
            Returned::Open => refused,
            other => other,
        },
        other => other,
    };
    settle(app, refund, &returned).await
}

/// Stores what became of a refund, and gives the answer to whoever asked for it. Of two that settle one refund the
/// first counts; the second gives the first one's answer.
///
/// # Errors
/// The database's.
pub async fn settle(app: &App, refund: &Refund, returned: &Returned) -> Result<Answer, Error> {
    let now = app.clock.now();
    let mut tx = app.pg.begin().await?;
    let mut order = order::store::lock_one(&mut tx, refund.order).await?.ok_or(Error::UnknownOrder)?;
    let (first, trigger, result) = match returned {
        Returned::Done(raw) => {
            let first = store::end(&mut tx, refund, ("done", None), Some(raw), now).await?;
            let whole = refund.left_after == Won(0);
            (first, Some(Trigger::Refunded { whole, restock: app.config.restock }), "done")
        }
        // What the service owes stays owed, and somebody has to look at it.
        Returned::Refused { code, .. } if refund.asker.is_some() => {
            let first = store::end(&mut tx, refund, ("refused", Some(code)), None, now).await?;
            let partly = store::paid(&mut tx, refund.payment).await?.returned > Won(0);
            (first, Some(Trigger::RefundRefused { partly }), "refused")
        }
        Returned::Refused { code: why, .. } | Returned::Unknown(why) => {
            tracing::warn!(order.id = %refund.order, refund.id = %refund.id, why, "refund's outcome is unknown");
            (store::postpone(&mut tx, refund, why, now).await?, None, "unknown")
        }
        Returned::Open => (store::postpone(&mut tx, refund, "not made yet", now).await?, None, "unknown"),
    };
    let step = if first { step(&mut tx, (&mut order, refund), trigger, now).await? } else { None };
    let answer = answer(&mut tx, (refund, &order), returned).await?;
    if !first {
        return Ok(stored(&mut tx, refund).await?.unwrap_or(answer));
    }
    if let Some(asker) = &refund.asker {
        idempotency::store::answer(&mut tx, (asker.user.0, &asker.route, &asker.key), &answer).await?;
    }
    tx.commit().await?;
    app.metrics.refunds_total.with_label_values(&[result]).inc();
    app.committed(step.as_slice());
    Ok(answer)
}

/// The order's transition; none for money that no order is about.
async fn step(
    tx: &mut PgConnection,
    (order, refund): (&mut Order, &Refund),
    trigger: Option<Trigger>,
    now: Time,
) -> Result<Option<Step>, Error> {
    let Some(trigger) = trigger else { return Ok(None) };
    if !store::pays_order(tx, refund).await? {
        return Ok(None);
    }
    let step = order.take(trigger, refund.by(), now).map_err(anyhow::Error::new)?;
    order::store::advance(tx, std::slice::from_ref(&step), now).await?;
    Ok(Some(step))
}

async fn stored(tx: &mut PgConnection, refund: &Refund) -> Result<Option<Answer>, Error> {
    let Some(asker) = &refund.asker else { return Ok(None) };
    Ok(idempotency::store::stored(tx, (asker.user.0, &asker.route, &asker.key)).await?)
}

/// The order for a cancel, else the refund.
async fn answer(
    tx: &mut PgConnection,
    (refund, order): (&Refund, &Order),
    returned: &Returned,
) -> Result<Answer, Error> {
    if let (Returned::Refused { code, message }, false) = (returned, order.state == OrderState::RefundPending)
    {
        let said = if message.is_empty() { code } else { message };
        return Ok(Answer::new(StatusCode::CONFLICT, &said));
    }
    let pending = order.state == OrderState::RefundPending;
    let status = if pending { StatusCode::ACCEPTED } else { StatusCode::OK };
    if refund.asker.as_ref().is_some_and(|asker| asker.route.ends_with("/cancel")) {
        let (_, view) = view::one(tx, refund.order).await?.ok_or(Error::UnknownOrder)?;
        return Ok(Answer::new(status, &view));
    }
    let view = RefundView {
        refund_id: refund.id,
        order_id: refund.order,
        state: order.state,
        amount: refund.amount,
    };
    Ok(Answer::new(status, &view))
}
