//! Tells each change of a sale's state once: by the clock (`product.turns_at`) or by the stock (`stock_turn`); and of
//! products that were imported, which nobody was told of yet.
//!
//! Every instance looks; the product's row lock and the state told last let only one of them tell. What is shown never
//! waits for it: that is computed from clock and stock.

use std::time::Duration;

use common::outbox::{Letters, Nudge};
use common::stop::Stop;
use common::wire::Time;
use common::wire::id::ProductId;
use sqlx::PgConnection;
use sqlx::postgres::PgPool;

use crate::app::SOURCE;
use crate::catalog::{Product, store};
use crate::sale::announce::announce;

/// Between two looks: how late a change is told at most, with what the outbox adds.
const LOOK: Duration = Duration::from_millis(200);
/// After a batch of imported products: what they write into the log must not hold up the sales that run.
const PACE: Duration = Duration::from_millis(50);
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
    let (mut told, mut imported) = (Vec::new(), false);
    for product in &due {
        let Some(mut product) = store::find(&mut tx, *product).await? else { continue };
        if product.deleted_at.is_some() {
            continue;
        }
        let is_untold = product.state_version == 0;
        if turn(&mut tx, &mut product, now).await? {
            if is_untold {
                announce(&mut tx, &product, now).await?;
                imported = true;
            } else {
                told.push(product.snapshot());
            }
        }
    }
    Letters::new(SOURCE, now).with(&told).put(&mut tx).await?;
    tx.commit().await?;
    Ok((due.len(), imported))
}

/// Sales whose state may have changed, locked. What somebody else has locked comes later: the clock's by the next look,
/// the stock's because its row stays.
async fn due(tx: &mut PgConnection, now: Time) -> Result<Vec<ProductId>, sqlx::Error> {
    let by_clock = sqlx::query_scalar!(
        r#"SELECT product_id AS "product_id: ProductId" FROM product
           WHERE turns_at <= $1 ORDER BY turns_at LIMIT $2 FOR UPDATE SKIP LOCKED"#,
        now,
        BATCH,
    );
    let mut due = by_clock.fetch_all(&mut *tx).await?;
    let by_stock = sqlx::query_scalar!(
        r#"SELECT product_id AS "product_id: ProductId" FROM product
           WHERE product_id IN (SELECT product_id FROM stock_turn LIMIT $1) FOR UPDATE SKIP LOCKED"#,
        BATCH,
    );
    let by_stock = by_stock.fetch_all(&mut *tx).await?;
    let ids: Vec<i64> = by_stock.iter().map(|product| product.0).collect();
    if !ids.is_empty() {
        // A batch that is committed from now on writes a row of its own.
        sqlx::query!("DELETE FROM stock_turn WHERE product_id = ANY($1)", &ids).execute(tx).await?;
    }
    due.extend(by_stock);
    Ok(due)
}

/// Notes the state of a locked product; returns whether it is another than the one told last, or was never told.
async fn turn(tx: &mut PgConnection, product: &mut Product, now: Time) -> Result<bool, sqlx::Error> {
    let state = product.state(now);
    let is_new = state != product.told || product.state_version == 0;
    product.state_version += i64::from(is_new);
    product.told = state;
    sqlx::query!(
        "UPDATE product SET state = $2, state_version = $3, turns_at = $4 WHERE product_id = $1",
        product.product_id.0,
        state.as_str(),
        product.state_version,
        product.fields.turns_at(now),
    )
    .execute(tx)
    .await?;
    Ok(is_new)
}
