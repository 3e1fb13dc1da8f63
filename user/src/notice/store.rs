//! The boxes.

use common::wire::Time;
use common::wire::id::UserId;
use common::wire::notice::{BoxView, Notice, NoticeView};
use sqlx::types::Json;
use sqlx::{PgConnection, PgPool};

/// Key of the advisory lock that whoever writes notices holds until the commit.
const LOCK: i64 = 0x6e6f_7469_6365;
/// Unread notices are counted up to here.
const UNREAD_MAX: i64 = 1_000;

/// A notice on its way into a box.
pub(crate) struct Letter {
    /// Whose box.
    pub(crate) user: UserId,
    /// Names the event: a box holds one notice of each.
    pub(crate) event_key: String,
    /// What it says.
    pub(crate) notice: Notice,
}

/// Waits for the turn to write notices within this transaction. Ids are given before a commit; taken in turns, they
/// follow the commits, and a reader who goes on after the last id misses none.
pub(super) async fn take_turn(tx: &mut PgConnection) -> Result<(), sqlx::Error> {
    sqlx::query!("SELECT pg_advisory_xact_lock($1)", LOCK).execute(tx).await?;
    Ok(())
}

/// Puts letters into their boxes, unless they are there; returns how many were new.
pub(crate) async fn put(pg: &PgPool, letters: &[Letter], now: Time) -> Result<u64, sqlx::Error> {
    let users: Vec<i64> = letters.iter().map(|letter| letter.user.0).collect();
    let keys: Vec<String> = letters.iter().map(|letter| letter.event_key.clone()).collect();
    let bodies: Vec<Json<&Notice>> = letters.iter().map(|letter| Json(&letter.notice)).collect();
    let mut tx = pg.begin().await?;
    take_turn(&mut tx).await?;
    let put = sqlx::query!(
        "INSERT INTO notice (user_id, event_key, body, created_at)
         SELECT u, k, b, $4 FROM UNNEST($1::bigint[], $2::text[], $3::jsonb[]) WITH ORDINALITY AS l (u, k, b, n)
         ORDER BY n
         ON CONFLICT ON CONSTRAINT notice_once DO NOTHING",
        &users,
        &keys,
        &bodies as &[Json<&Notice>],
        now,
    )
    .execute(&mut *tx)
    .await?;
    tx.commit().await?;
    Ok(put.rows_affected())
}

/// A user's notices before this id, the newest first.
pub(super) async fn before(
    pg: &PgPool,
    user: UserId,
    before: Option<i64>,
    max: i64,
) -> Result<Vec<NoticeView>, sqlx::Error> {
    let rows = sqlx::query_file!("src/notice/sql/before.sql", user.0, before, max).fetch_all(pg).await?;
    let view = |row| {
        let (notice_id, at, read, Json(notice)) = row;
        NoticeView { notice_id, at, read, notice }
    };
    Ok(rows.into_iter().map(|row| view((row.notice_id, row.created_at, row.read, row.body))).collect())
}

/// A user's notices after this id, the oldest first.
pub(super) async fn after(
    pg: &PgPool,
    user: UserId,
    after: i64,
    max: i64,
) -> Result<Vec<NoticeView>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT notice_id, created_at, body AS "body: Json<Notice>" FROM notice
           WHERE user_id = $1 AND notice_id > $2 ORDER BY notice_id LIMIT $3"#,
        user.0,
        after,
        max,
    )
    .fetch_all(pg)
    .await?;
    let view = |(notice_id, at, Json(notice))| NoticeView { notice_id, at, read: false, notice };
    Ok(rows.into_iter().map(|row| view((row.notice_id, row.created_at, row.body))).collect())
}

/// A user's box as a whole.
pub(super) async fn summary(pg: &PgPool, user: UserId) -> Result<BoxView, sqlx::Error> {
    sqlx::query_as!(
        BoxView,
        r#"SELECT (SELECT count(*) FROM (SELECT FROM notice WHERE user_id = $1 AND notice_id >
                       COALESCE((SELECT read_up_to FROM notice_mark WHERE user_id = $1), 0) LIMIT $2) AS n)
                      AS "unread!",
                  (SELECT max(notice_id) FROM notice WHERE user_id = $1) AS newest"#,
        user.0,
        UNREAD_MAX,
    )
    .fetch_one(pg)
    .await
}

/// Marks a user's notices up to one of them as read. False when it is none of theirs.
pub(super) async fn mark_read(pg: &PgPool, user: UserId, up_to: i64) -> Result<bool, sqlx::Error> {
    let marked = sqlx::query!(
        "INSERT INTO notice_mark AS mark (user_id, read_up_to)
         SELECT user_id, notice_id FROM notice WHERE user_id = $1 AND notice_id = $2
         ON CONFLICT (user_id) DO UPDATE SET read_up_to = GREATEST(mark.read_up_to, EXCLUDED.read_up_to)",
        user.0,
        up_to,
    )
    .execute(pg)
    .await?;
    Ok(marked.rows_affected() > 0)
}

/// The newest id; 0 where there is none.
pub(super) async fn head(pg: &PgPool) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar!(r#"SELECT COALESCE(max(notice_id), 0) AS "head!" FROM notice"#).fetch_one(pg).await
}

/// The newest id that each of these users got after `after` and up to `up_to`.
pub(super) async fn newest(
    pg: &PgPool,
    users: &[i64],
    after: i64,
    up_to: i64,
) -> Result<Vec<(UserId, i64)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT user_id, max(notice_id) AS "newest!" FROM notice
           WHERE notice_id > $1 AND notice_id <= $2 AND user_id = ANY($3) GROUP BY user_id"#,
        after,
        up_to,
        users,
    )
    .fetch_all(pg)
    .await?;
    Ok(rows.into_iter().map(|row| (UserId(row.user_id), row.newest)).collect())
}

/// Removes what was told before `before`, from the oldest `max` rows; returns how many.
pub(super) async fn forget(pg: &PgPool, before: Time, max: i64) -> Result<u64, sqlx::Error> {
    // Ids follow time: what is old stands at the front.
    let gone = sqlx::query!(
        "DELETE FROM notice WHERE created_at < $1
         AND notice_id IN (SELECT notice_id FROM notice ORDER BY notice_id LIMIT $2)",
        before,
        max,
    )
    .execute(pg)
    .await?;
    Ok(gone.rows_affected())
}
