//! The table `session`.

use sqlx::PgPool;

use super::Session;
use crate::error::Error;

/// Stores a login.
pub(super) async fn insert(pg: &PgPool, session: &Session) -> Result<(), Error> {
    sqlx::query!(
        "INSERT INTO session (session_id, user_id, refresh_token_hash, created_at, expires_at)
         VALUES ($1, $2, $3, $4, $5)",
        session.session_id.0,
        session.user_id.0,
        session.refresh_token_hash.as_slice(),
        session.created_at,
        session.expires_at,
    )
    .execute(pg)
    .await?;
    Ok(())
}
