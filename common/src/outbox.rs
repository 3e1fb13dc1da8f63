//! The transactional outbox: events are rows of the transaction that causes them; one relay per service sends
//! them in the order of their ids and deletes what the broker has.
//!
//! Ids are given before the commit, so a reader of "greater than the last" could skip rows. This relay always takes
//! the smallest ids that exist and deletes them, so it skips none. Two events of one key are always caused under
//! one lock (the order's or product's row, the partition's cursor), so their ids follow their commits.
//!
//! The table, in the service's own migrations:
//! `outbox(id bigint identity, topic text, key text, headers jsonb, payload bytea, created_at timestamptz)`.

use std::sync::Arc;
use std::time::Duration;

use prometheus::IntGauge;
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{Connection as _, Row as _};
use tokio::sync::Notify;

use crate::clock::Clock;
use crate::config::Kafka;
use crate::kafka::producer::{Outgoing, Producer};
use crate::stop::Stop;
use crate::wire::Time;
use crate::wire::event::Event;

/// Rows sent at once.
const BATCH: i64 = 500;
/// Without a nudge the table is looked at this often: rows written by another replica have none.
const POLL: Duration = Duration::from_millis(25);
/// A relay that lost its lock, or cannot reach a store, tries again after this.
const RETRY: Duration = Duration::from_millis(500);
/// Between two looks at what waits.
const LOOK: Duration = Duration::from_secs(1);
/// Key of the advisory lock that makes the relay one per database.
const LOCK: i64 = 0x6f75_7462_6f78;

/// Wakes this process's relay after a commit, so that nothing waits for the poll.
#[derive(Debug, Clone, Default)]
pub struct Nudge(Arc<Notify>);

impl Nudge {
    /// Rows were committed.
    pub fn now(&self) {
        self.0.notify_one();
    }
}

/// Writes events within the caller's transaction.
///
/// # Errors
/// The database's.
pub async fn put<T: Event>(
    tx: &mut PgConnection,
    source: &str,
    events: &[T],
    now: Time,
) -> Result<(), sqlx::Error> {
    let topic = vec![T::TOPIC.name; events.len()];
    let keys: Vec<String> = events.iter().map(Event::key).collect();
    let (headers, bodies): (Vec<_>, Vec<_>) = events.iter().map(|event| encode(event, source, now)).unzip();
    // Rows get their ids in the arrays' order.
    sqlx::query(
        "INSERT INTO outbox (topic, key, headers, payload, created_at)
         SELECT t, k, h, p, $5 FROM UNNEST($1::text[], $2::text[], $3::jsonb[], $4::bytea[])
              WITH ORDINALITY AS row(t, k, h, p, n) ORDER BY n",
    )
    .bind(topic)
    .bind(keys)
    .bind(headers)
    .bind(bodies)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(())
}

/// CloudEvents headers and the body with its `type`.
fn encode<T: Event>(event: &T, source: &str, now: Time) -> (serde_json::Value, Vec<u8>) {
    let mut body = serde_json::to_value(event).expect("plain data always becomes JSON");
    if let Some(object) = body.as_object_mut() {
        object.entry("type").or_insert_with(|| event.kind().into());
    }
    let headers = serde_json::json!({
        "ce_id": uuid::Uuid::now_v7(),
        "ce_type": event.kind(),
        "ce_source": source,
        "ce_time": now,
        "ce_specversion": "1.0",
        "content-type": "application/json",
    });
    (headers, serde_json::to_vec(&body).expect("plain data always becomes JSON"))
}

/// Sends what stands in the outbox until the stop. Every replica runs it; the one that holds the lock works.
pub async fn relay(pool: PgPool, kafka: Kafka, producer: Producer, nudge: Nudge, stop: Stop) {
    while !stop.is_stopped() {
        if let Err(error) = lead(&pool, &kafka, &producer, &nudge, &stop).await {
            tracing::warn!(error = format!("{error:#}"), "outbox waits");
        }
        stop.pause(RETRY).await;
    }
    producer.flush();
}

/// Holds the lock on a connection of its own: it is released when the connection ends, however the process does.
async fn lead(
    pool: &PgPool,
    kafka: &Kafka,
    producer: &Producer,
    nudge: &Nudge,
    stop: &Stop,
) -> anyhow::Result<()> {
    let mut connection = pool.acquire().await?.detach();
    let held: bool =
        sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(LOCK).fetch_one(&mut connection).await?;
    if !held {
        return Ok(connection.close().await?);
    }
    tracing::info!("outbox relay leads");
    while !stop.is_stopped() {
        if step(&mut connection, kafka, producer).await? == 0 {
            tokio::select! {
                () = nudge.0.notified() => {}
                () = tokio::time::sleep(POLL) => {}
                () = stop.stopped() => {}
            }
        }
    }
    Ok(connection.close().await?)
}

/// Sends and deletes the oldest rows; returns how many.
async fn step(connection: &mut PgConnection, kafka: &Kafka, producer: &Producer) -> anyhow::Result<usize> {
    let rows = sqlx::query("SELECT id, topic, key, headers, payload FROM outbox ORDER BY id LIMIT $1")
        .bind(BATCH)
        .fetch_all(&mut *connection)
        .await?;
    if rows.is_empty() {
        return Ok(0);
    }
    let mut ids: Vec<i64> = Vec::with_capacity(rows.len());
    let mut records = Vec::with_capacity(rows.len());
    for row in &rows {
        ids.push(row.try_get("id")?);
        let headers: serde_json::Value = row.try_get("headers")?;
        let headers = headers.as_object().into_iter().flatten();
        records.push(Outgoing {
            topic: format!("{}{}", kafka.kafka_topic_prefix, row.try_get::<&str, _>("topic")?),
            key: row.try_get("key")?,
            headers: headers.map(|(k, v)| (k.clone(), v.as_str().unwrap_or_default().to_owned())).collect(),
            body: row.try_get("payload")?,
        });
    }
    producer.send(&records).await?;
    sqlx::query("DELETE FROM outbox WHERE id = ANY($1)").bind(&ids).execute(connection).await?;
    Ok(ids.len())
}

/// Keeps two gauges up to date until the stop: rows that wait, and the age of the oldest in milliseconds.
pub async fn watch(pool: PgPool, clock: Clock, rows: IntGauge, age_ms: IntGauge, stop: Stop) {
    while stop.pause(LOOK).await {
        match backlog(&pool).await {
            Ok((waiting, oldest)) => {
                rows.set(waiting);
                age_ms.set(oldest.map_or(0, |at| (clock.now() - at).num_milliseconds().max(0)));
            }
            Err(error) => tracing::debug!(%error, "outbox not counted"),
        }
    }
}

async fn backlog(pool: &PgPool) -> Result<(i64, Option<Time>), sqlx::Error> {
    let row = sqlx::query("SELECT count(*), min(created_at) FROM outbox").fetch_one(pool).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}
