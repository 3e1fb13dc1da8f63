//! Asks the stock again when it does not answer, and gives up after a while. The same command again is harmless: the
//! stock knows the attempt, and an answer that comes too late is given back.

use std::time::Duration;

use common::stop::Stop;
use common::wire::event::StockCommand;
use common::wire::id::OrderId;

use super::rules::Trigger;
use super::{By, events, store};
use crate::app::App;
use crate::refund;

/// Between two looks.
const TICK: Duration = Duration::from_secs(1);
/// Orders of one transaction.
const BATCH: i64 = 500;
/// The stock has this long for its answer, in seconds.
pub const PATIENCE_S: i64 = 30;
/// It is asked again this often before the order fails.
const RESENDS_MAX: i32 = 5;

/// Asks again until the stop.
pub async fn run(app: App, stop: Stop) {
    while stop.pause(TICK).await {
        if let Err(error) = resend(&app).await {
            tracing::warn!(error = format!("{error:#}"), "silent orders not looked at; trying again");
        }
    }
}

async fn resend(app: &App) -> anyhow::Result<()> {
    loop {
        let now = app.clock.now();
        let mut tx = app.pg.begin().await?;
        let orders = store::lock_silent(&mut tx, now, BATCH).await?;
        let seen = orders.len();
        let (again, mut failing): (Vec<_>, Vec<_>) =
            orders.into_iter().partition(|order| order.resends < RESENDS_MAX);
        let steps: Result<Vec<_>, _> =
            failing.iter_mut().map(|order| order.take(Trigger::Unanswered, By::System, now)).collect();
        let steps = steps?;
        store::advance(&mut tx, &steps, now).await?;
        refund::owe_orders(&mut tx, &events::to_refund(&steps), now).await?;
        let commands: Vec<StockCommand> = again.iter().flat_map(|order| order.reserves()).collect();
        let ids: Vec<OrderId> = again.iter().map(|order| order.id).collect();
        store::tell(&mut tx, &commands, &[], now).await?;
        store::mark_resent(&mut tx, &ids, now + chrono::Duration::seconds(PATIENCE_S)).await?;
        tx.commit().await?;
        app.committed(&steps);
        if !steps.is_empty() || !again.is_empty() {
            tracing::warn!(asked_again = again.len(), failed = steps.len(), "the stock does not answer");
        }
        if i64::try_from(seen)? < BATCH {
            return Ok(());
        }
    }
}
