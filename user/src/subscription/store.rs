//! The table `subscription`.

use common::wire::Time;
use common::wire::id::{ProductId, UserId};
use common::wire::notice::SubscriptionView;
use sqlx::PgPool;

use crate::error::Error;

/// Subscriptions of one account at most.
pub(crate) const PER_ACCOUNT_MAX: i64 = 500;

/// Subscribes an account to a product that is known here; false where it was.
pub(super) async fn subscribe(
    pg: &PgPool,
    user: UserId,
    product: ProductId,
    now: Time,
) -> Result<bool, Error> {
    let mut tx = pg.begin().await?;
    // One at a time per account: otherwise several at once could pass the limit together.
    sqlx::query!("SELECT FROM account WHERE user_id = $1 AND deleted_at IS NULL FOR NO KEY UPDATE", user.0)
        .fetch_optional(&mut *tx)
        .await?
        .ok_or(Error::UnknownUser)?;
    let made = sqlx::query!(
        "INSERT INTO subscription (product_id, user_id, created_at) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING",
        product.0,
        user.0,
        now,
    );
    if made.execute(&mut *tx).await?.rows_affected() == 0 {
        return Ok(false);
    }
    let count =
        sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM subscription WHERE user_id = $1"#, user.0);
    if count.fetch_one(&mut *tx).await? > PER_ACCOUNT_MAX {
        return Err(Error::TooManySubscriptions);
    }
    tx.commit().await?;
    Ok(true)
}

/// Ends a subscription, where there is one.
pub(super) async fn unsubscribe(pg: &PgPool, user: UserId, product: ProductId) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM subscription WHERE product_id = $1 AND user_id = $2", product.0, user.0)
        .execute(pg)
        .await?;
    Ok(())
}

/// Since when an account has been subscribed to a product.
pub(super) async fn since(
    pg: &PgPool,
    user: UserId,
    product: ProductId,
) -> Result<Option<Time>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT created_at FROM subscription WHERE product_id = $1 AND user_id = $2",
        product.0,
        user.0
    )
    .fetch_optional(pg)
    .await
}

/// An account's subscriptions to products before this id, the highest first; withdrawn products are left out.
pub(super) async fn list(
    pg: &PgPool,
    user: UserId,
    before: Option<i64>,
    max: i64,
) -> Result<Vec<SubscriptionView>, sqlx::Error> {
    sqlx::query_as!(
        SubscriptionView,
        r#"SELECT product_id AS "product_id: ProductId", product_name, starts_at AS sale_start_time,
                  ends_at AS sale_end_time, created_at AS "subscribed_at?"
           FROM subscription JOIN sale USING (product_id)
           WHERE user_id = $1 AND ($2::bigint IS NULL OR product_id < $2) AND NOT withdrawn
           ORDER BY product_id DESC LIMIT $3"#,
        user.0,
        before,
        max,
    )
    .fetch_all(pg)
    .await
}
