//! Units, as the product service keeps them.

use std::collections::HashMap;

use anyhow::Context as _;
use sqlx::Row as _;
use sqlx::postgres::PgPool;
use uuid::Uuid;

use super::Check;
use crate::sale::Sale;

const AREA: &str = "stock";

/// The stock of a product and what moved it.
#[derive(Debug, Clone, Default)]
pub(super) struct Stock {
    pub(super) total: i64,
    pub(super) available: i64,
    pub(super) reserved: i64,
    pub(super) sold: i64,
    /// Units by order and state.
    pub(super) units: HashMap<Uuid, Units>,
    /// The most live units of one account, and whose.
    most: Option<(i64, i64)>,
    /// Sums of the ledger: total, available, reserved, sold.
    ledger: [i64; 4],
    /// Ledger rows whose balance does not follow from the row before.
    gaps: Vec<i64>,
    /// Commands of this product that could not be read.
    dead: i64,
}

/// Live units of one order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Units {
    pub(super) held: i64,
    pub(super) confirmed: i64,
}

/// Events that wait to be sent.
pub(super) async fn outbox(pool: &PgPool) -> anyhow::Result<i64> {
    Ok(sqlx::query_scalar("SELECT count(*) FROM outbox").fetch_one(pool).await?)
}

/// Everything the product service's database says about the units of a product.
pub(super) async fn read(pool: &PgPool, product: i64) -> anyhow::Result<Stock> {
    let row = sqlx::query("SELECT total, available, reserved, sold FROM stock WHERE product_id = $1")
        .bind(product)
        .fetch_optional(pool)
        .await?
        .with_context(|| format!("product {product} has no stock row"))?;
    let most = sqlx::query_as(
        "SELECT user_id, count(*) FROM reservation
         WHERE product_id = $1 AND state IN ('held', 'confirmed') GROUP BY 1 ORDER BY 2 DESC LIMIT 1",
    )
    .bind(product)
    .fetch_optional(pool)
    .await?;
    let dead = sqlx::query_scalar("SELECT count(*) FROM dead_letter WHERE key = $1")
        .bind(product.to_string())
        .fetch_one(pool)
        .await?;
    let (ledger, gaps) = ledger(pool, product).await?;
    Ok(Stock {
        total: row.try_get(0)?,
        available: row.try_get(1)?,
        reserved: row.try_get(2)?,
        sold: row.try_get(3)?,
        units: units(pool, product).await?,
        most,
        ledger,
        gaps,
        dead,
    })
}

async fn units(pool: &PgPool, product: i64) -> anyhow::Result<HashMap<Uuid, Units>> {
    let rows: Vec<(Uuid, i64, i64)> = sqlx::query_as(
        "SELECT order_id, count(*) FILTER (WHERE state = 'held'), count(*) FILTER (WHERE state = 'confirmed')
         FROM reservation WHERE product_id = $1 GROUP BY 1",
    )
    .bind(product)
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|(order, held, confirmed)| (order, Units { held, confirmed })).collect())
}

async fn ledger(pool: &PgPool, product: i64) -> anyhow::Result<([i64; 4], Vec<i64>)> {
    let sums: (i64, i64, i64, i64) = sqlx::query_as(
        "SELECT coalesce(sum(total_delta), 0)::bigint, coalesce(sum(available_delta), 0)::bigint,
                coalesce(sum(reserved_delta), 0)::bigint, coalesce(sum(sold_delta), 0)::bigint
         FROM stock_ledger WHERE product_id = $1",
    )
    .bind(product)
    .fetch_one(pool)
    .await?;
    let gaps = sqlx::query_scalar(
        "SELECT ledger_id FROM (
             SELECT ledger_id, available_after,
                    sum(available_delta) OVER (ORDER BY ledger_id)::bigint AS balance
             FROM stock_ledger WHERE product_id = $1) AS chain
         WHERE available_after <> balance ORDER BY ledger_id",
    )
    .bind(product)
    .fetch_all(pool)
    .await?;
    Ok((sums.into(), gaps))
}

/// What must hold of the units.
pub(super) fn checks(stock: &Stock, sale: &Sale) -> Vec<Check> {
    let Stock { total, available, reserved, sold, units, most, ledger, gaps, dead } = stock;
    let row = format!("total {total}, available {available}, reserved {reserved}, sold {sold}");
    let sums = units.values().fold((0, 0), |sum, one| (sum.0 + one.held, sum.1 + one.confirmed));
    let wanted = sale.terms.units;
    let limit = i64::from(sale.terms.limit);
    let over = most.filter(|(_, units)| *units > limit);
    vec![
        Check::one(
            AREA,
            "the stock is what was registered",
            *total == wanted,
            format!("{row}, not {wanted}"),
        ),
        Check::one(
            AREA,
            "available + reserved + sold = total, none below zero",
            available + reserved + sold == *total && [available, reserved, sold].iter().all(|n| **n >= 0),
            &row,
        ),
        Check::one(AREA, "not one unit too many is sold", *sold <= wanted, &row),
        Check::one(
            AREA,
            "the reservations add up to the stock row",
            sums == (*reserved, *sold),
            format!("{} held and {} confirmed units; {row}", sums.0, sums.1),
        ),
        Check::new(
            AREA,
            "nobody has more than the purchase limit",
            over.map(|(user, units)| format!("user {user} has {units}, limit {limit}")),
        ),
        Check::one(
            AREA,
            "the ledger adds up to the stock row",
            *ledger == [*total, *available, *reserved, *sold],
            format!("{ledger:?}; {row}"),
        ),
        Check::new(AREA, "the ledger has no gap", gaps.iter().map(|row| format!("row {row}"))),
        Check::one(AREA, "every command could be read", *dead == 0, format!("{dead} dead letters")),
    ]
}
