//! Categories in SQL.

use common::pg::OnConstraint as _;
use common::wire::product::CategoryView;
use sqlx::PgConnection;

use super::Wish;
use crate::catalog::store::Stamp;
use crate::error::Error;

/// All categories that were not withdrawn.
///
/// # Errors
/// The database's.
pub async fn all(db: &mut PgConnection) -> Result<Vec<CategoryView>, sqlx::Error> {
    sqlx::query_as!(
        CategoryView,
        "SELECT category_code, category_name, parent_code FROM category WHERE deleted_at IS NULL ORDER BY category_code"
    )
    .fetch_all(db)
    .await
}

/// All of them, which nobody else changes before the transaction ends.
///
/// # Errors
/// The database's.
pub async fn lock(db: &mut PgConnection) -> Result<Vec<CategoryView>, sqlx::Error> {
    sqlx::query!("LOCK TABLE category IN SHARE ROW EXCLUSIVE MODE").execute(&mut *db).await?;
    all(db).await
}

/// The version of a category that was not withdrawn, and will not be before the transaction ends.
///
/// # Errors
/// [`Error::UnknownCategory`]; the database's.
pub async fn hold(db: &mut PgConnection, code: i32) -> Result<i64, Error> {
    sqlx::query_scalar!(
        "SELECT version FROM category WHERE category_code = $1 AND deleted_at IS NULL FOR SHARE",
        code
    )
    .fetch_optional(db)
    .await?
    .ok_or(Error::UnknownCategory)
}

/// Adds a category.
///
/// # Errors
/// [`Error::CategoryExists`]; the database's.
pub async fn insert(db: &mut PgConnection, code: i32, wish: &Wish, stamp: Stamp) -> Result<(), Error> {
    let made = sqlx::query!(
        "INSERT INTO category (category_code, category_name, parent_code, created_at, created_by, updated_at, updated_by)
         VALUES ($1, $2, $3, $4, $5, $4, $5) ON CONFLICT DO NOTHING",
        code,
        wish.category_name,
        wish.parent_code,
        stamp.at,
        stamp.by.0,
    )
    .execute(db)
    .await?;
    if made.rows_affected() == 1 { Ok(()) } else { Err(Error::CategoryExists) }
}

/// Replaces what is said of a category; returns its new version.
///
/// # Errors
/// [`Error::CategoryExists`] when another one has the name; the database's.
pub async fn update(db: &mut PgConnection, code: i32, wish: &Wish, stamp: Stamp) -> Result<i64, Error> {
    sqlx::query_scalar!(
        "UPDATE category SET category_name = $2, parent_code = $3, version = version + 1, updated_at = $4, updated_by = $5
         WHERE category_code = $1 RETURNING version",
        code,
        wish.category_name,
        wish.parent_code,
        stamp.at,
        stamp.by.0,
    )
    .fetch_one(db)
    .await
    .on_constraint("category_name_once", || Error::CategoryExists)
}

/// Withdraws a category without products.
///
/// # Errors
/// [`Error::CategoryInUse`]; the database's.
pub async fn withdraw(db: &mut PgConnection, code: i32, stamp: Stamp) -> Result<(), Error> {
    // The row first: whoever registers a product into it holds it meanwhile.
    sqlx::query!(
        "UPDATE category SET version = version + 1, deleted_at = $2, deleted_by = $3, updated_at = $2, updated_by = $3
         WHERE category_code = $1",
        code,
        stamp.at,
        stamp.by.0,
    )
    .execute(&mut *db)
    .await?;
    let used = sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM product WHERE category_code = $1 AND deleted_at IS NULL) AS "used!""#,
        code
    );
    if used.fetch_one(db).await? { Err(Error::CategoryInUse) } else { Ok(()) }
}
