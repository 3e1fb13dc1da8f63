//! The transactional outbox: events are rows of the transaction that causes them; one relay per service sends
//! them in the order of their ids and deletes what the broker has.
//!
//! Ids are given before the commit, so a reader of "greater than the last" could skip rows. This relay always takes
//! the smallest ids that exist and deletes them, so it skips none. Two events of one key are always caused under
//! one lock (the order's or product's row, the partition's cursor), so their ids follow their commits.
//!
//! The table, in the service's own migrations, holds the events of a transaction in one row (of many events in a few),
//! event by event in arrays of equal length, because it is rows that cost:
//! `outbox(id bigint identity, topics text[], keys text[], header_sets text[], bodies bytea[], records integer,
//! created_at timestamptz)`. A header set is a JSON object of texts; `records` counts the events. A row of an earlier
//! version holds one event, in `topic, key, headers jsonb, payload bytea`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use prometheus::IntGauge;
use serde::Serialize;
use sqlx::postgres::{PgConnection, PgPool};
use sqlx::{Connection as _, Executor as _, Row as _};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::clock::Clock;
use crate::config::Kafka;
use crate::kafka::producer::{Outgoing, Producer};
use crate::pg;
use crate::stop::Stop;
use crate::wire::Time;
use crate::wire::event::Event;

/// Events of one row at most.
const ROW_MAX: usize = 500;
/// Rows sent at once, at most,
const BATCH: i64 = 500;
/// and their events: no row begins beyond.
const EVENTS: i64 = 1_000;
/// Events removed until the table is cleaned: a search for the oldest row walks over all that were removed since, and
/// what they held takes room. The server by itself cleans once a minute, too late in a rush.
const CLEAN: usize = 20_000;
/// Without a nudge the table is looked at this often: rows written by another replica have none.
const POLL: Duration = Duration::from_millis(25);
/// A relay that lost its lock, or cannot reach a store, tries again after this.
const RETRY: Duration = Duration::from_millis(500);
/// A broker that takes longer than this is spoken of.
const PATIENCE: Duration = Duration::from_secs(2);
/// Another relay leads within ten seconds after this one froze or its machine went away. Removing what was sent needs no
/// commit on disk: rows that come back after a crash are sent again, as after any crash.
const SESSION: &str = "SET synchronous_commit = off; SET idle_session_timeout = '8s';
    SET tcp_keepalives_idle = 4; SET tcp_keepalives_interval = 1; SET tcp_keepalives_count = 4";
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

/// Events on their way into the outbox, of any types: up to 500 are one row.
#[derive(Debug)]
pub struct Letters {
    source: &'static str,
    now: Time,
    topics: Vec<&'static str>,
    keys: Vec<String>,
    headers: Vec<String>,
    bodies: Vec<Vec<u8>>,
}

impl Letters {
    /// None yet; `source` is the service's `ce_source`.
    #[must_use]
    pub fn new(source: &'static str, now: Time) -> Self {
        let (topics, keys, headers, bodies) = Default::default();
        Self { source, now, topics, keys, headers, bodies }
    }

    /// Adds events behind those that are there.
    #[must_use]
    pub fn with<'a, T: Event + 'a>(mut self, events: impl IntoIterator<Item = &'a T>) -> Self {
        for event in events {
            self.topics.push(T::TOPIC.name);
            self.keys.push(event.key());
            let headers = Headers {
                ce_id: Uuid::now_v7(),
                ce_type: event.kind(),
                ce_source: self.source,
                ce_time: self.now,
                ce_specversion: "1.0",
                content_type: "application/json",
            };
            self.headers.push(serde_json::to_string(&headers).expect("plain data always becomes JSON"));
            self.bodies.push(body(event));
        }
        self
    }

    /// Writes them within the caller's transaction. They are sent in their order.
    ///
    /// # Errors
    /// The database's.
    pub async fn put(&self, tx: &mut PgConnection) -> Result<(), sqlx::Error> {
        let names = self.topics.chunks(ROW_MAX).zip(self.keys.chunks(ROW_MAX));
        let contents = self.headers.chunks(ROW_MAX).zip(self.bodies.chunks(ROW_MAX));
        for (names, contents) in names.zip(contents) {
            insert(&mut *tx, names, contents, self.now).await?;
        }
        Ok(())
    }
}

/// A record of any kind on its way to the outbox.
#[derive(Debug, Clone)]
pub struct Parcel {
    /// Its topic, without the deployment's prefix.
    pub topic: String,
    /// What keeps its order.
    pub key: String,
    /// Header names and texts.
    pub headers: serde_json::Map<String, serde_json::Value>,
    /// The body.
    pub body: Vec<u8>,
}

/// Writes one record that is no event within the caller's transaction: a dead letter, or one that is sent again.
///
/// # Errors
/// The database's.
pub async fn post(tx: &mut PgConnection, parcel: Parcel, now: Time) -> Result<(), sqlx::Error> {
    let headers = serde_json::Value::Object(parcel.headers).to_string();
    insert(tx, (&[&parcel.topic], &[parcel.key]), (&[headers], &[parcel.body]), now).await
}

/// One row.
async fn insert(
    tx: &mut PgConnection,
    (topics, keys): (&[&str], &[String]),
    (headers, bodies): (&[String], &[Vec<u8>]),
    now: Time,
) -> Result<(), sqlx::Error> {
    sqlx::query(
        "INSERT INTO outbox (topics, keys, header_sets, bodies, created_at) VALUES ($1, $2, $3, $4, $5)",
    )
    .bind(topics)
    .bind(keys)
    .bind(headers)
    .bind(bodies)
    .bind(now)
    .execute(tx)
    .await?;
    Ok(())
}

/// CloudEvents headers.
#[derive(Debug, Serialize)]
struct Headers {
    ce_id: Uuid,
    ce_type: &'static str,
    ce_source: &'static str,
    ce_time: Time,
    ce_specversion: &'static str,
    #[serde(rename = "content-type")]
    content_type: &'static str,
}

/// The body with its `type`, which a tagged event has already.
fn body<T: Event>(event: &T) -> Vec<u8> {
    const TAG: &[u8] = b"{\"type\":";
    let plain = serde_json::to_vec(event).expect("plain data always becomes JSON");
    if plain.starts_with(TAG) {
        return plain;
    }
    let mut body = Vec::with_capacity(plain.len() + 64);
    body.extend_from_slice(TAG);
    serde_json::to_writer(&mut body, event.kind()).expect("plain data always becomes JSON");
    if plain != b"{}" {
        body.push(b',');
    }
    body.extend_from_slice(&plain[1..]);
    body
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

/// Holds the lock on a connection of its own: it is released when the connection ends, however the process does, and by
/// [`SESSION`] when the process does nothing any more.
async fn lead(
    pool: &PgPool,
    kafka: &Kafka,
    producer: &Producer,
    nudge: &Nudge,
    stop: &Stop,
) -> anyhow::Result<()> {
    // It took four times as long to plan a look at the oldest rows, each time, as to look.
    let mut connection = pg::by_key(pool, 1).acquire().await?.detach();
    let held: bool =
        sqlx::query_scalar("SELECT pg_try_advisory_lock($1)").bind(LOCK).fetch_one(&mut connection).await?;
    if !held {
        return Ok(connection.close().await?);
    }
    connection.execute(SESSION).await?;
    tracing::info!("outbox relay leads");
    let mut removed = 0;
    while !stop.is_stopped() {
        let sent = step(&mut connection, kafka, producer).await?;
        removed += sent;
        if removed >= CLEAN {
            removed = 0;
            connection.execute("VACUUM (INDEX_CLEANUP ON, TRUNCATE OFF) outbox").await?;
        }
        if sent == 0 {
            tokio::select! {
                () = nudge.0.notified() => {}
                () = tokio::time::sleep(POLL) => {}
                () = stop.stopped() => {}
            }
        }
    }
    Ok(connection.close().await?)
}

/// The oldest rows, with few enough events.
const OLDEST: &str =
    "SELECT id, coalesce(topics, ARRAY[topic]) AS topics, coalesce(keys, ARRAY[key]) AS keys,
        coalesce(header_sets, ARRAY[headers::text]) AS header_sets, coalesce(bodies, ARRAY[payload]) AS bodies
    FROM (SELECT *, sum(records) OVER (ORDER BY id) - records AS before
          FROM (SELECT * FROM outbox ORDER BY id LIMIT $1) AS oldest) AS counted
    WHERE before < $2 ORDER BY id";

/// Sends and deletes the oldest rows; returns how many events they held.
async fn step(connection: &mut PgConnection, kafka: &Kafka, producer: &Producer) -> anyhow::Result<usize> {
    let rows = sqlx::query(OLDEST).bind(BATCH).bind(EVENTS).fetch_all(&mut *connection).await?;
    if rows.is_empty() {
        return Ok(0);
    }
    let mut ids: Vec<i64> = Vec::with_capacity(rows.len());
    let mut records = Vec::new();
    for row in &rows {
        ids.push(row.try_get("id")?);
        let (topics, keys): (Vec<String>, Vec<String>) = (row.try_get("topics")?, row.try_get("keys")?);
        let (headers, bodies): (Vec<String>, Vec<Vec<u8>>) =
            (row.try_get("header_sets")?, row.try_get("bodies")?);
        for (((topic, key), headers), body) in topics.into_iter().zip(keys).zip(headers).zip(bodies) {
            let headers: BTreeMap<String, String> = serde_json::from_str(&headers)?;
            let topic = format!("{}{topic}", kafka.kafka_topic_prefix);
            records.push(Outgoing { topic, key, headers: headers.into_iter().collect(), body });
        }
    }
    send(connection, producer, &records).await?;
    sqlx::query("DELETE FROM outbox WHERE id = ANY($1)").bind(&ids).execute(connection).await?;
    Ok(records.len())
}

/// Waits for the broker's word, says so, and shows the database meanwhile that this relay lives.
async fn send(
    connection: &mut PgConnection,
    producer: &Producer,
    records: &[Outgoing],
) -> anyhow::Result<()> {
    let sent = producer.send(records);
    tokio::pin!(sent);
    loop {
        tokio::select! {
            sent = &mut sent => return sent,
            () = tokio::time::sleep(PATIENCE) => {
                tracing::warn!(events = records.len(), "outbox waits for Kafka");
                connection.execute("SELECT 1").await?;
            }
        }
    }
}

/// Keeps two gauges up to date until the stop: events that wait, and the age of the oldest in milliseconds.
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
    let row =
        sqlx::query("SELECT coalesce(sum(records), 0), min(created_at) FROM outbox").fetch_one(pool).await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}
