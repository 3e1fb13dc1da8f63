//! The table `change`.

use common::wire::Time;
use common::wire::id::{SessionId, UserId};
use sqlx::PgPool;

use super::Change;
use crate::error::Error;

/// How many wait to be told.
pub(super) async fn waiting(pg: &PgPool) -> Result<i64, Error> {
    Ok(sqlx::query_scalar!(r#"SELECT count(*) AS "count!" FROM change WHERE NOT told"#).fetch_one(pg).await?)
}

/// The first `most` of those that wait.
pub(super) async fn untold(pg: &PgPool, most: i64) -> Result<Vec<Change>, Error> {
    let changes = sqlx::query_as!(
        Change,
        r#"SELECT change_id, user_id AS "user_id: UserId", session_id AS "session_id: SessionId", of_role, changed_at
           FROM change WHERE NOT told ORDER BY change_id LIMIT $1"#,
        most,
    );
    Ok(changes.fetch_all(pg).await?)
}

/// These were told.
pub(super) async fn told(pg: &PgPool, ids: &[i64]) -> Result<(), Error> {
    sqlx::query!("UPDATE change SET told = true WHERE change_id = ANY($1)", ids).execute(pg).await?;
    Ok(())
}

/// All since then are to be told again.
pub(super) async fn retell(pg: &PgPool, since: Time) -> Result<(), Error> {
    sqlx::query!("UPDATE change SET told = false WHERE told AND changed_at > $1", since).execute(pg).await?;
    Ok(())
}

/// Removes at most `most` of those before `before`, and says how many it were.
pub(crate) async fn forget(pg: &PgPool, before: Time, most: i64) -> Result<u64, Error> {
    let gone = sqlx::query!(
        "DELETE FROM change WHERE change_id IN (
             SELECT change_id FROM change WHERE changed_at <= $1 AND told LIMIT $2)",
        before,
        most,
    );
    Ok(gone.execute(pg).await?.rows_affected())
}
