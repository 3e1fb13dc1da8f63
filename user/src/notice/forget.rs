//! Old notices go.

use std::time::Duration;

use chrono::TimeDelta;
use common::stop::Stop;

use super::store;
use crate::app::App;

/// Notices are kept so long. Longer than Kafka keeps what they were made from: what is gone cannot be made again.
const KEPT: TimeDelta = TimeDelta::days(30);
/// Between two looks.
const LOOK: Duration = Duration::from_secs(60);
/// Rows of one transaction.
const BATCH: i64 = 10_000;

/// Removes old notices until the stop. Every replica runs it.
pub(crate) async fn run(app: App, stop: Stop) {
    while stop.pause(LOOK).await {
        match store::forget(&app.pg, app.clock.now() - KEPT, BATCH).await {
            Ok(gone) => tracing::debug!(gone, "old notices removed"),
            Err(error) => tracing::warn!(%error, "old notices not removed; trying again"),
        }
    }
}
