//! Removes keys after a day: nobody repeats a request that long. And what was received from the payment provider after a
//! week: its last repeat comes before the fourth day ends.

use std::time::Duration;

use common::stop::Stop;

use crate::app::App;

/// Keys are kept this long, in hours.
const KEEP_H: i64 = 24;
/// Receipts are kept this long, in hours.
const RECEIPTS_KEEP_H: i64 = 7 * 24;
/// Between two looks.
const TICK: Duration = Duration::from_secs(60);
/// Rows removed at once, so that no statement runs long.
const BATCH: i64 = 5_000;

/// Removes old keys until the stop.
pub async fn run(app: App, stop: Stop) {
    while stop.pause(TICK).await {
        if let Err(error) = forget(&app).await {
            tracing::warn!(%error, "old idempotency keys not removed");
        }
    }
}

async fn forget(app: &App) -> Result<(), sqlx::Error> {
    let before = app.clock.now() - chrono::Duration::hours(RECEIPTS_KEEP_H);
    sqlx::query!("DELETE FROM webhook_receipt WHERE received_at < $1", before).execute(&app.pg).await?;
    let before = app.clock.now() - chrono::Duration::hours(KEEP_H);
    loop {
        // Keys without an answer belong to payments that are still under way.
        let removed = sqlx::query!(
            "DELETE FROM idempotency WHERE (user_id, route, key) IN (
                 SELECT user_id, route, key FROM idempotency
                 WHERE created_at < $1 AND status IS NOT NULL ORDER BY created_at LIMIT $2)",
            before,
            BATCH,
        )
        .execute(&app.pg)
        .await?;
        if removed.rows_affected() < BATCH.unsigned_abs() {
            return Ok(());
        }
    }
}
