//! Which pictures there are.
//!
//! A row comes before its files and goes after them, and only a row that says `stored_at` may be referred to. Whoever wants
//! a picture, by uploading or by referring to it, moves `wanted_at`, which whoever removes it looks at under the same row's
//! lock: a picture that somebody just began to want is never removed.

use std::collections::HashSet;

use common::wire::Time;
use common::wire::id::UserId;
use common::wire::problem::FieldError;
use sqlx::{PgConnection, PgPool};

use super::Key;
use crate::error::Error;

/// Somebody begins to upload a picture.
pub(super) async fn begin(pg: &PgPool, key: &Key, by: UserId, now: Time) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "INSERT INTO image AS known (image_key, wanted_at, created_at, created_by) VALUES ($1, $2, $2, $3)
         ON CONFLICT (image_key) DO UPDATE SET wanted_at = GREATEST(known.wanted_at, EXCLUDED.wanted_at)",
        key.as_str(),
        now,
        by.0,
    )
    .execute(pg)
    .await?;
    Ok(())
}

/// Its files are there.
pub(super) async fn stored(pg: &PgPool, key: &Key, now: Time) -> Result<(), sqlx::Error> {
    sqlx::query!("UPDATE image SET stored_at = $2 WHERE image_key = $1", key.as_str(), now)
        .execute(pg)
        .await?;
    Ok(())
}

/// Makes sure that these pictures stay as long as a product refers to them, and a day longer. `was` is what it referred to
/// before.
///
/// # Errors
/// [`Error::Invalid`] naming those that do not exist; the database's.
pub async fn want(tx: &mut PgConnection, images: &[String], was: &[String], now: Time) -> Result<(), Error> {
    let keys: Vec<String> = images.iter().chain(was).cloned().collect();
    let errors = unknown(images, &keep(tx, &keys, now).await?);
    if errors.is_empty() { Ok(()) } else { Err(Error::Invalid(errors)) }
}

/// Says that these pictures are wanted; returns those that are there. They stay until the transaction ends.
///
/// # Errors
/// The database's.
pub async fn keep(tx: &mut PgConnection, keys: &[String], now: Time) -> Result<HashSet<String>, sqlx::Error> {
    if keys.is_empty() {
        return Ok(HashSet::new());
    }
    let known = sqlx::query_scalar!(
        "UPDATE image SET wanted_at = $2
         WHERE image_key IN (SELECT image_key FROM image WHERE image_key = ANY($1) ORDER BY image_key FOR UPDATE)
           AND stored_at IS NOT NULL
         RETURNING image_key",
        keys,
        now,
    );
    Ok(known.fetch_all(tx).await?.into_iter().collect())
}

/// A broken rule for each picture of a product that is not among those `known`.
#[must_use]
pub fn unknown(images: &[String], known: &HashSet<String>) -> Vec<FieldError> {
    let unknown = images.iter().enumerate().filter(|(_, key)| !known.contains(*key));
    let error = |(index, _)| FieldError {
        field: format!("images[{index}]"),
        message: "the key of an uploaded image".into(),
    };
    unknown.map(error).collect()
}

/// Takes pictures that nobody has wanted since `before` and no product refers to: from now on nobody can refer to them.
/// Returns those that are to be removed, with those of an earlier call that was not finished.
pub(super) async fn condemn(pg: &PgPool, before: Time, max: i64) -> Result<Vec<String>, sqlx::Error> {
    sqlx::query_file_scalar!("src/image/sql/condemn.sql", before, max).fetch_all(pg).await
}

/// Holds a condemned picture, unless somebody wants it again: nobody can upload it before the transaction ends.
pub(super) async fn hold(tx: &mut PgConnection, key: &str, before: Time) -> Result<bool, sqlx::Error> {
    let held = sqlx::query!(
        "SELECT FROM image WHERE image_key = $1 AND stored_at IS NULL AND wanted_at < $2 FOR UPDATE SKIP LOCKED",
        key,
        before,
    );
    Ok(held.fetch_optional(tx).await?.is_some())
}

/// Its files are gone.
pub(super) async fn forget(tx: &mut PgConnection, key: &str) -> Result<(), sqlx::Error> {
    sqlx::query!("DELETE FROM image WHERE image_key = $1", key).execute(tx).await?;
    Ok(())
}
