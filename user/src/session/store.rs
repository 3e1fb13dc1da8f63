//! The table `session`.

use common::wire::Time;
use common::wire::id::{SessionId, UserId};
use common::wire::token::Role;
use common::wire::user::SessionView;
use sqlx::{PgConnection, PgPool};

use super::{NewSession, PER_ACCOUNT_MAX, RefreshToken, Session};
use crate::error::Error;

/// Stores a login and gives back its account's role; `None` when the account was deleted or its password changed since
/// the login was checked. Ends the account's least used logins above [`PER_ACCOUNT_MAX`].
pub(super) async fn insert(pg: &PgPool, session: &NewSession) -> Result<Option<Role>, Error> {
    let role = sqlx::query_file_scalar!(
        "src/session/sql/insert.sql",
        session.session_id.0,
        session.user_id.0,
        session.token.family_hash(),
        session.token.hash(),
        session.salt.as_slice(),
        session.user_agent,
        session.created_at,
        session.expires_at,
        session.password_changed_at,
        PER_ACCOUNT_MAX,
    );
    Ok(role.fetch_optional(pg).await?)
}

/// The login that the token belongs to, locked until the transaction ends.
pub(super) async fn lock(tx: &mut PgConnection, token: &RefreshToken) -> Result<Option<Session>, Error> {
    let session = sqlx::query_as!(
        Session,
        r#"SELECT session_id AS "session_id: SessionId", user_id AS "user_id: UserId", role AS "role: Role",
                  token_hash, used_hash, salt, used_at, expires_at
           FROM session JOIN account USING (user_id)
           WHERE family_hash = $1 AND deleted_at IS NULL
           FOR UPDATE OF session"#,
        token.family_hash(),
    );
    Ok(session.fetch_optional(tx).await?)
}

/// `used` was used: `next`, made of it with `salt`, is the one to use from now on.
pub(super) async fn rotate(
    tx: &mut PgConnection,
    session: &Session,
    (used, next, salt): (&RefreshToken, &RefreshToken, &[u8]),
    (now, expires_at): (Time, Time),
) -> Result<(), Error> {
    sqlx::query!(
        "UPDATE session SET token_hash = $2, used_hash = $3, salt = $4, used_at = $5, expires_at = $6
         WHERE session_id = $1",
        session.session_id.0,
        next.hash(),
        used.hash(),
        salt,
        now,
        expires_at,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Ends the login with this id, whoever's and whether it is stored or not: a token of it may be alive.
pub(super) async fn end(pg: &PgPool, user: UserId, sid: SessionId, now: Time) -> Result<(), Error> {
    sqlx::query!(
        "WITH ended AS (DELETE FROM session WHERE session_id = $1)
         INSERT INTO change (user_id, session_id, changed_at) VALUES ($2, $1, $3)",
        sid.0,
        user.0,
        now,
    )
    .execute(pg)
    .await?;
    Ok(())
}

/// Ends the login that the token, of whatever age, belongs to.
pub(super) async fn end_family(db: &mut PgConnection, token: &RefreshToken, now: Time) -> Result<(), Error> {
    sqlx::query!(
        "WITH ended AS (DELETE FROM session WHERE family_hash = $1 RETURNING session_id, user_id)
         INSERT INTO change (user_id, session_id, changed_at) SELECT user_id, session_id, $2 FROM ended",
        token.family_hash(),
        now,
    )
    .execute(db)
    .await?;
    Ok(())
}

/// Ends a login of this account; false when it has none with that id.
pub(super) async fn end_own(pg: &PgPool, user: UserId, sid: SessionId, now: Time) -> Result<bool, Error> {
    let ended = sqlx::query!(
        "WITH ended AS (DELETE FROM session WHERE session_id = $1 AND user_id = $2 RETURNING session_id)
         INSERT INTO change (user_id, session_id, changed_at) SELECT $2, session_id, $3 FROM ended",
        sid.0,
        user.0,
        now,
    )
    .execute(pg)
    .await?;
    Ok(ended.rows_affected() > 0)
}

/// Ends all logins of an account but one, or all.
pub(crate) async fn end_all(
    tx: &mut PgConnection,
    user: UserId,
    but: Option<SessionId>,
    now: Time,
) -> Result<(), Error> {
    sqlx::query!(
        "WITH ended AS (
             DELETE FROM session WHERE user_id = $1 AND session_id IS DISTINCT FROM $2 RETURNING session_id
         )
         INSERT INTO change (user_id, session_id, changed_at) SELECT $1, session_id, $3 FROM ended",
        user.0,
        but.map(|sid| sid.0),
        now,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// The logins of an account that last, the one used last first.
pub(super) async fn list(
    pg: &PgPool,
    user: UserId,
    asking: SessionId,
    now: Time,
) -> Result<Vec<SessionView>, Error> {
    let sessions = sqlx::query_as!(
        SessionView,
        r#"SELECT session_id AS "sid: SessionId", created_at, used_at, expires_at, user_agent,
                  session_id = $2 AS "current!"
           FROM session WHERE user_id = $1 AND expires_at > $3
           ORDER BY used_at DESC, session_id"#,
        user.0,
        asking.0,
        now,
    );
    Ok(sessions.fetch_all(pg).await?)
}

/// Removes at most `most` logins that ended by not being used; how many it were.
pub(crate) async fn forget(pg: &PgPool, now: Time, most: i64) -> Result<u64, Error> {
    let gone = sqlx::query!(
        "DELETE FROM session WHERE session_id IN (
             SELECT session_id FROM session WHERE expires_at <= $1 LIMIT $2)",
        now,
        most,
    );
    Ok(gone.execute(pg).await?.rows_affected())
}
