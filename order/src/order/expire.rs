//! Gives back units that nobody paid in time. Every replica runs it; rows are taken with `SKIP LOCKED`.

use std::time::Duration;

use common::stop::Stop;

use super::rules::Trigger;
use super::{By, store};
use crate::app::App;

/// Between two looks. After a rush as many orders end each second as came: what they write, and what they give back to
/// the stock, comes in small portions, so that new orders do not wait behind a whole second of it.
const TICK: Duration = Duration::from_millis(200);
/// Orders of one transaction.
const BATCH: i64 = 500;

/// Expires orders until the stop.
pub async fn run(app: App, stop: Stop) {
    while stop.pause(TICK).await {
        if let Err(error) = expire(&app).await {
            tracing::warn!(error = format!("{error:#}"), "orders not expired; trying again");
        }
    }
}

async fn expire(app: &App) -> anyhow::Result<()> {
    loop {
        let now = app.clock.now();
        let mut tx = app.pg.begin().await?;
        let mut orders = store::lock_expired(&mut tx, now, BATCH).await?;
        let steps: Result<Vec<_>, _> =
            orders.iter_mut().map(|order| order.take(Trigger::TimeOver, By::System, now)).collect();
        let steps = steps?;
        store::advance(&mut tx, &steps, now).await?;
        tx.commit().await?;
        app.committed(&steps);
        if i64::try_from(steps.len())? < BATCH {
            return Ok(());
        }
    }
}
