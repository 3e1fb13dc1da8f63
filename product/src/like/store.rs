//! The table `product_like`, and the count that stands with the product.

use common::wire::id::ProductId;
use sqlx::PgPool;

use super::counts::Change;

/// Key of the advisory lock that whoever writes likes holds: rows of products are then locked by one at a time.
const LOCK: i64 = 0x6c69_6b65;

/// Who likes a product; `None` when there is no such product.
pub(super) async fn likers(pg: &PgPool, product: ProductId) -> Result<Option<Vec<i64>>, sqlx::Error> {
    let known = sqlx::query!("SELECT FROM product WHERE product_id = $1 AND listed", product.0);
    if known.fetch_optional(pg).await?.is_none() {
        return Ok(None);
    }
    let users = sqlx::query_scalar!("SELECT user_id FROM product_like WHERE product_id = $1", product.0);
    users.fetch_all(pg).await.map(Some)
}

/// Writes changes, each product and user once. Doing it again changes nothing.
pub(super) async fn write(pg: &PgPool, changes: &[Change]) -> Result<(), sqlx::Error> {
    let products: Vec<i64> = changes.iter().map(|change| change.product.0).collect();
    let users: Vec<i64> = changes.iter().map(|change| change.user.0).collect();
    let likes: Vec<bool> = changes.iter().map(|change| change.likes).collect();
    let mut tx = pg.begin().await?;
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", LOCK).execute(&mut *tx).await?;
    sqlx::query_file!("src/like/sql/write.sql", &products, &users, &likes).execute(&mut *tx).await?;
    tx.commit().await
}
