//! Imports in SQL.

use std::collections::HashMap;

use common::wire::Time;
use common::wire::id::{CompanyId, UserId};
use common::wire::problem::FieldError;
use serde_json::{Value, json};
use sqlx::PgConnection;
use sqlx::types::Json;
use uuid::Uuid;

use super::rules::Checked;
use super::{BATCH, Rejection, Row, State, View};
use crate::catalog::store::Stamp;

/// Rejections that are kept of one import; the rest is counted.
const REJECTIONS_MAX: i64 = 1_000;

/// A new import.
#[derive(Debug, Clone)]
pub struct New<'a> {
    /// Its id.
    pub import: Uuid,
    /// For which company.
    pub company: CompanyId,
    /// The first page to fetch, where it comes from elsewhere.
    pub url: Option<&'a str>,
}

/// Stores an import without rows.
///
/// # Errors
/// The database's.
pub async fn insert(db: &mut PgConnection, new: &New<'_>, stamp: Stamp) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO import (import_id, company_id, more, read, batches_left, created_at, created_by, updated_at,
                             updated_by)
         VALUES ($1, $2, $3, 0, 0, $4, $5, $4, $5)",
        new.import,
        new.company.0,
        new.url.is_some(),
        stamp.at,
        stamp.by.0,
    )
    .execute(&mut *db)
    .await?;
    if let Some(url) = new.url {
        let row = sqlx::query!("INSERT INTO import_page (import_id, url) VALUES ($1, $2)", new.import, url);
        row.execute(db).await?;
    }
    Ok(())
}

/// Adds rows to an import, the first of them after `read` others, in batches that wait.
///
/// # Errors
/// The database's.
pub async fn add(db: &mut PgConnection, import: Uuid, read: i64, rows: &[Row]) -> Result<(), sqlx::Error> {
    let batches: Vec<_> = rows.chunks(BATCH).collect();
    let firsts: Vec<i64> = (read + 1..).step_by(BATCH).take(batches.len()).collect();
    let items: Vec<Vec<u8>> =
        batches.iter().map(|rows| serde_json::to_vec(rows).expect("JSON becomes JSON")).collect();
    sqlx::query!(
        "INSERT INTO import_batch (import_id, first_row, items)
         SELECT $1, first, items FROM UNNEST($2::bigint[], $3::bytea[]) AS batch(first, items)",
        import,
        &firsts,
        &items,
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "UPDATE import SET read = read + $2, batches_left = batches_left + $3 WHERE import_id = $1",
        import,
        i64::try_from(rows.len()).unwrap_or(i64::MAX),
        i32::try_from(batches.len()).unwrap_or(i32::MAX),
    )
    .execute(db)
    .await?;
    Ok(())
}

/// A batch that this transaction deals with.
#[derive(Debug)]
pub struct Batch {
    /// Of which import.
    pub import: Uuid,
    /// For which company.
    pub company: CompanyId,
    /// Who asked for it.
    pub by: UserId,
    /// Number of its first row.
    pub first_row: i64,
    /// Its rows, as JSON.
    pub items: Vec<u8>,
}

/// Takes the oldest batch that nobody else has, for as long as the transaction lasts.
///
/// # Errors
/// The database's.
pub async fn take(db: &mut PgConnection) -> Result<Option<Batch>, sqlx::Error> {
    sqlx::query_as!(
        Batch,
        r#"SELECT b.import_id AS import, i.company_id AS "company: CompanyId", i.created_by AS "by: UserId",
                  b.first_row, b.items
           FROM import_batch b JOIN import i USING (import_id)
           ORDER BY b.import_id, b.first_row LIMIT 1 FOR UPDATE OF b SKIP LOCKED"#
    )
    .fetch_optional(db)
    .await
}

/// The categories that there are among these, which will not be withdrawn before the transaction ends.
///
/// # Errors
/// The database's.
pub async fn hold_categories(db: &mut PgConnection, codes: &[i32]) -> Result<Vec<i32>, sqlx::Error> {
    sqlx::query_scalar!(
        "SELECT category_code FROM category WHERE category_code = ANY($1) AND deleted_at IS NULL FOR SHARE",
        codes
    )
    .fetch_all(db)
    .await
}

/// Stores rows as products, but for those that the company has already; returns the products.
///
/// # Errors
/// The database's.
pub async fn products(
    db: &mut PgConnection,
    company: CompanyId,
    rows: &[Checked],
    stamp: Stamp,
) -> Result<Vec<i64>, sqlx::Error> {
    let items = Value::Array(rows.iter().map(|row| item(row, stamp.at)).collect());
    let made = sqlx::query_file!("src/import/sql/insert.sql", items, company.0, stamp.at, stamp.by.0);
    let made: HashMap<String, i64> =
        made.fetch_all(&mut *db).await?.into_iter().map(|row| (row.external_id, row.product_id)).collect();
    let mut options = Vec::new();
    let mut done = Vec::with_capacity(made.len());
    for row in rows {
        let Some(product) = made.get(&row.external_id).filter(|product| !done.contains(*product)) else {
            continue;
        };
        done.push(*product);
        for (position, option) in (1..).zip(&row.new.fields.options) {
            options.push(json!({
                "product_id": product,
                "position": position,
                "option_name": option.option_name,
                "option_value": option.option_value,
                "option_price": option.option_price,
            }));
        }
    }
    if !options.is_empty() {
        let made =
            sqlx::query_file!("src/import/sql/options.sql", Value::Array(options), stamp.at, stamp.by.0);
        made.execute(db).await?;
    }
    Ok(done)
}

fn item(row: &Checked, now: Time) -> Value {
    let fields = &row.new.fields;
    json!({
        "external_id": row.external_id,
        "category_code": fields.category_code,
        "product_name": fields.product_name,
        "description": fields.description,
        "original_price": fields.original_price,
        "discounted_price": fields.discounted_price,
        "initial_stock": row.new.stock,
        "sale_start_time": fields.sale_start_time,
        "sale_end_time": fields.sale_end_time,
        "purchase_limit": fields.purchase_limit,
        "images": fields.images,
        "queue": fields.queue,
        "sale_zone": fields.sale_zone,
        "state": fields.state(now, row.new.stock).as_str(),
    })
}

/// What became of a batch's rows.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Became products.
    pub stored: usize,
    /// The company had them already.
    pub known: usize,
    /// Became nothing.
    pub rejections: Vec<Rejection>,
}

/// Counts a batch and removes it. The import's row comes last: other batches wait for it until the commit.
///
/// # Errors
/// The database's.
pub async fn finish(
    db: &mut PgConnection,
    batch: &Batch,
    outcome: &Outcome,
    now: Time,
) -> Result<(), sqlx::Error> {
    let count = |number: usize| i64::try_from(number).unwrap_or(i64::MAX);
    let rejections = &outcome.rejections;
    sqlx::query!(
        "INSERT INTO import_rejection (import_id, row_number, external_id, errors)
         SELECT $1, row, external_id, errors
         FROM jsonb_to_recordset($2) AS rejected(row bigint, external_id text, errors jsonb)",
        batch.import,
        Value::Array(
            rejections
                .iter()
                .map(|one| { json!({"row": one.row, "external_id": one.external_id, "errors": one.errors}) })
                .collect()
        ),
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "DELETE FROM import_batch WHERE import_id = $1 AND first_row = $2",
        batch.import,
        batch.first_row
    )
    .execute(&mut *db)
    .await?;
    sqlx::query!(
        "UPDATE import SET stored = stored + $2, known = known + $3, rejected = rejected + $4,
                           batches_left = batches_left - 1, updated_at = $5::timestamptz,
                           finished_at = CASE WHEN batches_left = 1 AND NOT more THEN $5::timestamptz END
         WHERE import_id = $1",
        batch.import,
        count(outcome.stored),
        count(outcome.known),
        count(rejections.len()),
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// How far an import is; none where there is no such.
///
/// # Errors
/// The database's.
pub async fn show(db: &mut PgConnection, import: Uuid) -> Result<Option<View>, sqlx::Error> {
    let Some(row) =
        sqlx::query!("SELECT * FROM import WHERE import_id = $1", import).fetch_optional(&mut *db).await?
    else {
        return Ok(None);
    };
    let rejections = sqlx::query!(
        r#"SELECT row_number, external_id, errors AS "errors: Json<Vec<FieldError>>" FROM import_rejection
           WHERE import_id = $1 ORDER BY row_number LIMIT $2"#,
        import,
        REJECTIONS_MAX,
    );
    let rejections = rejections.fetch_all(db).await?.into_iter();
    Ok(Some(View {
        import_id: import,
        company_id: CompanyId(row.company_id),
        state: match (row.finished_at, &row.failure) {
            (None, _) => State::Running,
            (Some(_), None) => State::Done,
            (Some(_), Some(_)) => State::Failed,
        },
        read: row.read,
        stored: row.stored,
        known: row.known,
        rejected: row.rejected,
        rejections: rejections
            .map(|one| Rejection { row: one.row_number, external_id: one.external_id, errors: one.errors.0 })
            .collect(),
        failure: row.failure,
        created_at: row.created_at,
        finished_at: row.finished_at,
    }))
}

/// The owner of the company of an import.
///
/// # Errors
/// The database's.
pub async fn owner(db: &mut PgConnection, import: Uuid) -> Result<Option<UserId>, sqlx::Error> {
    sqlx::query_scalar!(
        r#"SELECT c.user_id AS "owner: UserId" FROM import i JOIN company c USING (company_id) WHERE i.import_id = $1"#,
        import
    )
    .fetch_optional(db)
    .await
}

/// An import that waits for a page.
#[derive(Debug)]
pub struct Waiting {
    /// The import.
    pub import: Uuid,
    /// The page.
    pub url: String,
    /// Rows that came before it.
    pub read: i64,
}

/// Takes the oldest import that waits for a page and that nobody else has, for as long as the transaction lasts.
///
/// # Errors
/// The database's.
pub async fn take_page(db: &mut PgConnection) -> Result<Option<Waiting>, sqlx::Error> {
    sqlx::query_as!(
        Waiting,
        "SELECT import_id AS import, url, read FROM import_page p JOIN import USING (import_id)
         ORDER BY import_id LIMIT 1 FOR UPDATE OF p SKIP LOCKED"
    )
    .fetch_optional(db)
    .await
}

/// Notes the page that comes next: none where all are here, or where a failure ends it.
///
/// # Errors
/// The database's.
pub async fn turn_page(
    db: &mut PgConnection,
    import: Uuid,
    next: Result<Option<&str>, &str>,
    now: Time,
) -> Result<(), sqlx::Error> {
    if let Ok(Some(url)) = next {
        let row = sqlx::query!("UPDATE import_page SET url = $2 WHERE import_id = $1", import, url);
        row.execute(db).await?;
        return Ok(());
    }
    sqlx::query!("DELETE FROM import_page WHERE import_id = $1", import).execute(&mut *db).await?;
    sqlx::query!(
        "UPDATE import SET more = false, failure = $2, updated_at = $3::timestamptz,
                           finished_at = CASE WHEN batches_left = 0 THEN $3::timestamptz END
         WHERE import_id = $1",
        import,
        next.err(),
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}
