//! From the `.dlq` topics into the table: letters of those who have no database, and of those who met a record outside
//! of a transaction.

use std::time::Duration;

use anyhow::Context as _;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::message::BorrowedMessage;
use rdkafka::{Message as _, Offset, TopicPartitionList};
use sqlx::postgres::PgPool;
use tokio::sync::mpsc;

use super::store::{self, Letter};
use crate::clock::Clock;
use crate::config::Kafka;
use crate::kafka::consumer::{AFTER_ERROR, header};
use crate::kafka::unreadable::Unreadable;
use crate::stop::Stop;
use crate::wire::event::Topic;

/// Letters that are kept in one transaction at most.
const BATCH: usize = 100;
/// The longest wait for a letter before the stop is looked at.
const POLL: Duration = Duration::from_millis(200);
/// A store that failed is tried again after this.
const RETRY: Duration = Duration::from_secs(1);

/// A letter, and its place in its `.dlq`.
struct Found {
    /// The `.dlq`'s name, in full.
    source: String,
    offset: i64,
    letter: Letter,
}

/// Keeps what the topics' `.dlq`s hold, from where it was left, until the stop. Several replicas may do it at once.
pub async fn run(pool: PgPool, kafka: Kafka, topics: &'static [Topic], clock: Clock, stop: Stop) {
    while !stop.is_stopped() {
        if let Err(error) = collect(&pool, &kafka, topics, &clock, &stop).await {
            tracing::warn!(error = format!("{error:#}"), "dead letters are not collected; trying again");
        }
        stop.pause(RETRY).await;
    }
}

async fn collect(
    pool: &PgPool,
    kafka: &Kafka,
    topics: &'static [Topic],
    clock: &Clock,
    stop: &Stop,
) -> anyhow::Result<()> {
    let mut places = TopicPartitionList::new();
    for topic in topics {
        let source = kafka.dead_letters(*topic);
        let next: Option<i64> =
            sqlx::query_scalar("SELECT next_offset FROM dead_letter_cursor WHERE topic = $1")
                .bind(&source)
                .fetch_optional(pool)
                .await?;
        places.add_partition_offset(&source, 0, next.map_or(Offset::Beginning, Offset::Offset))?;
    }
    let mut settings = kafka.client();
    settings
        // The client library wants a name; nothing is ever committed under it.
        .set("group.id", kafka.group("dead-letters"))
        .set("enable.auto.commit", "false")
        .set("auto.offset.reset", "earliest");
    let consumer: BaseConsumer = settings.create().context("Kafka")?;
    consumer.assign(&places)?;
    let (letters, mut arriving) = mpsc::channel(BATCH);
    let reading = tokio::task::spawn_blocking(move || read(&consumer, &letters));
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        tokio::select! {
            found = arriving.recv_many(&mut batch, BATCH) => if found == 0 { break },
            () = stop.stopped() => break,
        }
        keep(pool, &batch, clock).await?;
        batch.clear();
    }
    drop(arriving);
    reading.await?;
    Ok(())
}

/// Reads until nobody takes letters any more.
fn read(consumer: &BaseConsumer, letters: &mpsc::Sender<Found>) {
    while !letters.is_closed() {
        match consumer.poll(POLL) {
            Some(Ok(message)) => drop(letters.blocking_send(found(&message))),
            // The client connects again by itself.
            Some(Err(error)) => {
                tracing::debug!(%error, "dead letters not read");
                std::thread::sleep(AFTER_ERROR);
            }
            None => {}
        }
    }
}

/// A letter tells where it came from; one that somebody else wrote stands for itself.
fn found(message: &BorrowedMessage<'_>) -> Found {
    let text = |name: &str| header(message, name);
    let number = |name: &str| text(name).and_then(|value| value.parse::<i64>().ok());
    let partition = number("x-origin-partition").and_then(|value| i32::try_from(value).ok());
    let letter = Letter {
        topic: text("x-origin-topic").unwrap_or_else(|| message.topic().to_owned()),
        record: Unreadable {
            partition: partition.unwrap_or_else(|| message.partition()),
            offset: number("x-origin-offset").unwrap_or_else(|| message.offset()),
            key: String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned(),
            bytes: message.payload().unwrap_or_default().to_vec(),
            reason: text("x-error").unwrap_or_else(|| "it came without a reason".to_owned()),
        },
    };
    Found { source: message.topic().to_owned(), offset: message.offset(), letter }
}

async fn keep(pool: &PgPool, batch: &[Found], clock: &Clock) -> Result<(), sqlx::Error> {
    let mut tx = pool.begin().await?;
    for Found { source, offset, letter } in batch {
        store::keep(&mut tx, std::slice::from_ref(letter), clock.now()).await?;
        sqlx::query(
            "INSERT INTO dead_letter_cursor (topic, next_offset) VALUES ($1, $2)
             ON CONFLICT (topic) DO UPDATE SET next_offset = EXCLUDED.next_offset",
        )
        .bind(source)
        .bind(offset + 1)
        .execute(&mut *tx)
        .await?;
    }
    tx.commit().await
}
