//! What is known of every sale, and which ones begin.

use std::collections::{BTreeMap, HashMap};

use common::wire::Time;
use common::wire::event::StockDecided;
use common::wire::id::ProductId;
use common::wire::notice::Notice;
use common::wire::product::{ProductSnapshot, SaleState};
use sqlx::{PgConnection, PgPool};

use super::announce::{self, Announcement};
use super::rules::{self, SOON, Stock};
use crate::app::App;
use crate::error::Error;

/// Sales of one transaction at most: many begin at a full hour.
const BATCH: i64 = 500;

/// A sale, as far as notices need it.
pub(crate) struct Sale {
    pub(crate) product: ProductId,
    pub(crate) name: String,
    pub(crate) starts_at: Time,
    pub(crate) ends_at: Time,
}

/// Keeps what is newer than what is known. A sale that has begun when it is first heard of is told to nobody: nobody
/// can have asked for it.
pub(crate) async fn keep(pg: &PgPool, snapshots: &[ProductSnapshot], now: Time) -> Result<(), sqlx::Error> {
    // One statement may touch a row only once, and two replicas must take rows in the same order.
    let mut newest: BTreeMap<ProductId, &ProductSnapshot> = BTreeMap::new();
    for snapshot in snapshots {
        let known = newest.entry(snapshot.product_id).or_insert(snapshot);
        if known.version < snapshot.version {
            *known = snapshot;
        }
    }
    let snapshots: Vec<&ProductSnapshot> = newest.into_values().collect();
    sqlx::query_file!(
        "src/notice/sql/keep.sql",
        &snapshots.iter().map(|one| one.product_id.0).collect::<Vec<_>>(),
        &snapshots.iter().map(|one| one.version).collect::<Vec<_>>(),
        &snapshots.iter().map(|one| one.product_name.clone()).collect::<Vec<_>>(),
        &snapshots.iter().map(|one| one.sale_start_time).collect::<Vec<_>>(),
        &snapshots.iter().map(|one| one.sale_end_time).collect::<Vec<_>>(),
        &snapshots.iter().map(|one| is_hidden(one)).collect::<Vec<_>>(),
        now,
    )
    .execute(pg)
    .await?;
    Ok(())
}

/// Drafts are nobody's business yet, withdrawn products no longer.
fn is_hidden(product: &ProductSnapshot) -> bool {
    product.deleted || product.state == Some(SaleState::Draft)
}

/// The sale of a product that was not withdrawn; one that the log has not told of yet is asked for at the product service.
pub(crate) async fn find(app: &App, product: ProductId) -> Result<Sale, Error> {
    if let Some(known) = known(&app.pg, product).await? {
        return known.ok_or(Error::UnknownProduct);
    }
    let answer = app.products.get(&format!("/internal/products/{product}/snapshot")).await;
    let snapshot: ProductSnapshot =
        answer.map_err(Error::ProductUnavailable)?.ok_or(Error::UnknownProduct)?;
    keep(&app.pg, &[snapshot], app.clock.now()).await?;
    known(&app.pg, product).await?.flatten().ok_or(Error::UnknownProduct)
}

/// What is known of a product; within, `None` when it was withdrawn.
async fn known(pg: &PgPool, product: ProductId) -> Result<Option<Option<Sale>>, sqlx::Error> {
    let sale = sqlx::query!(
        "SELECT product_name, starts_at, ends_at, withdrawn FROM sale WHERE product_id = $1",
        product.0
    );
    Ok(sale.fetch_optional(pg).await?.map(|row| {
        let sale = Sale { product, name: row.product_name, starts_at: row.starts_at, ends_at: row.ends_at };
        (!row.withdrawn).then_some(sale)
    }))
}

/// Announces sales that begin soon, and those that have begun.
pub(super) async fn announce_due(app: &App) -> anyhow::Result<()> {
    let now = app.clock.now();
    loop {
        let mut tx = app.pg.begin().await?;
        let soon = sqlx::query_file!("src/notice/sql/soon.sql", now, now + SOON, BATCH);
        let soon = soon.fetch_all(&mut *tx).await?.into_iter().map(|row| {
            let product = ProductId(row.product_id);
            let notice = Notice::SaleOpensSoon {
                product_id: product,
                product_name: row.product_name,
                sale_start_time: row.starts_at,
            };
            Announcement { event_key: rules::soon(product, row.starts_at), product, notice }
        });
        let soon: Vec<Announcement> = soon.collect();
        let begun = sqlx::query_file!("src/notice/sql/begun.sql", now, BATCH).fetch_all(&mut *tx).await?;
        if soon.is_empty() && begun.is_empty() {
            return Ok(());
        }
        // A sale may be over when this service was away all the while.
        let begun = begun.into_iter().filter(|row| row.ends_at > now).map(|row| {
            let product = ProductId(row.product_id);
            let notice = Notice::SaleOpened {
                product_id: product,
                product_name: row.product_name,
                sale_end_time: row.ends_at,
            };
            Announcement { event_key: rules::begun(product, row.starts_at), product, notice }
        });
        let due: Vec<Announcement> = soon.into_iter().chain(begun).collect();
        announce::put(&mut tx, &due, now).await?;
        tx.commit().await?;
    }
}

/// Takes the stock's decisions: products that come back are announced.
pub(super) async fn decide(app: &App, decisions: &[&StockDecided]) -> anyhow::Result<()> {
    let now = app.clock.now();
    let mut tx = app.pg.begin().await?;
    let mut known = stocks(&mut tx, decisions).await?;
    let mut changed: BTreeMap<ProductId, Stock> = BTreeMap::new();
    let mut back = Vec::new();
    for decision in decisions {
        let product = decision.product_id;
        let Some(mut stock) = rules::decided(known.get(&product).copied(), decision) else { continue };
        if rules::tells_back(&stock, now) {
            stock.back_told_at = Some(now);
            back.push((product, rules::back(product, stock.last)));
        }
        known.insert(product, stock);
        changed.insert(product, stock);
    }
    if changed.is_empty() {
        return Ok(());
    }
    store(&mut tx, &changed).await?;
    let mut announcements = Vec::new();
    for (product, event_key) in back {
        // Nobody can have subscribed to a product that is not known; after its end nothing can be had.
        let Some(product_name) = on_sale(&mut tx, product, now).await? else { continue };
        let notice = Notice::BackInStock { product_id: product, product_name };
        announcements.push(Announcement { event_key, product, notice });
    }
    announce::put(&mut tx, &announcements, now).await?;
    Ok(tx.commit().await?)
}

/// The name of a product that is sold at this moment.
async fn on_sale(
    tx: &mut PgConnection,
    product: ProductId,
    now: Time,
) -> Result<Option<String>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT product_name FROM sale
         WHERE product_id = $1 AND NOT withdrawn AND starts_at <= $2 AND ends_at > $2",
        product.0,
        now,
    )
    .fetch_optional(tx)
    .await
}

/// What is known of the decisions' products; nobody else changes it before the transaction ends.
async fn stocks(
    tx: &mut PgConnection,
    decisions: &[&StockDecided],
) -> Result<HashMap<ProductId, Stock>, sqlx::Error> {
    let products: Vec<i64> = decisions.iter().map(|decision| decision.product_id.0).collect();
    let rows = sqlx::query!(
        "SELECT product_id, last, is_sold_out, back_told_at FROM sold_out
         WHERE product_id = ANY($1) ORDER BY product_id FOR UPDATE",
        &products,
    )
    .fetch_all(tx)
    .await?;
    let stock = |(last, is_sold_out, back_told_at)| Stock { last, is_sold_out, back_told_at };
    let known = rows
        .into_iter()
        .map(|row| (ProductId(row.product_id), stock((row.last, row.is_sold_out, row.back_told_at))));
    Ok(known.collect())
}

async fn store(tx: &mut PgConnection, stocks: &BTreeMap<ProductId, Stock>) -> Result<(), sqlx::Error> {
    for (product, stock) in stocks {
        sqlx::query!(
            "INSERT INTO sold_out AS known (product_id, last, is_sold_out, back_told_at) VALUES ($1, $2, $3, $4)
             ON CONFLICT (product_id) DO UPDATE
             SET last = EXCLUDED.last, is_sold_out = EXCLUDED.is_sold_out, back_told_at = EXCLUDED.back_told_at
             WHERE known.last < EXCLUDED.last",
            product.0,
            stock.last,
            stock.is_sold_out,
            stock.back_told_at,
        )
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}
