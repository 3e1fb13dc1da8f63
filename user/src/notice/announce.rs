//! Telling all subscribers of a product: sales that begin, products that are back.
//!
//! An announcement is a row. Its subscribers are told in the order of their ids, a batch per transaction, which also moves
//! the row's mark: whoever is killed leaves whole batches behind, and any replica goes on from there. Who subscribed after
//! the event is not told of it.

use std::time::Duration;

use common::stop::Stop;
use common::wire::Time;
use common::wire::id::ProductId;
use common::wire::notice::Notice;
use sqlx::PgConnection;
use sqlx::types::Json;

use super::{sales, store};
use crate::app::App;

/// Between two looks at the clock and at what is to be told.
const LOOK: Duration = Duration::from_millis(250);
/// Notices of one transaction: some 100 ms, so that nobody else who writes notices waits long for a turn.
pub(crate) const BATCH: i64 = 5_000;

/// An event of a product.
pub(super) struct Announcement {
    pub(super) event_key: String,
    pub(super) product: ProductId,
    pub(super) notice: Notice,
}

/// Has all present subscribers told, once. Products without any are left out.
pub(super) async fn put(
    tx: &mut PgConnection,
    announcements: &[Announcement],
    now: Time,
) -> Result<(), sqlx::Error> {
    let keys: Vec<String> = announcements.iter().map(|one| one.event_key.clone()).collect();
    let products: Vec<i64> = announcements.iter().map(|one| one.product.0).collect();
    let bodies: Vec<Json<&Notice>> = announcements.iter().map(|one| Json(&one.notice)).collect();
    sqlx::query!(
        "INSERT INTO announcement (event_key, product_id, body, created_at)
         SELECT k, p, b, $4 FROM UNNEST($1::text[], $2::bigint[], $3::jsonb[]) AS a (k, p, b)
         WHERE EXISTS (SELECT FROM subscription WHERE subscription.product_id = p)
         ON CONFLICT ON CONSTRAINT announcement_once DO NOTHING",
        &keys,
        &products,
        &bodies as &[Json<&Notice>],
        now,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Tells until the stop. Every replica runs it; they take turns.
pub(crate) async fn run(app: App, stop: Stop) {
    let mut more = false;
    while more || stop.pause(LOOK).await {
        // Sales begin also while many are told of another.
        let told = async {
            sales::announce_due(&app).await?;
            tell(&app).await
        };
        more = match told.await {
            Ok(told) => told && !stop.is_stopped(),
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "notices not told; trying again");
                false
            }
        };
    }
}

/// Tells the next batch of the oldest announcement; false when there is none.
async fn tell(app: &App) -> anyhow::Result<bool> {
    let now = app.clock.now();
    let mut tx = app.pg.begin().await?;
    store::take_turn(&mut tx).await?;
    let next = sqlx::query!(
        r#"SELECT announcement_id, product_id, told_up_to, created_at, body ->> 'kind' AS "kind!"
           FROM announcement WHERE done_at IS NULL ORDER BY announcement_id LIMIT 1"#
    );
    let Some(next) = next.fetch_optional(&mut *tx).await? else { return Ok(false) };
    let told = sqlx::query_file_scalar!(
        "src/notice/sql/tell.sql",
        next.announcement_id,
        next.product_id,
        next.told_up_to,
        next.created_at,
        now,
        BATCH,
    );
    let told = told.fetch_one(&mut *tx).await?;
    tx.commit().await?;
    app.metrics.notices_total.with_label_values(&[&next.kind]).inc_by(told.unsigned_abs());
    Ok(true)
}
