//! The table of letters.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use sqlx::postgres::{PgPool, PgRow};
use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use crate::kafka::unreadable::{Unreadable, error_headers};
use crate::outbox::{self, Parcel};
use crate::wire::Time;
use crate::wire::dead_letter::DeadLetter;
use crate::wire::event::Topic;

/// A record that is to be kept.
#[derive(Debug, Clone)]
pub struct Letter {
    /// The topic it was read from, without the deployment's prefix.
    pub topic: String,
    /// The record.
    pub record: Unreadable,
}

/// PostgreSQL's text holds no NUL, and a letter must never fail to be kept.
fn clean(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// Keeps letters; those that are kept already stay as they are.
///
/// # Errors
/// The database's.
pub async fn keep(tx: &mut PgConnection, letters: &[Letter], now: Time) -> Result<(), sqlx::Error> {
    for Letter { topic, record } in letters {
        sqlx::query(
            "INSERT INTO dead_letter (letter_id, topic, partition, record_offset, key, body, reason, created_at)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (topic, partition, record_offset) DO NOTHING",
        )
        .bind(Uuid::now_v7())
        .bind(topic)
        .bind(record.partition)
        .bind(record.offset)
        .bind(clean(&record.key))
        .bind(&record.bytes)
        .bind(clean(&record.why()))
        .bind(now)
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

/// Keeps records of a topic that nobody can use and sends them to its `.dlq`, with the transaction.
///
/// # Errors
/// The database's.
pub async fn bury(
    tx: &mut PgConnection,
    topic: Topic,
    records: &[Unreadable],
    now: Time,
) -> Result<(), sqlx::Error> {
    let letter = |record: &Unreadable| Letter { topic: topic.name.to_owned(), record: record.clone() };
    keep(tx, &records.iter().map(letter).collect::<Vec<_>>(), now).await?;
    for record in records {
        let headers = error_headers(topic, record).into_iter();
        let parcel = Parcel {
            topic: format!("{}.dlq", topic.name),
            key: clean(&record.key),
            headers: headers.map(|(name, value)| (name, clean(&value).into())).collect(),
            body: record.bytes.clone(),
        };
        outbox::post(tx, parcel, now).await?;
    }
    Ok(())
}

/// Which letters to list.
#[derive(Debug, Clone, Copy)]
pub struct Wanted {
    /// Only older ones than this.
    pub before: Option<Uuid>,
    /// Only those that were sent again, or were not.
    pub redriven: Option<bool>,
    /// How many at most.
    pub max: i64,
}

/// A page of letters, the newest first, without their bodies.
///
/// # Errors
/// The database's.
pub async fn list(pool: &PgPool, wanted: Wanted) -> Result<Vec<DeadLetter>, sqlx::Error> {
    let rows = sqlx::query(
        "SELECT letter_id, topic, partition, record_offset, key, reason, octet_length(body)::bigint AS size, created_at,
                redriven_at, redriven_by, NULL::bytea AS body
         FROM dead_letter
         WHERE ($1::uuid IS NULL OR letter_id < $1) AND ($2::boolean IS NULL OR (redriven_at IS NOT NULL) = $2)
         ORDER BY letter_id DESC LIMIT $3",
    )
    .bind(wanted.before)
    .bind(wanted.redriven)
    .bind(wanted.max)
    .fetch_all(pool)
    .await?;
    rows.iter().map(view).collect()
}

/// One letter with its body.
///
/// # Errors
/// The database's.
pub async fn one(pool: &PgPool, id: Uuid) -> Result<Option<DeadLetter>, sqlx::Error> {
    find(&mut *pool.acquire().await?, id).await
}

async fn find(connection: &mut PgConnection, id: Uuid) -> Result<Option<DeadLetter>, sqlx::Error> {
    let row = sqlx::query(
        "SELECT letter_id, topic, partition, record_offset, key, reason, octet_length(body)::bigint AS size, created_at,
                redriven_at, redriven_by, body
         FROM dead_letter WHERE letter_id = $1",
    )
    .bind(id)
    .fetch_optional(connection)
    .await?;
    row.as_ref().map(view).transpose()
}

fn view(row: &PgRow) -> Result<DeadLetter, sqlx::Error> {
    let body: Option<Vec<u8>> = row.try_get("body")?;
    Ok(DeadLetter {
        letter_id: row.try_get("letter_id")?,
        topic: row.try_get("topic")?,
        partition: row.try_get("partition")?,
        offset: row.try_get("record_offset")?,
        key: row.try_get("key")?,
        reason: row.try_get("reason")?,
        size: row.try_get("size")?,
        created_at: row.try_get("created_at")?,
        redriven_at: row.try_get("redriven_at")?,
        redriven_by: row.try_get("redriven_by")?,
        body: body.as_ref().map(|bytes| STANDARD.encode(bytes)),
        text: body.and_then(|bytes| String::from_utf8(bytes).ok()),
    })
}

/// Bytes of key and body that are sent again at most: a topic takes little more, and what it does not take would keep all
/// events behind it from being sent.
pub const REDRIVE_MAX: i32 = 1_000_000;

/// Sends a letter to its topic again, once: the first time by whom and when is noted and its bytes go to the outbox, in
/// one transaction; a repeat changes nothing, and one of more than [`REDRIVE_MAX`] bytes is not sent. Returns the letter as
/// it is then; `None` where there is none.
///
/// # Errors
/// The database's.
pub async fn redrive(
    pool: &PgPool,
    id: Uuid,
    by: &str,
    now: Time,
) -> Result<Option<DeadLetter>, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let first = sqlx::query(
        "UPDATE dead_letter SET redriven_at = $2, redriven_by = $3 WHERE letter_id = $1 AND redriven_at IS NULL
           AND octet_length(key) + octet_length(body) <= $4
         RETURNING topic, partition, record_offset, key, body",
    )
    .bind(id)
    .bind(now)
    .bind(by)
    .bind(REDRIVE_MAX)
    .fetch_optional(&mut *tx)
    .await?;
    if let Some(row) = first {
        let (topic, partition): (String, i32) = (row.try_get("topic")?, row.try_get("partition")?);
        let offset: i64 = row.try_get("record_offset")?;
        tracing::info!(letter.id = %id, topic, partition, offset, by, "dead letter sent again");
        let headers = json!({
            "x-letter-id": id,
            "x-redriven-by": by,
            "x-origin-partition": partition.to_string(),
            "x-origin-offset": offset.to_string(),
            "content-type": "application/json",
        });
        let headers = headers.as_object().cloned().unwrap_or_default();
        let parcel = Parcel { topic, key: row.try_get("key")?, headers, body: row.try_get("body")? };
        outbox::post(&mut tx, parcel, now).await?;
    }
    let letter = find(&mut tx, id).await?;
    tx.commit().await?;
    Ok(letter)
}

/// How many letters nobody has sent again.
///
/// # Errors
/// The database's.
pub async fn open(pool: &PgPool) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("SELECT count(*) FROM dead_letter WHERE redriven_at IS NULL").fetch_one(pool).await
}
