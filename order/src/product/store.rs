//! Rows of `product_copy`.

use std::collections::{BTreeMap, HashMap};

use common::wire::Time;
use common::wire::id::ProductId;
use common::wire::product::ProductSnapshot;
use sqlx::PgPool;
use sqlx::types::Json;

/// The known ones among the products.
///
/// # Errors
/// The database's.
pub async fn find(
    pool: &PgPool,
    ids: &[ProductId],
) -> Result<HashMap<ProductId, ProductSnapshot>, sqlx::Error> {
    let ids: Vec<i64> = ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        r#"SELECT snapshot AS "snapshot: Json<ProductSnapshot>" FROM product_copy WHERE product_id = ANY($1)"#,
        &ids,
    )
    .fetch_all(pool)
    .await?;
    Ok(rows.into_iter().map(|row| (row.snapshot.0.product_id, row.snapshot.0)).collect())
}

/// Keeps what is newer than what is known.
///
/// # Errors
/// The database's.
pub async fn keep(pool: &PgPool, snapshots: &[ProductSnapshot], now: Time) -> Result<(), sqlx::Error> {
    // One statement may touch a row only once, and two replicas must take rows in the same order.
    let mut newest: BTreeMap<ProductId, &ProductSnapshot> = BTreeMap::new();
    for snapshot in snapshots {
        let known = newest.entry(snapshot.product_id).or_insert(snapshot);
        if known.version < snapshot.version {
            *known = snapshot;
        }
    }
    let ids: Vec<i64> = newest.keys().map(|id| id.0).collect();
    let versions: Vec<i64> = newest.values().map(|snapshot| snapshot.version).collect();
    let bodies: Vec<Json<&ProductSnapshot>> = newest.into_values().map(Json).collect();
    sqlx::query!(
        "INSERT INTO product_copy AS known (product_id, version, snapshot, updated_at)
         SELECT i, v, s, $4 FROM UNNEST($1::bigint[], $2::bigint[], $3::jsonb[]) AS new (i, v, s) ORDER BY i
         ON CONFLICT (product_id) DO UPDATE
         SET version = EXCLUDED.version, snapshot = EXCLUDED.snapshot, updated_at = EXCLUDED.updated_at
         WHERE known.version < EXCLUDED.version",
        &ids,
        &versions,
        &bodies as &[Json<&ProductSnapshot>],
        now,
    )
    .execute(pool)
    .await?;
    Ok(())
}
