//! Reading a topic from any place to its end, outside of groups: for those who ask what it holds.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::BorrowedMessage;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{ClientContext, Message as _, Offset, TopicPartitionList};
use tokio::time::Instant;

use super::consumer::AFTER_ERROR;
use crate::config::Kafka;
use crate::wire::event::Topic;

/// The broker goes on giving records within this.
const ANSWER_MAX: Duration = Duration::from_secs(8);
/// A topic just made has leaders within this.
const LEADER_MAX: Duration = Duration::from_secs(20);
/// Between two questions to a broker that has no answer yet.
const AGAIN: Duration = Duration::from_millis(100);
/// A transaction has ended in its partitions within this after the broker's word, mostly within 10 ms.
const ENDED_WITHIN: Duration = Duration::from_secs(5);
const ENDED_AGAIN: Duration = Duration::from_millis(10);

/// Offsets by partition.
pub type Offsets = BTreeMap<i32, i64>;

/// A record as it lies in the topic.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// Its partition.
    pub partition: i32,
    /// Its place there.
    pub offset: i64,
    /// Its key; empty where it has none, or none that is text.
    pub key: &'a str,
    /// Its body.
    pub bytes: &'a [u8],
}

impl<'a> Record<'a> {
    fn of(message: &'a BorrowedMessage<'_>) -> Self {
        Self {
            partition: message.partition(),
            offset: message.offset(),
            key: std::str::from_utf8(message.key().unwrap_or_default()).unwrap_or_default(),
            bytes: message.payload().unwrap_or_default(),
        }
    }
}

/// Reads one topic. Every call blocks its thread; between calls it asks the broker for nothing.
#[derive(Debug)]
pub struct Reader {
    consumer: Plain,
    topic: Topic,
    name: String,
}

/// The client's own type says nothing of itself.
struct Plain(BaseConsumer<Quiet>);

/// The end of a partition is what a reader looks for: no error that belongs into a log.
struct Quiet;

impl ClientContext for Quiet {
    fn error(&self, error: KafkaError, reason: &str) {
        if !matches!(error.rdkafka_error_code(), Some(RDKafkaErrorCode::PartitionEOF)) {
            tracing::warn!(%error, reason, "reading failed");
        }
    }
}

impl ConsumerContext for Quiet {}

impl std::fmt::Debug for Plain {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("BaseConsumer")
    }
}

impl Reader {
    /// A reader of committed records.
    ///
    /// # Errors
    /// When the settings are refused.
    pub fn new(kafka: &Kafka, topic: Topic) -> anyhow::Result<Self> {
        let mut settings = kafka.client();
        settings
            // The client library wants a name; nothing is ever committed under it.
            .set("group.id", kafka.group("reader"))
            .set("enable.auto.commit", "false")
            .set("enable.partition.eof", "true")
            .set("isolation.level", "read_committed")
            // What is asked for may be deleted by now, or the topic another one.
            .set("auto.offset.reset", "earliest")
            .set("queued.max.messages.kbytes", "32768")
            // Where it is assigned anew, the client first waits for the answer about the partitions before: the
            // default is 500 ms, for each place that is looked at.
            .set("fetch.wait.max.ms", "10")
            .set("fetch.queue.backoff.ms", "10");
        let consumer = Plain(settings.create_with_context(Quiet).context("Kafka")?);
        Ok(Self { consumer, topic, name: kafka.topic(topic) })
    }

    /// Where every partition ends now. One of a topic just made has no leader for a moment, so this asks for a while.
    ///
    /// # Errors
    /// When the broker does not answer for 20 s.
    pub fn ends(&self) -> anyhow::Result<Offsets> {
        self.marks(|(_, end)| end)
    }

    /// Where every partition begins now: what came before has been deleted.
    ///
    /// # Errors
    /// As [`ends`](Self::ends).
    pub fn begins(&self) -> anyhow::Result<Offsets> {
        self.marks(|(begin, _)| begin)
    }

    fn marks(&self, pick: fn((i64, i64)) -> i64) -> anyhow::Result<Offsets> {
        let mark = |partition| Ok((partition, pick(self.watermarks(partition).context("Kafka")?)));
        (0..self.topic.partitions).map(mark).collect()
    }

    /// Waits until no transaction is open before these offsets, at most 5 s; says whether none is. Of a reader of committed
    /// records the client asks for the end of what is committed.
    #[must_use]
    pub fn has_ended(&self, ends: &Offsets) -> bool {
        let deadline = Instant::now() + ENDED_WITHIN;
        ends.iter().all(|(partition, end)| {
            loop {
                let left = deadline.saturating_duration_since(Instant::now());
                match self.consumer.0.fetch_watermarks(&self.name, *partition, left) {
                    Ok((_, reached)) if reached >= *end => return true,
                    _ if left.is_zero() => return false,
                    _ => std::thread::sleep(ENDED_AGAIN),
                }
            }
        })
    }

    /// Its partitions' numbers are below this.
    #[must_use]
    pub fn partitions(&self) -> i32 {
        self.topic.partitions
    }

    /// The topic's full name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    fn watermarks(&self, partition: i32) -> KafkaResult<(i64, i64)> {
        let deadline = Instant::now() + LEADER_MAX;
        loop {
            match self.consumer.0.fetch_watermarks(&self.name, partition, ANSWER_MAX) {
                Err(_) if Instant::now() < deadline => std::thread::sleep(AGAIN),
                answer => return answer,
            }
        }
    }

    /// Gives `each` record from these offsets (missing ones: from the beginning) to the present ends. Returns where it
    /// stopped.
    ///
    /// # Errors
    /// The first of `each`; or when the broker gives nothing for 8 s.
    pub fn to_end(
        &self,
        from: &Offsets,
        mut each: impl FnMut(Record<'_>) -> anyhow::Result<()>,
    ) -> anyhow::Result<Offsets> {
        let mut reached: Offsets =
            (0..self.topic.partitions).map(|one| (one, from.get(&one).copied().unwrap_or(0))).collect();
        let _assigned = self.assign(&reached)?;
        let mut ended = BTreeSet::new();
        let mut heard = Instant::now();
        while ended.len() < reached.len() {
            ensure!(heard.elapsed() < ANSWER_MAX, "{} could not be read to its end", self.name);
            match self.consumer.0.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => {
                    reached.insert(message.partition(), message.offset() + 1);
                    each(Record::of(&message))?;
                    heard = Instant::now();
                }
                Some(Err(KafkaError::PartitionEOF(partition))) => drop(ended.insert(partition)),
                // The client connects again by itself.
                Some(Err(_)) => std::thread::sleep(AFTER_ERROR),
                None => {}
            }
        }
        Ok(reached)
    }

    /// Gives the record at an offset, or the first one after it, to `found`; `None` where the partition ends before.
    ///
    /// # Errors
    /// When the broker gives nothing for 8 s.
    pub fn at<T>(
        &self,
        partition: i32,
        offset: i64,
        found: impl FnOnce(Record<'_>) -> T,
    ) -> anyhow::Result<Option<T>> {
        let _assigned = self.assign(&[(partition, offset)].into())?;
        let asked = Instant::now();
        while asked.elapsed() < ANSWER_MAX {
            match self.consumer.0.poll(Duration::from_millis(100)) {
                Some(Ok(message)) => return Ok(Some(found(Record::of(&message)))),
                Some(Err(KafkaError::PartitionEOF(_))) => return Ok(None),
                Some(Err(_)) => std::thread::sleep(AFTER_ERROR),
                None => {}
            }
        }
        anyhow::bail!("{} gave no record", self.name)
    }

    fn assign(&self, from: &Offsets) -> anyhow::Result<Assigned<'_>> {
        let mut list = TopicPartitionList::new();
        for (partition, offset) in from {
            list.add_partition_offset(&self.name, *partition, Offset::Offset(*offset))?;
        }
        self.consumer.0.assign(&list)?;
        Ok(Assigned(&self.consumer))
    }
}

/// What is read now, until it is dropped.
struct Assigned<'a>(&'a Plain);

impl Drop for Assigned<'_> {
    fn drop(&mut self) {
        if let Err(error) = self.0.0.unassign() {
            tracing::warn!(%error, "the reader goes on fetching");
        }
    }
}
