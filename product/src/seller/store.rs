//! Sellers' figures in SQL.

use common::wire::Time;
use common::wire::id::{CompanyId, ProductId, UserId};
use common::wire::money::Won;
use sqlx::PgConnection;

use super::{Own, People, Units};
use crate::catalog::store::state;
use crate::sale;
use common::wire::product::SaleState;

/// Products of a seller with smaller ids than `before`, the newest first.
///
/// # Errors
/// The database's.
pub async fn own(
    db: &mut PgConnection,
    seller: UserId,
    before: i64,
    limit: i64,
    now: Time,
) -> Result<Vec<Own>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT p.product_id, p.company_id, p.product_name, p.discounted_price, p.state, p.sale_start_time,
                  p.sale_end_time, p.external_id, p.updated_at,
                  COALESCE(s.total, p.initial_stock) AS "total!", COALESCE(s.available, p.initial_stock) AS "available!",
                  COALESCE(s.reserved, 0) AS "reserved!", COALESCE(s.sold, 0) AS "sold!"
           FROM product p LEFT JOIN stock s USING (product_id)
           WHERE p.deleted_at IS NULL AND p.product_id < $2
             AND p.company_id = ANY(ARRAY(SELECT company_id FROM company WHERE user_id = $1 AND deleted_at IS NULL))
           ORDER BY p.product_id DESC LIMIT $3"#,
        seller.0,
        before,
        limit,
    );
    let rows = rows.fetch_all(db).await?.into_iter().map(|row| {
        let told = state(&row.state)?;
        let stands = sale::rules::state(now, row.sale_start_time, row.sale_end_time, row.available);
        Ok(Own {
            product_id: ProductId(row.product_id),
            company_id: CompanyId(row.company_id),
            product_name: row.product_name,
            discounted_price: Won(row.discounted_price),
            state: if told == SaleState::Draft { told } else { stands },
            units: Units {
                total: row.total,
                available: row.available,
                reserved: row.reserved,
                sold: row.sold,
            },
            sale_start_time: row.sale_start_time,
            sale_end_time: row.sale_end_time,
            external_id: row.external_id,
            updated_at: row.updated_at,
        })
    });
    rows.collect()
}

/// The seller of a product, withdrawn or not.
///
/// # Errors
/// The database's.
pub async fn seller(db: &mut PgConnection, product: ProductId) -> Result<Option<UserId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT c.user_id AS "seller: UserId" FROM product JOIN company c USING (company_id) WHERE product_id = $1"#,
        product.0
    )
    .fetch_optional(db)
    .await
}

/// What is known of a sale here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Figures {
    /// Where it stands.
    pub state: SaleState,
    /// Its units.
    pub units: Units,
    /// Its people.
    pub people: People,
}

/// The figures of a sale, of one moment.
///
/// # Errors
/// The database's.
pub async fn figures(
    db: &mut PgConnection,
    product: ProductId,
    now: Time,
) -> Result<Option<Figures>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT p.state, p.sale_start_time, p.sale_end_time,
                  COALESCE(s.total, p.initial_stock) AS "total!", COALESCE(s.available, p.initial_stock) AS "available!",
                  COALESCE(s.reserved, 0) AS "reserved!", COALESCE(s.sold, 0) AS "sold!",
                  COALESCE(f.joined, 0) AS "joined!", COALESCE(f.let_in, 0) AS "let_in!",
                  COALESCE(f.ordered, 0) AS "ordered!"
           FROM product p LEFT JOIN stock s USING (product_id) LEFT JOIN room_figure f USING (product_id)
           WHERE p.product_id = $1"#,
        product.0,
    );
    let Some(row) = row.fetch_optional(db).await? else { return Ok(None) };
    let told = state(&row.state)?;
    let stands = sale::rules::state(now, row.sale_start_time, row.sale_end_time, row.available);
    Ok(Some(Figures {
        state: if told == SaleState::Draft { told } else { stands },
        units: Units { total: row.total, available: row.available, reserved: row.reserved, sold: row.sold },
        people: People { joined: row.joined, let_in: row.let_in, ordered: row.ordered },
    }))
}

/// A minute of a sale in which units moved.
#[derive(Debug, Clone, Copy)]
pub struct Minute {
    /// Its beginning.
    pub minute: Time,
    /// Units given to the sale, less those taken from it.
    pub added: i64,
    /// Units that were reserved, less those that were paid or came back.
    pub reserved: i64,
    /// Units that were paid, less those that came back.
    pub sold: i64,
    /// Units that were available at its end.
    pub available: i64,
}

/// Minutes of a sale at most: two months in which every minute moves units.
const MINUTES_MAX: i64 = 86_400;

/// A sale minute by minute, in order.
///
/// # Errors
/// The database's.
pub async fn minutes(db: &mut PgConnection, product: ProductId) -> Result<Vec<Minute>, sqlx::Error> {
    sqlx::query_as!(
        Minute,
        r#"SELECT date_trunc('minute', created_at) AS "minute!", sum(total_delta)::bigint AS "added!",
                  sum(reserved_delta)::bigint AS "reserved!", sum(sold_delta)::bigint AS "sold!",
                  (array_agg(available_after ORDER BY ledger_id DESC))[1] AS "available!"
           FROM stock_ledger WHERE product_id = $1 GROUP BY 1 ORDER BY 1 LIMIT $2"#,
        product.0,
        MINUTES_MAX,
    )
    .fetch_all(db)
    .await
}

/// The id of a step in a room's stream.
pub type StepId = (i64, i64);

/// Adds what a record of a room's log counts, unless it was counted before.
///
/// # Errors
/// The database's.
pub async fn count(
    db: &mut PgConnection,
    product: ProductId,
    (first, last): (StepId, StepId),
    people: People,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO room_figure AS f (product_id, last_ms, last_n, joined, let_in, ordered)
         VALUES ($1, $4, $5, $6, $7, $8)
         ON CONFLICT (product_id) DO UPDATE
         SET last_ms = $4, last_n = $5, joined = f.joined + $6, let_in = f.let_in + $7, ordered = f.ordered + $8
         WHERE (f.last_ms, f.last_n) < ($2, $3)",
        product.0,
        first.0,
        first.1,
        last.0,
        last.1,
        people.joined,
        people.let_in,
        people.ordered,
    )
    .execute(db)
    .await?;
    Ok(())
}
