//! Companies in SQL.

use common::wire::Time;
use common::wire::id::{CompanyId, UserId};
use common::wire::product::CompanyView;
use sqlx::PgConnection;

use super::Wish;
use crate::catalog::store::Stamp;
use crate::etag::Tagged;

/// Registers a company.
///
/// # Errors
/// The database's.
pub async fn insert(
    db: &mut PgConnection,
    wish: &Wish,
    owner: UserId,
    now: Time,
) -> Result<CompanyView, sqlx::Error> {
    sqlx::query_as!(
        CompanyView,
        r#"INSERT INTO company (user_id, company_name, description, address, created_at, created_by, updated_at, updated_by)
           VALUES ($1, $2, $3, $4, $5, $1, $5, $1)
           RETURNING company_id AS "company_id: CompanyId", user_id AS "user_id: UserId", company_name, description,
                     address, created_at, updated_at"#,
        owner.0,
        wish.company_name,
        wish.description,
        wish.address,
        now,
    )
    .fetch_one(db)
    .await
}

/// A company that was not withdrawn, with its version.
///
/// # Errors
/// The database's.
pub async fn find(
    db: &mut PgConnection,
    company: CompanyId,
) -> Result<Option<Tagged<CompanyView>>, sqlx::Error> {
    let row = sqlx::query!(
        "SELECT user_id, company_name, description, address, created_at, updated_at, version
         FROM company WHERE company_id = $1 AND deleted_at IS NULL",
        company.0,
    );
    Ok(row.fetch_optional(db).await?.map(|row| Tagged {
        version: row.version,
        body: CompanyView {
            company_id: company,
            user_id: UserId(row.user_id),
            company_name: row.company_name,
            description: row.description,
            address: row.address,
            created_at: row.created_at,
            updated_at: row.updated_at,
        },
    }))
}

/// A company that was not withdrawn, and will not be before the transaction ends.
///
/// # Errors
/// The database's.
pub async fn hold(db: &mut PgConnection, company: CompanyId) -> Result<Option<CompanyView>, sqlx::Error> {
    sqlx::query_as!(
        CompanyView,
        r#"SELECT company_id AS "company_id: CompanyId", user_id AS "user_id: UserId", company_name, description,
                  address, created_at, updated_at
           FROM company WHERE company_id = $1 AND deleted_at IS NULL FOR SHARE"#,
        company.0,
    )
    .fetch_optional(db)
    .await
}

/// What a change of a company is measured against.
#[derive(Debug)]
pub struct Locked {
    /// Whose it is.
    pub owner: UserId,
    /// Its version.
    pub version: i64,
}

/// A company that was not withdrawn; nobody else changes it before the transaction ends.
///
/// # Errors
/// The database's.
pub async fn lock(db: &mut PgConnection, company: CompanyId) -> Result<Option<Locked>, sqlx::Error> {
    sqlx::query_as!(
        Locked,
        r#"SELECT user_id AS "owner: UserId", version FROM company
           WHERE company_id = $1 AND deleted_at IS NULL FOR UPDATE"#,
        company.0,
    )
    .fetch_optional(db)
    .await
}

/// One page of the companies, newest first, and how many there are.
///
/// # Errors
/// The database's.
pub async fn page(
    db: &mut PgConnection,
    name: Option<&str>,
    limit: i64,
    offset: i64,
) -> Result<(Vec<CompanyView>, i64), sqlx::Error> {
    let total = sqlx::query_scalar!(
        r#"SELECT count(*) AS "count!" FROM company
           WHERE deleted_at IS NULL AND ($1::text IS NULL OR strpos(lower(company_name), lower($1)) > 0)"#,
        name,
    )
    .fetch_one(&mut *db)
    .await?;
    let items = sqlx::query_as!(
        CompanyView,
        r#"SELECT company_id AS "company_id: CompanyId", user_id AS "user_id: UserId", company_name, description,
                  address, created_at, updated_at
           FROM company
           WHERE deleted_at IS NULL AND ($1::text IS NULL OR strpos(lower(company_name), lower($1)) > 0)
           ORDER BY company_id DESC LIMIT $2 OFFSET $3"#,
        name,
        limit,
        offset,
    )
    .fetch_all(db)
    .await?;
    Ok((items, total))
}

/// Replaces what is said of a company.
///
/// # Errors
/// The database's.
pub async fn update(
    db: &mut PgConnection,
    company: CompanyId,
    wish: &Wish,
    stamp: Stamp,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE company SET company_name = $2, description = $3, address = $4, version = version + 1,
                            updated_at = $5, updated_by = $6
         WHERE company_id = $1",
        company.0,
        wish.company_name,
        wish.description,
        wish.address,
        stamp.at,
        stamp.by.0,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Whether it has products that were not withdrawn.
///
/// # Errors
/// The database's.
pub async fn has_products(db: &mut PgConnection, company: CompanyId) -> Result<bool, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT EXISTS (SELECT FROM product WHERE company_id = $1 AND deleted_at IS NULL) AS "exists!""#,
        company.0,
    )
    .fetch_one(db)
    .await
}

/// Withdraws a company.
///
/// # Errors
/// The database's.
pub async fn withdraw(
    db: &mut PgConnection,
    company: CompanyId,
    by: UserId,
    now: Time,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE company SET version = version + 1, deleted_at = $2, deleted_by = $3, updated_at = $2, updated_by = $3 WHERE company_id = $1",
        company.0,
        now,
        by.0,
    )
    .execute(db)
    .await?;
    Ok(())
}
