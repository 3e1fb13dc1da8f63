//! The journal in SQL: what a writer loads, and what it writes in one transaction per batch.

use common::wire::Time;
use common::wire::id::{OrderId, ProductId, UserId};
use futures::TryStreamExt as _;
use sqlx::postgres::PgPool;
use sqlx::{Connection as _, PgConnection};
use uuid::Uuid;

use super::copy;
use super::rules::{Bounds, Counts, Hold, HoldState, Memory, Sale};

/// One partition of the commands' topic.
#[derive(Debug, Clone)]
pub struct Place {
    /// Its topic, in full.
    pub topic: String,
    /// Its number.
    pub partition: i32,
}

/// A writer's memory of a partition, and the first offset that it does not cover.
#[derive(Debug, Clone, PartialEq)]
pub struct Loaded {
    /// First offset that is not decided.
    pub cursor: i64,
    /// Everything decided before it.
    pub memory: Memory,
}

/// The partition's cursor; `start` when the partition is seen for the first time.
///
/// # Errors
/// The database's.
pub async fn cursor(pool: &PgPool, place: &Place, start: i64) -> Result<i64, sqlx::Error> {
    // Looked at first: an insert waits for the transaction of a writer that has the row, however long it is frozen.
    if let Some(cursor) = find_cursor(&mut *pool.acquire().await?, place).await? {
        return Ok(cursor);
    }
    sqlx::query!(
        "INSERT INTO stock_cursor (topic, partition, next_offset) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        place.topic,
        place.partition,
        start,
    )
    .execute(pool)
    .await?;
    read_cursor(&mut *pool.acquire().await?, place).await
}

async fn read_cursor(db: &mut PgConnection, place: &Place) -> Result<i64, sqlx::Error> {
    find_cursor(db, place).await?.ok_or(sqlx::Error::RowNotFound)
}

async fn find_cursor(db: &mut PgConnection, place: &Place) -> Result<Option<i64>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT next_offset FROM stock_cursor WHERE topic = $1 AND partition = $2",
        place.topic,
        place.partition,
    )
    .fetch_optional(db)
    .await
}

/// Loads a partition: cursor, sales, reservations and adjustments of one moment.
///
/// # Errors
/// The database's.
pub async fn load(pool: &PgPool, place: &Place) -> Result<Loaded, sqlx::Error> {
    let mut db = pool.acquire().await?;
    let mut tx = db.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    let cursor = read_cursor(&mut tx, place).await?;
    let mut memory = Memory::default();
    load_sales(&mut tx, place.partition, &mut memory).await?;
    load_reservations(&mut tx, place.partition, &mut memory).await?;
    load_adjustments(&mut tx, place.partition, &mut memory).await?;
    tx.rollback().await?;
    Ok(Loaded { cursor, memory })
}

async fn load_sales(db: &mut PgConnection, partition: i32, memory: &mut Memory) -> Result<(), sqlx::Error> {
    let mut rows = sqlx::query!(
        "SELECT product_id, version, price_version, purchase_limit, opens_at, closes_at, terms_by, total, available,
                reserved, sold FROM stock WHERE partition = $1",
        partition,
    )
    .fetch(db);
    while let Some(row) = rows.try_next().await? {
        let terms = Bounds {
            version: row.version,
            price_version: row.price_version,
            limit: row.purchase_limit.unsigned_abs(),
            opens_at: row.opens_at,
            closes_at: row.closes_at,
            by: UserId(row.terms_by),
        };
        let counts =
            Counts { total: row.total, available: row.available, reserved: row.reserved, sold: row.sold };
        memory.sales.insert(ProductId(row.product_id), Sale::new(terms, counts));
    }
    Ok(())
}

async fn load_reservations(
    db: &mut PgConnection,
    partition: i32,
    memory: &mut Memory,
) -> Result<(), sqlx::Error> {
    let statement = format!(
        "COPY (SELECT r.order_id, r.product_id, r.attempt, r.slot, r.user_id, r.state
               FROM reservation r JOIN stock s USING (product_id) WHERE s.partition = {partition})
         TO STDOUT (FORMAT binary)"
    );
    copy::rows(db, &statement, |row| {
        let order = OrderId(Uuid::from_bytes(row.fixed()?));
        let product = ProductId(i64::from_be_bytes(row.fixed()?));
        let attempt = i32::from_be_bytes(row.fixed()?);
        let slots = 1_u128.checked_shl(u32::try_from(i16::from_be_bytes(row.fixed()?)).ok()?)?;
        let user = UserId(i64::from_be_bytes(row.fixed()?));
        let state = HoldState::parse(std::str::from_utf8(row.raw()?).ok()?)?;
        if let Some(sale) = memory.sales.get_mut(&product) {
            sale.restore(order, attempt, Hold { user, slots, state });
        }
        Some(())
    })
    .await
}

async fn load_adjustments(
    db: &mut PgConnection,
    partition: i32,
    memory: &mut Memory,
) -> Result<(), sqlx::Error> {
    let mut rows = sqlx::query!(
        "SELECT a.product_id, a.adjustment_id FROM stock_adjustment a JOIN stock s USING (product_id)
         WHERE s.partition = $1",
        partition,
    )
    .fetch(db);
    while let Some(row) = rows.try_next().await? {
        if let Some(sale) = memory.sales.get_mut(&ProductId(row.product_id)) {
            sale.adjustments.insert(row.adjustment_id);
        }
    }
    Ok(())
}

/// An adjustment asked for with a key.
#[derive(Debug, Clone)]
pub struct AdjustmentRequest {
    /// The product.
    pub product: ProductId,
    /// Who asks.
    pub user: UserId,
    /// Units.
    pub delta: i64,
    /// Its id.
    pub adjustment_id: Uuid,
}

/// Remembers the request under its key and returns true; or finds the one that was made under it, puts it in the place
/// of `request` and returns false. The caller has locked the product.
///
/// # Errors
/// The database's.
pub async fn request(
    db: &mut PgConnection,
    request: &mut AdjustmentRequest,
    key: &str,
    now: Time,
) -> Result<bool, sqlx::Error> {
    let found = sqlx::query!(
        "SELECT delta, adjustment_id FROM adjustment_request
         WHERE product_id = $1 AND user_id = $2 AND idempotency_key = $3",
        request.product.0,
        request.user.0,
        key,
    )
    .fetch_optional(&mut *db)
    .await?;
    if let Some(found) = found {
        request.delta = found.delta;
        request.adjustment_id = found.adjustment_id;
        return Ok(false);
    }
    sqlx::query!(
        "INSERT INTO adjustment_request (product_id, user_id, idempotency_key, delta, adjustment_id, created_at)
         VALUES ($1, $2, $3, $4, $5, $6)",
        request.product.0,
        request.user.0,
        key,
        request.delta,
        request.adjustment_id,
        now,
    )
    .execute(db)
    .await?;
    Ok(true)
}
