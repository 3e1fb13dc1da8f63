//! Takes a payment's outcome: attempt, order, stored answer, events and stock commands in one transaction.

use axum::http::StatusCode;
use common::wire::order::{OrderState, PaymentView};
use sqlx::PgConnection;

use super::provider::Outcome;
use super::{Attempt, late, rules, store};
use crate::app::App;
use crate::error::Error;
use crate::idempotency::{self, Answer};
use crate::order::rules::Trigger;
use crate::order::{self, By, Order, Step};

/// Stores what became of an attempt, and gives the answer to its buyer. Of two that settle one attempt the first
/// counts; the second gives the first one's answer.
///
/// # Errors
/// The database's.
pub async fn settle(app: &App, attempt: &Attempt, outcome: &Outcome, by: By) -> Result<Answer, Error> {
    let now = app.clock.now();
    let route = attempt.route();
    let name = (attempt.user.0, &*route, &*attempt.user_key);
    let mut tx = app.pg.begin().await?;
    let mut order = order::store::lock_one(&mut tx, attempt.order).await?.ok_or(Error::UnknownOrder)?;
    // The order may wait for nothing by now, or for another attempt.
    if let Outcome::Approved(raw) = outcome
        && !(rules::awaits_approval(order.state, order.reviving)
            && store::end(&mut tx, attempt.id, ("approved", None), Some(raw), now).await?)
    {
        let taken = late::approved(&mut tx, (&mut order, attempt), (raw, by), now).await?;
        let stored = idempotency::store::stored(&mut tx, name).await?;
        let Some(steps) = taken else { return Ok(stored.unwrap_or_else(|| paying(attempt))) };
        let answer = match stored {
            // Its money goes back: what was said stands.
            Some(answer) if steps.is_empty() => answer,
            _ => restate(&mut tx, attempt, order.state).await?,
        };
        tx.commit().await?;
        app.committed(&steps);
        return Ok(answer);
    }
    let mut end = End { tx: &mut tx, order, by, now };
    let (settled, result) = match outcome {
        Outcome::Approved(_) => (Some(end.approved(attempt)?), "approved"),
        Outcome::Declined { code, message } => (end.declined(attempt, code, message).await?, "declined"),
        Outcome::Unknown(why) => (end.unknown(attempt, why).await?, "unknown"),
        Outcome::Pending => (end.unknown(attempt, "not confirmed yet").await?, "unknown"),
    };
    let Some((answer, steps)) = settled else {
        return Ok(idempotency::store::stored(&mut tx, name).await?.unwrap_or_else(|| paying(attempt)));
    };
    order::store::advance(&mut tx, &steps, now).await?;
    idempotency::store::answer(&mut tx, name, &answer).await?;
    tx.commit().await?;
    app.metrics.payments_total.with_label_values(&[result]).inc();
    app.committed(&steps);
    Ok(answer)
}

struct End<'a> {
    tx: &'a mut PgConnection,
    order: Order,
    by: By,
    now: common::wire::Time,
}

/// The answer and the order's transitions; nothing when somebody else has ended the attempt.
type Settled = Result<Option<(Answer, Vec<Step>)>, Error>;

impl End<'_> {
    fn approved(&mut self, attempt: &Attempt) -> Result<(Answer, Vec<Step>), Error> {
        let step = self.order.take(Trigger::Approved, self.by, self.now).map_err(anyhow::Error::new)?;
        let answer = view(attempt, StatusCode::OK, self.order.state);
        Ok((answer, vec![step]))
    }

    async fn declined(&mut self, attempt: &Attempt, code: &str, message: &str) -> Settled {
        if !store::end(self.tx, attempt.id, ("declined", Some(code)), None, self.now).await? {
            return Ok(None);
        }
        let in_time = !self.order.is_over(self.now);
        let step = self.order.take(Trigger::Declined { in_time }, self.by, self.now).inspect_err(|illegal| {
            tracing::error!(order.id = %attempt.order, payment.id = %attempt.id, %illegal, "declined without an order");
        });
        let said = if message.is_empty() { code } else { message };
        let answer = Answer::new(StatusCode::PAYMENT_REQUIRED, &said);
        Ok(Some((answer, step.into_iter().collect())))
    }

    async fn unknown(&mut self, attempt: &Attempt, why: &str) -> Settled {
        tracing::warn!(order.id = %attempt.order, payment.id = %attempt.id, why, "payment's outcome is unknown");
        let open = store::postpone(self.tx, attempt, why, self.now).await?;
        Ok(open.then(|| (paying(attempt), Vec::new())))
    }
}

/// Replaces the stored answer of an attempt's buyer; returns the new one.
///
/// # Errors
/// The database's.
pub async fn restate(
    tx: &mut PgConnection,
    attempt: &Attempt,
    state: OrderState,
) -> Result<Answer, sqlx::Error> {
    let status = if state == OrderState::Paid { StatusCode::OK } else { StatusCode::ACCEPTED };
    let answer = view(attempt, status, state);
    let name = (attempt.user.0, &*attempt.route(), &*attempt.user_key);
    idempotency::store::answer(tx, name, &answer).await?;
    Ok(answer)
}

fn paying(attempt: &Attempt) -> Answer {
    view(attempt, StatusCode::ACCEPTED, OrderState::Paying)
}

fn view(attempt: &Attempt, status: StatusCode, state: OrderState) -> Answer {
    Answer::new(status, &PaymentView { order_id: attempt.order, state, payment_id: attempt.id })
}
