//! Tells each change of a sale's state once: by the clock (`product.turns_at`) or by the stock (`stock_turn`); and of
//! products that were imported, which nobody was told of yet.
//!
//! Every instance looks; the product's row lock and the state told last let only one of them tell. What is shown never
//! waits for it: that is computed from clock and stock.

use std::time::Duration;

use chrono::TimeDelta;
use common::outbox::{Letters, Nudge};
use common::stop::Stop;
use common::wire::Time;
use sqlx::PgConnection;
use sqlx::postgres::PgPool;

use crate::app::SOURCE;
use crate::catalog::{Product, store};
use crate::sale::announce::announce;

/// Between two looks: how late a change is told at most, with what the outbox adds.
const LOOK: Duration = Duration::from_millis(200);
/// Imported products are told this much later: to tell them takes processor time from the rows that still come.
const IMPORTED_AGE: TimeDelta = TimeDelta::seconds(1);
/// After a batch of them, so 800 a second: each goes on to the stock stage and to a room of its own, which must hold up
/// neither the sales that run nor the import.
const PACE: Duration = Duration::from_millis(250);
/// After a failure.
const RETRY: Duration = Duration::from_secs(1);
/// Products of one transaction.
const BATCH: i64 = 200;

/// Tells until the stop.
pub async fn run(pool: PgPool, clock: common::clock::Clock, nudge: Nudge, stop: Stop) {
    let mut pause = Duration::ZERO;
    while stop.pause(pause).await {
        pause = match tell(&pool, clock.now()).await {
            Ok((0, _)) => LOOK,
            Ok((_, imported)) => {
                nudge.now();
                if imported { PACE } else { Duration::ZERO }
            }
            Err(error) => {
                tracing::warn!(%error, "states of sales are not told yet");
                RETRY
            }
        };
    }
}

/// Tells of one batch; returns how many sales were looked at, and whether imported ones are among them.
async fn tell(pool: &PgPool, now: Time) -> Result<(usize, bool), sqlx::Error> {
    let mut tx = pool.begin().await?;
    let due = due(&mut tx, now).await?;
    if due.is_empty() {
        return Ok((0, false));
    }
    let mut products = store::find_all(&mut tx, &due).await?;
    products.retain(|product| product.deleted_at.is_none());
    let (mut imported, mut changed) = (Vec::new(), Vec::new());
    for product in &mut products {
        let is_untold = product.state_version == 0;
        let state = product.state(now);
        if is_untold || state != product.told {
            product.state_version += 1;
            product.told = state;
            if is_untold { &mut imported } else { &mut changed }.push(&*product);
        }
    }
    announce(&mut tx, imported.iter().copied(), now).await?;
    let snapshots: Vec<_> = changed.iter().map(|product| product.snapshot()).collect();
    Letters::new(SOURCE, now).with(&snapshots).put(&mut tx).await?;
    let has_imported = !imported.is_empty();
    note(&mut tx, &products, now).await?;
    tx.commit().await?;
    Ok((due.len(), has_imported))
}

/// Sales whose state may have changed, locked. What somebody else has locked comes later: the clock's by the next look,
/// the stock's because its row stays.
async fn due(tx: &mut PgConnection, now: Time) -> Result<Vec<i64>, sqlx::Error> {
    let by_clock = sqlx::query_scalar!(
        "SELECT product_id FROM product WHERE turns_at <= $1 ORDER BY turns_at LIMIT $2 FOR UPDATE SKIP LOCKED",
        now,
        BATCH,
    );
    let mut due = by_clock.fetch_all(&mut *tx).await?;
    // Only what the clock leaves room for, so that no pause of theirs holds up sales that begin.
    let imported = sqlx::query_scalar!(
        "SELECT product_id FROM product WHERE state_version = 0 AND deleted_at IS NULL AND created_at <= $1
         ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED",
        now - IMPORTED_AGE,
        BATCH - i64::try_from(due.len()).unwrap_or(BATCH),
    );
    due.extend(imported.fetch_all(&mut *tx).await?);
    let by_stock = sqlx::query_scalar!(
        "SELECT product_id FROM product
         WHERE product_id IN (SELECT product_id FROM stock_turn LIMIT $1) FOR UPDATE SKIP LOCKED",
        BATCH,
    );
    let by_stock = by_stock.fetch_all(&mut *tx).await?;
    if !by_stock.is_empty() {
        // A batch that is committed from now on writes a row of its own.
        sqlx::query!("DELETE FROM stock_turn WHERE product_id = ANY($1)", &by_stock).execute(tx).await?;
    }
    due.extend(by_stock);
    Ok(due)
}

/// Notes the states of locked products, and when they change next by the clock.
async fn note(tx: &mut PgConnection, products: &[Product], now: Time) -> Result<(), sqlx::Error> {
    let ids: Vec<_> = products.iter().map(|product| product.product_id.0).collect();
    let states: Vec<_> = products.iter().map(|product| product.told.as_str().to_owned()).collect();
    let versions: Vec<_> = products.iter().map(|product| product.state_version).collect();
    let turns: Vec<_> = products.iter().map(|product| product.fields.turns_at(now)).collect();
    sqlx::query!(
        "UPDATE product p SET state = n.state, state_version = n.version, turns_at = n.turns_at
         FROM UNNEST($1::bigint[], $2::text[], $3::bigint[], $4::timestamptz[]) AS n(id, state, version, turns_at)
         WHERE p.product_id = n.id",
        &ids,
        &states,
        &versions,
        &turns as &[Option<Time>],
    )
    .execute(tx)
    .await?;
    Ok(())
}
