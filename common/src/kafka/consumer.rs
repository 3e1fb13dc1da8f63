//! Reading records: at least once, in order per key, effects before commits.
//!
//! A thread of its own polls a `BaseConsumer` (the stream consumer can miss its wake-up) and hands batches to the
//! service through a bounded channel. Offsets are committed after the service has applied a batch. What cannot be
//! read goes to the topic's dead letters with its reason, and the rest flows on.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _, ConsumerContext};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _};
use rdkafka::{ClientContext, Message as _, Statistics};
use tokio::sync::{mpsc, oneshot};

use super::commits::{Ends, Offsets, Safety, advance, rewind};
use super::producer::{Outgoing, Producer};
use super::unreadable::{Unreadable, dead_letter};
use crate::config::Kafka;
use crate::stop::Stop;
use crate::wire::event::{Event, Topic};

/// Records of one batch at most.
const BATCH_MAX: usize = 1_000;
/// Once a batch has so many bytes it is complete: some records hold hundreds of steps or decisions.
const BATCH_BYTES: usize = 2 << 20;
/// A batch waits this long for more records after its first one, however steadily they come.
const FILL: Duration = Duration::from_millis(2);
/// Longest wait for the first record of a batch; also how late a stop is seen.
const IDLE: Duration = Duration::from_millis(100);
/// Records that wait at the broker do so no longer once they are this many bytes.
const FULL_BYTES: &str = "1048576";
/// Batches that wait for the service at most.
const BATCHES_MAX: usize = 4;
/// A pause after an error, against a client that reports one without end. While no broker is there it reports each
/// connection that fails, up to forty a second, in one queue with records and rebalances: whoever takes errors more
/// slowly than they come is behind for minutes after the broker's return, and keeps its group from going on.
pub const AFTER_ERROR: Duration = Duration::from_millis(5);
/// Between a consumer that failed for good and the next one.
const ANEW: Duration = Duration::from_millis(250);

/// A record that could be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Received<T> {
    /// Partition it came from.
    pub partition: i32,
    /// Its place in the partition.
    pub offset: i64,
    /// The body.
    pub event: T,
}

/// One poll's records, in the order of their partitions.
#[derive(Debug)]
pub struct Batch<T> {
    /// What could be read.
    pub records: Vec<Received<T>>,
    /// What could not.
    pub unreadable: Vec<Unreadable>,
    ends: Ends,
    /// How often the reading had been set back when it was read.
    pub(super) rewinds: u64,
}

/// Reads `topic` as a member of `group` and gives every batch to `apply` until it says that it is applied.
///
/// `apply` retries what fails for a passing reason itself, or returns the error: then the same batch is given again
/// after a pause. It must be idempotent: after a crash the last batches come again. Returns at the stop; settings that
/// make no consumer stop the process.
pub async fn consume<T, F, Applied>(source: Source, stop: Stop, apply: F)
where
    T: Event + Clone + 'static,
    // Records are shared, not lent: the compiler cannot prove that a task with an `AsyncFnMut` may be sent.
    F: FnMut(Arc<[Received<T>]>) -> Applied,
    Applied: Future<Output = anyhow::Result<()>>,
{
    read_or_stop(&source, None, &stop, apply).await;
}

/// As [`consume`], for effects that may be lost again: offsets are committed when `safety` says so, and it can have what
/// is not committed read again.
pub async fn consume_safely<T, F, Applied>(source: Source, safety: Safety, stop: Stop, apply: F)
where
    T: Event + Clone + 'static,
    F: FnMut(Arc<[Received<T>]>) -> Applied,
    Applied: Future<Output = anyhow::Result<()>>,
{
    read_or_stop(&source, Some(safety), &stop, apply).await;
}

async fn read_or_stop<T, F, Applied>(source: &Source, safety: Option<Safety>, stop: &Stop, mut apply: F)
where
    T: Event + Clone + 'static,
    F: FnMut(Arc<[Received<T>]>) -> Applied,
    Applied: Future<Output = anyhow::Result<()>>,
{
    while !stop.is_stopped() {
        if let Err(error) = read_batches(source, safety.clone(), stop, &mut apply).await {
            tracing::error!(
                group = source.group,
                error = format!("{error:#}"),
                "the consumer cannot be made"
            );
            stop.stop();
        }
        // Another member has its name, or its place was given away in a way that it cannot come back from.
        if stop.pause(ANEW).await {
            tracing::error!(group = source.group, "the consumer failed; starting anew");
        }
    }
}

async fn read_batches<T, F, Applied>(
    source: &Source,
    safety: Option<Safety>,
    stop: &Stop,
    apply: &mut F,
) -> anyhow::Result<()>
where
    T: Event + Clone + 'static,
    F: FnMut(Arc<[Received<T>]>) -> Applied,
    Applied: Future<Output = anyhow::Result<()>>,
{
    let (batches, mut arriving) = mpsc::channel::<Batch<T>>(BATCHES_MAX);
    let consumer = Arc::new(source.subscribe(T::TOPIC)?);
    let mut offsets = Offsets::new(Arc::downgrade(&consumer), source.kafka.topic(T::TOPIC), safety.clone());
    let closed = poll_thread(consumer, T::TOPIC, batches, safety);
    while let Some(batch) = offsets.next(&mut arriving, stop).await {
        let records: Arc<[Received<T>]> = batch.records.into();
        let mut unreadable = batch.unreadable;
        let mut pause = Duration::from_millis(50);
        loop {
            let applied = match source.bury(T::TOPIC, &mut unreadable).await {
                Ok(()) => apply(Arc::clone(&records)).await,
                Err(error) => Err(error),
            };
            let Err(error) = applied else { break };
            tracing::warn!(
                topic = T::TOPIC.name,
                error = format!("{error:#}"),
                "batch not applied; trying again"
            );
            if !stop.pause(pause).await {
                return Ok(());
            }
            pause = (pause * 2).min(Duration::from_secs(2));
        }
        offsets.applied(batch.ends);
    }
    offsets.commit();
    drop(arriving);
    closed.await.ok();
    Ok(())
}

/// Where a consumer reads, and where it puts what it cannot read.
#[derive(Debug, Clone)]
pub struct Source {
    /// Broker and names.
    pub kafka: Kafka,
    /// Consumer group, without the deployment's prefix.
    pub group: &'static str,
    /// For dead letters.
    pub producer: Producer,
    /// Records that wait, as of the last statistics.
    pub lag: Lag,
    /// How long records may wait at the broker for more that come with them; in whole milliseconds, zero: not at all.
    /// Whoever decides something waits for none. Who shows, counts or tells things need not hear of each alone.
    pub patience: Duration,
}

/// Records between a group's position and the end of its partitions.
#[derive(Debug, Clone, Default)]
pub struct Lag(Arc<AtomicI64>);

impl Lag {
    /// The last known value.
    #[must_use]
    pub fn get(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Takes the value from the client's statistics; -1 there means that a partition's lag is not known.
    pub fn set(&self, statistics: &Statistics) {
        let partitions = statistics.topics.values().flat_map(|topic| topic.partitions.values());
        self.0.store(partitions.map(|one| one.consumer_lag.max(0)).sum(), Ordering::Relaxed);
    }
}

impl ClientContext for Lag {
    fn stats(&self, statistics: Statistics) {
        self.set(&statistics);
    }
}

impl ConsumerContext for Lag {}

/// A consumer that keeps its lag up to date.
pub(super) type Member = BaseConsumer<Lag>;

impl Source {
    /// Reads as a member of `group`, each record as soon as it is there.
    #[must_use]
    pub fn new(kafka: &Kafka, group: &'static str, producer: &Producer) -> Self {
        let (kafka, producer) = (kafka.clone(), producer.clone());
        Self { kafka, group, producer, lag: Lag::default(), patience: Duration::ZERO }
    }

    fn subscribe(&self, topic: Topic) -> anyhow::Result<Member> {
        let mut settings = settings(&self.kafka, self.group);
        if !self.patience.is_zero() {
            settings
                .set("fetch.min.bytes", FULL_BYTES)
                .set("fetch.wait.max.ms", self.patience.as_millis().to_string());
        }
        let consumer: Member = settings.create_with_context(self.lag.clone())?;
        consumer.subscribe(&[&self.kafka.topic(topic)])?;
        Ok(consumer)
    }

    /// Sends dead letters, and forgets those that were sent: the rest of their batch may have to be tried again.
    async fn bury(&self, topic: Topic, unreadable: &mut Vec<Unreadable>) -> anyhow::Result<()> {
        let letters: Vec<Outgoing> =
            unreadable.iter().map(|record| dead_letter(&self.kafka, topic, record)).collect();
        for record in unreadable.iter() {
            let Unreadable { partition, offset, reason, .. } = record;
            tracing::error!(
                topic = topic.name,
                partition,
                offset,
                reason,
                "record cannot be read; dead letter"
            );
        }
        self.producer.send(&letters).await?;
        unreadable.clear();
        Ok(())
    }
}

/// Settings of a member of a consumer group: static membership, no automatic commits.
#[must_use]
pub fn settings(kafka: &Kafka, group: &str) -> rdkafka::ClientConfig {
    let mut settings = kafka.client();
    settings
        .set("group.id", kafka.group(group))
        // A replica that restarts within the session gets its partitions back without a rebalance.
        .set("group.instance.id", &kafka.instance)
        .set("session.timeout.ms", "6000")
        .set("heartbeat.interval.ms", "1000")
        .set("partition.assignment.strategy", "range")
        .set("enable.auto.commit", "false")
        .set("enable.auto.offset.store", "false")
        .set("auto.offset.reset", "earliest")
        .set("topic.metadata.refresh.interval.ms", "5000")
        .set("queued.min.messages", "10000")
        .set("queued.max.messages.kbytes", "16384")
        .set("fetch.queue.backoff.ms", "50")
        // The lag comes with the statistics.
        .set("statistics.interval.ms", "2000");
    settings
}

/// Polls until nobody takes batches any more, then closes the consumer and says so. Closing waits for the answers to its
/// commits, as long as no broker is there: no thread of the runtime may do that, it would keep the process from ending.
fn poll_thread<T: Event + 'static>(
    consumer: Arc<Member>,
    topic: Topic,
    batches: mpsc::Sender<Batch<T>>,
    safety: Option<Safety>,
) -> oneshot::Receiver<()> {
    let (closing, closed) = oneshot::channel();
    let wanted = move || safety.as_ref().map_or(0, Safety::rewinds);
    let mut rewinds = wanted();
    std::thread::spawn(move || {
        while !batches.is_closed() {
            let is_late = wanted();
            if is_late != rewinds {
                match rewind(&consumer) {
                    Ok(()) => rewinds = is_late,
                    Err(error) => {
                        tracing::warn!(topic = topic.name, %error, "the reading is not set back yet");
                        continue;
                    }
                }
            }
            match fill(&consumer, rewinds) {
                // A receiver that is gone is seen above.
                Ok(Some(batch)) => drop(batches.blocking_send(batch)),
                Ok(None) => {}
                Err(code) => {
                    tracing::error!(topic = topic.name, %code, "reading ended for good");
                    break;
                }
            }
        }
        consumer.unsubscribe();
        drop(consumer);
        tracing::debug!(topic = topic.name, "polling ended");
        closing.send(()).ok();
    });
    closed
}

/// What has come; nothing for a while. What a consumer read before it failed is read again by the next one.
fn fill<T: Event>(consumer: &Member, rewinds: u64) -> Result<Option<Batch<T>>, RDKafkaErrorCode> {
    let mut batch = Batch { records: Vec::new(), unreadable: Vec::new(), ends: Vec::new(), rewinds };
    let (mut deadline, mut bytes) = (None, 0);
    for _ in 0..BATCH_MAX {
        if bytes >= BATCH_BYTES {
            break;
        }
        let left = deadline.map(|at: Instant| at.saturating_duration_since(Instant::now()));
        match consumer.poll(left.unwrap_or(IDLE)) {
            Some(Ok(message)) => {
                bytes += message.payload_len();
                batch.push(&message);
            }
            Some(Err(KafkaError::MessageConsumptionFatal(code))) => return Err(code),
            Some(Err(error)) => {
                tracing::warn!(%error, "reading failed");
                std::thread::sleep(AFTER_ERROR);
            }
            None => break,
        }
        deadline.get_or_insert_with(|| Instant::now() + FILL);
    }
    Ok((!batch.ends.is_empty()).then_some(batch))
}

impl<T: Event> Batch<T> {
    fn push(&mut self, message: &BorrowedMessage<'_>) {
        let (partition, offset) = (message.partition(), message.offset());
        advance(&mut self.ends, partition, offset + 1);
        match read(message) {
            Ok(event) => self.records.push(Received { partition, offset, event }),
            Err(unreadable) => self.unreadable.push(unreadable),
        }
    }
}

/// A record's body, or why it cannot be read.
///
/// # Errors
/// The record with the reason.
pub fn read<T: Event>(message: &BorrowedMessage<'_>) -> Result<T, Unreadable> {
    let bytes = message.payload().unwrap_or_default();
    serde_json::from_slice(bytes).map_err(|error| Unreadable {
        partition: message.partition(),
        offset: message.offset(),
        key: String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned(),
        bytes: bytes.to_vec(),
        reason: match header(message, "ce_type") {
            Some(kind) => format!("{kind}: {error}"),
            None => error.to_string(),
        },
    })
}

/// A header's text.
#[must_use]
pub fn header(message: &BorrowedMessage<'_>, name: &str) -> Option<String> {
    let value = message.headers()?.iter().find(|header| header.key == name)?.value?;
    std::str::from_utf8(value).ok().map(str::to_owned)
}
