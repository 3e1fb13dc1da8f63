//! Rows of `idempotency`.

use axum::http::StatusCode;
use common::wire::Time;
use sqlx::PgConnection;

use super::{Answer, Claim};
use crate::error::Error;

/// Claims the key for what is answered later in the same transaction, or after it. A key in use gives its stored answer instead.
///
/// Waits at most 2 s for a transaction that holds the same key: after that the caller is told to come back.
///
/// # Errors
/// [`Error::InProgress`], [`Error::KeyReused`], or the database's.
pub async fn claim(tx: &mut PgConnection, claim: &Claim, now: Time) -> Result<Option<Answer>, Error> {
    sqlx::query!("SET LOCAL lock_timeout = '2s'").execute(&mut *tx).await?;
    let claimed = sqlx::query!(
        "INSERT INTO idempotency (user_id, route, key, fingerprint, created_at)
         VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING",
        claim.user.0,
        claim.route,
        claim.key,
        claim.fingerprint,
        now,
    )
    .execute(&mut *tx)
    .await?;
    if claimed.rows_affected() == 1 {
        return Ok(None);
    }
    // No row: the other one was removed in between, which a repeat will find.
    find(tx, claim).await?.ok_or(Error::InProgress).map(Some)
}

/// The answer stored under the key; `None` when it is free.
///
/// # Errors
/// [`Error::InProgress`], [`Error::KeyReused`], or the database's.
pub async fn find(connection: &mut PgConnection, claim: &Claim) -> Result<Option<Answer>, Error> {
    let row = sqlx::query!(
        "SELECT fingerprint, status, coalesce(answer, body::text) AS answer FROM idempotency WHERE user_id = $1 AND route = $2 AND key = $3",
        claim.user.0,
        claim.route,
        claim.key,
    )
    .fetch_optional(connection)
    .await?;
    let Some(row) = row else { return Ok(None) };
    if row.fingerprint != claim.fingerprint {
        return Err(Error::KeyReused);
    }
    whole(row.status, row.answer).ok_or(Error::InProgress).map(Some)
}

/// Stores the answer under the key: `(user, route, key)`.
///
/// # Errors
/// The database's.
pub async fn answer(
    tx: &mut PgConnection,
    (user, route, key): (i64, &str, &str),
    answer: &Answer,
) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "UPDATE idempotency SET status = $4, answer = $5 WHERE user_id = $1 AND route = $2 AND key = $3",
        user,
        route,
        key,
        i32::from(answer.status.as_u16()),
        &*answer.body,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The answer stored under a key, whatever body it was claimed with.
///
/// # Errors
/// The database's.
pub async fn stored(
    tx: &mut PgConnection,
    (user, route, key): (i64, &str, &str),
) -> Result<Option<Answer>, sqlx::Error> {
    let row = sqlx::query!(
        "SELECT status, coalesce(answer, body::text) AS answer FROM idempotency WHERE user_id = $1 AND route = $2 AND key = $3",
        user,
        route,
        key,
    )
    .fetch_optional(tx)
    .await?;
    Ok(row.and_then(|row| whole(row.status, row.answer)))
}

fn whole(status: Option<i32>, answer: Option<String>) -> Option<Answer> {
    let status = StatusCode::from_u16(u16::try_from(status?).ok()?).ok()?;
    Some(Answer { status, body: answer?.into() })
}

impl Claim {
    /// What names the claim's row.
    pub fn name(&self) -> (i64, &str, &str) {
        (self.user.0, &self.route, &self.key)
    }

    /// Tells one body from another.
    pub fn fingerprint(&self) -> &[u8] {
        &self.fingerprint
    }
}
