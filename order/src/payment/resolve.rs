//! Asks the provider about attempts whose outcome is unknown. Every replica runs it; attempts are leased.

use std::time::Duration;

use common::stop::Stop;
use futures::future::join_all;

use super::provider::{Outcome, Provider as _};
use super::settle::settle;
use super::{Attempt, late, store};
use crate::app::App;
use crate::error::Error;
use crate::order::By;

/// Between two looks.
const TICK: Duration = Duration::from_millis(500);
/// Attempts that are asked about at once: few enough that a slow provider does not take all connections.
const BATCH: i64 = 16;
/// An attempt that is unknown for longer needs a person, in minutes. Its units stay held.
const ALARM_MIN: i64 = 15;
/// After this long it is cancelled at the provider and the order ends, in hours.
const GIVE_UP_H: i64 = 24;

/// How old an attempt is when it is given up.
pub fn give_up() -> chrono::Duration {
    chrono::Duration::hours(GIVE_UP_H)
}

/// Resolves attempts until the stop.
pub async fn run(app: App, stop: Stop) {
    while stop.pause(TICK).await {
        match store::claim_open(&app.pg, app.clock.now(), BATCH).await {
            Ok(open) => drop(join_all(open.iter().map(|attempt| resolve(&app, attempt))).await),
            Err(error) => tracing::warn!(%error, "open payments not looked at; trying again"),
        }
    }
}

async fn resolve(app: &App, attempt: &Attempt) {
    let settled = if attempt.declined { follow(app, attempt).await } else { ask(app, attempt).await };
    if let Err(error) = settled {
        let cause = format!("{:#}", anyhow::Error::new(error));
        tracing::warn!(cause, payment.id = %attempt.id, "payment not settled; trying again");
    }
}

async fn ask(app: &App, attempt: &Attempt) -> Result<(), Error> {
    let age = app.clock.now() - attempt.created_at;
    if age > chrono::Duration::minutes(ALARM_MIN) {
        tracing::error!(order.id = %attempt.order, payment.id = %attempt.id, "payment is unknown for too long");
    }
    let outcome = match app.provider.find(attempt).await {
        Outcome::Unknown(_) | Outcome::Pending if age >= give_up() => app.provider.void(attempt).await,
        // Nobody has confirmed it: the first call never arrived. The same key makes a second arrival harmless.
        Outcome::Pending => app.provider.confirm(attempt).await,
        outcome => outcome,
    };
    settle(app, attempt, &outcome, By::System).await?;
    Ok(())
}

/// The provider hints that an attempt, which was counted as declined, is something else.
async fn follow(app: &App, attempt: &Attempt) -> Result<(), Error> {
    let clear = match app.provider.find(attempt).await {
        Outcome::Approved(raw) => return late::settle(app, attempt, &raw).await,
        Outcome::Declined { .. } | Outcome::Pending => true,
        Outcome::Unknown(_) => false,
    };
    Ok(store::followed(&app.pg, attempt, clear, app.clock.now()).await?)
}
