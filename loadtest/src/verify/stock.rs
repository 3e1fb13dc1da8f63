//! Units, as the product service keeps them.

use std::collections::{BTreeMap, HashMap};

use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::check::Check;

const AREA: &str = "stock";

/// The stock of one product and what moved it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stock {
    /// Total, available, reserved, sold.
    pub(super) counts: [i64; 4],
    pub(super) limit: i64,
    /// The most live units of one account, and whose.
    pub(super) most: Option<(i64, i64)>,
    /// Sums of the ledger: total, available, reserved, sold.
    pub(super) ledger: [i64; 4],
    /// Ledger rows whose balance does not follow from the row before.
    pub(super) gaps: Vec<i64>,
}

/// Live units of one order.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Units {
    pub(super) held: i64,
    pub(super) confirmed: i64,
}

/// What the stock stage's tables say, all of one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Stage {
    /// By product.
    pub(super) products: BTreeMap<i64, Stock>,
    /// Live units by order and product.
    pub(super) units: HashMap<(Uuid, i64), Units>,
    /// First offset of each partition of the commands that is not decided.
    pub(super) cursors: BTreeMap<i32, i64>,
    /// Commands that were put aside, by partition and offset: their keys.
    pub(super) letters: BTreeMap<(i32, i64), String>,
    /// The oldest event that waits to be sent.
    pub(super) unsent: Option<i64>,
}

/// Reads the tables for one product, or for all. `topic` is the full name of the commands' topic.
pub(super) async fn read(
    db: &mut PgConnection,
    product: Option<i64>,
    topic: &str,
) -> Result<Stage, sqlx::Error> {
    let mut stage = Stage { products: products(db, product).await?, ..Stage::default() };
    most(db, product, &mut stage).await?;
    ledger(db, product, &mut stage).await?;
    let units: Vec<(Uuid, i64, i64, i64)> = sqlx::query_as(
        "SELECT order_id, product_id, count(*) FILTER (WHERE state = 'held'),
                count(*) FILTER (WHERE state = 'confirmed')
         FROM reservation WHERE $1::bigint IS NULL OR product_id = $1 GROUP BY 1, 2",
    )
    .bind(product)
    .fetch_all(&mut *db)
    .await?;
    stage.units = units
        .into_iter()
        .map(|(order, product, held, confirmed)| ((order, product), Units { held, confirmed }))
        .collect();
    let cursors: Vec<(i32, i64)> =
        sqlx::query_as("SELECT partition, next_offset FROM stock_cursor WHERE topic = $1")
            .bind(topic)
            .fetch_all(&mut *db)
            .await?;
    stage.cursors = cursors.into_iter().collect();
    let letters: Vec<(i32, i64, String)> =
        sqlx::query_as("SELECT partition, record_offset, key FROM dead_letter").fetch_all(&mut *db).await?;
    stage.letters = letters.into_iter().map(|(partition, offset, key)| ((partition, offset), key)).collect();
    stage.unsent = sqlx::query_scalar("SELECT min(id) FROM outbox").fetch_one(db).await?;
    Ok(stage)
}

async fn products(db: &mut PgConnection, product: Option<i64>) -> Result<BTreeMap<i64, Stock>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT product_id, total, available, reserved, sold, purchase_limit::bigint FROM stock
         WHERE $1::bigint IS NULL OR product_id = $1",
    )
    .bind(product)
    .fetch_all(db)
    .await?;
    let stock = |row: &sqlx::postgres::PgRow| {
        let counts = [row.try_get(1)?, row.try_get(2)?, row.try_get(3)?, row.try_get(4)?];
        Ok((row.try_get(0)?, Stock { counts, limit: row.try_get(5)?, ..Stock::default() }))
    };
    rows.iter().map(stock).collect()
}

async fn most(db: &mut PgConnection, product: Option<i64>, stage: &mut Stage) -> Result<(), sqlx::Error> {
    let most: Vec<(i64, i64, i64)> = sqlx::query_as(
        "SELECT DISTINCT ON (product_id) product_id, user_id, units FROM (
             SELECT product_id, user_id, count(*) AS units FROM reservation
             WHERE state IN ('held', 'confirmed') AND ($1::bigint IS NULL OR product_id = $1) GROUP BY 1, 2) AS of_user
         ORDER BY product_id, units DESC",
    )
    .bind(product)
    .fetch_all(db)
    .await?;
    for (product, user, units) in most {
        stage.products.entry(product).or_default().most = Some((user, units));
    }
    Ok(())
}

async fn ledger(db: &mut PgConnection, product: Option<i64>, stage: &mut Stage) -> Result<(), sqlx::Error> {
    let sums: Vec<(i64, i64, i64, i64, i64)> = sqlx::query_as(
        "SELECT product_id, sum(total_delta)::bigint, sum(available_delta)::bigint, sum(reserved_delta)::bigint,
                sum(sold_delta)::bigint
         FROM stock_ledger WHERE $1::bigint IS NULL OR product_id = $1 GROUP BY 1",
    )
    .bind(product)
    .fetch_all(&mut *db)
    .await?;
    for (product, total, available, reserved, sold) in sums {
        stage.products.entry(product).or_default().ledger = [total, available, reserved, sold];
    }
    let gaps: Vec<(i64, i64)> = sqlx::query_as(
        "SELECT product_id, ledger_id FROM (
             SELECT product_id, ledger_id, available_after,
                    sum(available_delta) OVER (PARTITION BY product_id ORDER BY ledger_id)::bigint AS balance
             FROM stock_ledger WHERE $1::bigint IS NULL OR product_id = $1) AS chain
         WHERE available_after <> balance ORDER BY ledger_id",
    )
    .bind(product)
    .fetch_all(db)
    .await?;
    for (product, row) in gaps {
        stage.products.entry(product).or_default().gaps.push(row);
    }
    Ok(())
}

/// What must hold of the units. `limits` are the highest purchase limits that the log has seen: a seller may lower
/// one when more units are sold already.
pub(super) fn checks(stage: &Stage, limits: &HashMap<i64, i64>) -> Vec<Check> {
    let each = || stage.products.iter();
    let unbalanced = each().filter(|(_, stock)| {
        let [total, available, reserved, sold] = stock.counts;
        available + reserved + sold != total || stock.counts.iter().any(|count| *count < 0)
    });
    let mut sums: BTreeMap<i64, (i64, i64)> = BTreeMap::new();
    for ((_, product), units) in &stage.units {
        let sum = sums.entry(*product).or_default();
        *sum = (sum.0 + units.held, sum.1 + units.confirmed);
    }
    let different = each().filter_map(|(product, stock)| {
        let (held, confirmed) = sums.get(product).copied().unwrap_or_default();
        let differs = (held, confirmed) != (stock.counts[2], stock.counts[3]);
        let row = row(product, stock);
        differs.then(|| (about(product), format!("{row}: {held} held and {confirmed} confirmed units")))
    });
    let over = each().filter_map(|(product, stock)| {
        let limit = stock.limit.max(limits.get(product).copied().unwrap_or_default());
        let (user, units) = stock.most.filter(|(_, units)| *units > limit)?;
        Some((about(product), format!("product {product}: user {user} has {units}, limit {limit}")))
    });
    let unbooked = each().filter(|(_, stock)| stock.ledger != stock.counts).map(|(product, stock)| {
        (about(product), format!("{}: ledger {:?}", row(product, stock), stock.ledger))
    });
    let gaps = each().flat_map(|(product, stock)| {
        stock.gaps.iter().map(move |gap| format!("product {product}: row {gap}"))
    });
    let unbalanced = unbalanced.map(|(product, stock)| (about(product), row(product, stock)));
    vec![
        Check::about(AREA, "available + reserved + sold = total, none below zero", unbalanced),
        Check::about(AREA, "the reservations add up to the stock row", different),
        Check::about(AREA, "nobody has more than the purchase limit", over),
        Check::about(AREA, "the ledger adds up to the stock row", unbooked),
        Check::new(AREA, "the ledger has no gap", gaps),
    ]
}

/// What a case is about whose text has figures that change.
pub(super) fn about(product: &i64) -> String {
    format!("product {product}")
}

pub(super) fn row(product: &i64, stock: &Stock) -> String {
    let [total, available, reserved, sold] = stock.counts;
    format!("product {product}: total {total}, available {available}, reserved {reserved}, sold {sold}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ten units: one held, two sold, by two orders.
    fn clean() -> Stage {
        let counts = [10, 7, 1, 2];
        let stock = Stock { counts, limit: 2, most: Some((5, 2)), ledger: counts, gaps: Vec::new() };
        let units = [(1, Units { held: 1, confirmed: 0 }), (2, Units { held: 0, confirmed: 2 })];
        let units = units.map(|(order, units)| ((Uuid::from_u128(order), 1), units));
        Stage { products: [(1, stock)].into(), units: units.into(), ..Stage::default() }
    }

    fn broken(change: impl FnOnce(&mut Stage)) -> Vec<&'static str> {
        let mut stage = clean();
        change(&mut stage);
        let broken = checks(&stage, &HashMap::new()).into_iter().filter(|check| check.broken > 0);
        broken.map(|check| check.rule).collect()
    }

    fn stock(stage: &mut Stage) -> &mut Stock {
        stage.products.get_mut(&1).unwrap()
    }

    #[test]
    fn every_forged_figure_is_found() {
        assert!(broken(|_| {}).is_empty());
        let sums = "available + reserved + sold = total, none below zero";
        let ledger = "the ledger adds up to the stock row";
        assert_eq!(broken(|stage| stock(stage).counts[1] = 6), [sums, ledger]);
        let negative = |stage: &mut Stage| {
            stock(stage).counts = [2, -1, 1, 2];
            stock(stage).ledger = [2, -1, 1, 2];
        };
        assert_eq!(broken(negative), [sums]);
        let lost = |stage: &mut Stage| {
            stage.units.remove(&(Uuid::from_u128(2), 1));
        };
        assert_eq!(broken(lost), ["the reservations add up to the stock row"]);
        assert_eq!(broken(|stage| stock(stage).limit = 1), ["nobody has more than the purchase limit"]);
        assert_eq!(broken(|stage| stock(stage).ledger[3] = 3), [ledger]);
        assert_eq!(broken(|stage| stock(stage).gaps.push(4)), ["the ledger has no gap"]);
    }

    #[test]
    fn a_limit_lowered_later_blames_nobody() {
        let mut stage = clean();
        stock(&mut stage).limit = 1;
        let held = checks(&stage, &HashMap::from([(1, 2)]));
        assert!(held.iter().all(|check| check.broken == 0));
    }
}
