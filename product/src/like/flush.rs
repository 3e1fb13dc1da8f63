//! Likes are written behind: once a second, in batches.

use std::time::Duration;

use common::stop::Stop;

use super::store;
use crate::app::App;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// Changes of one transaction.
const BATCH: i64 = 1_000;

/// Writes until the stop. Every replica runs it: what two write is the same.
pub async fn run(app: App, stop: Stop) {
    while stop.pause(LOOK).await {
        if let Err(error) = flush(&app).await {
            tracing::warn!(error = format!("{error:#}"), "likes not written; trying again");
        }
    }
}

async fn flush(app: &App) -> anyhow::Result<()> {
    loop {
        let changes = app.likes.take(BATCH).await?;
        if changes.is_empty() {
            return Ok(());
        }
        store::write(&app.pg, &changes).await?;
        app.likes.done(&changes).await?;
        if i64::try_from(changes.len())? < BATCH {
            return Ok(());
        }
    }
}
