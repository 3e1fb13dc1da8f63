//! Rows of `product_copy`.

use std::collections::BTreeMap;

use common::wire::Time;
use common::wire::id::ProductId;
use common::wire::product::ProductSnapshot;
use sqlx::PgPool;
use sqlx::types::Json;

/// A product, when it is known.
///
/// # Errors
/// The database's.
pub async fn find(pool: &PgPool, id: ProductId) -> Result<Option<ProductSnapshot>, sqlx::Error> {
    let row = sqlx::query!(
        r#"SELECT snapshot AS "snapshot: Json<ProductSnapshot>" FROM product_copy WHERE product_id = $1"#,
        id.0,
    )
    .fetch_optional(pool)
    .await?;
    Ok(row.map(|row| row.snapshot.0))
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
