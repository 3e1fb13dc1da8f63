//! The thread that reads `stock.commands.v1` and gives each assigned partition its lane.
//!
//! A thread of its own polls a `BaseConsumer`: the stream consumer can miss its wake-up. An assigned partition starts
//! at the database's cursor, whatever the group's offsets say; those are committed for whoever looks at the lag.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use common::kafka::consumer::{AFTER_ERROR, read, settings};
use common::wire::event::{STOCK_COMMANDS, StockCommand};
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext};
use rdkafka::error::KafkaError;
use rdkafka::message::BorrowedMessage;
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use rdkafka::types::RDKafkaRespErr;
use rdkafka::{ClientContext, Message as _};
use sqlx::postgres::{PgPool, PgPoolOptions};
use tokio::runtime::Handle as Runtime;
use tokio::sync::oneshot;

use super::lane::{Arrived, Handle, Lane, Stage};
use super::rules;
use super::store::{self, Place};

/// The consumer group, without the deployment's prefix.
const GROUP: &str = "product-stock";
/// Connections of the stock stage, of each kind: one per partition that a replica can get (4), one to begin with.
pub const CONNECTIONS_MAX: u32 = 5;
/// Longest wait for a record; also how late a stop is seen.
const POLL: Duration = Duration::from_millis(50);
/// Between two commits of the group's offsets.
const COMMIT: Duration = Duration::from_secs(1);
/// A broker's answer to a question beside the reading.
const ASK_MAX: Duration = Duration::from_secs(5);
/// Between two tries of what failed: the broker's or the database's absence.
const RETRY: Duration = Duration::from_millis(250);

/// A pool for the stock stage alone: however busy requests are, a batch finds its connection.
#[must_use]
pub fn pool(pg: &PgPool) -> PgPool {
    PgPoolOptions::new()
        .max_connections(CONNECTIONS_MAX)
        .acquire_timeout(Duration::from_secs(2))
        .connect_lazy_with((*pg.connect_options()).clone())
}

/// Reads until the stop, on a thread of its own.
pub fn start(stage: Stage) {
    let runtime = Runtime::current();
    let (ended, end) = oneshot::channel::<()>();
    let stop = stage.stop.clone();
    std::thread::spawn(move || {
        let entered = runtime.enter();
        while !stage.stop.is_stopped() {
            if let Err(error) = read_log(&stage, &runtime) {
                tracing::error!(
                    error = format!("{error:#}"),
                    "the stock stage's consumer failed; starting anew"
                );
                std::thread::sleep(RETRY);
            }
        }
        drop(entered);
        drop(ended);
    });
    stop.spawn("stock writer", async move {
        end.await.ok();
    });
}

/// Reads with one consumer until the stop, or until that consumer is of no use any more.
fn read_log(stage: &Stage, runtime: &Runtime) -> anyhow::Result<()> {
    let watch = Watch { stage: stage.clone(), runtime: runtime.clone(), lanes: Mutex::default() };
    let mut settings = settings(&stage.kafka, GROUP);
    settings.set("statistics.interval.ms", "1000");
    let consumer: BaseConsumer<Watch> = settings.create_with_context(watch)?;
    consumer.subscribe(&[&stage.kafka.topic(STOCK_COMMANDS)])?;
    let mut committed = Instant::now();
    while !stage.stop.is_stopped() {
        match consumer.poll(POLL) {
            Some(Ok(message)) => consumer.context().deliver(&message),
            Some(Err(KafkaError::MessageConsumptionFatal(code))) => anyhow::bail!("fatal: {code}"),
            Some(Err(error)) => {
                tracing::warn!(%error, "reading commands failed");
                std::thread::sleep(AFTER_ERROR);
            }
            None => {}
        }
        consumer.context().restart_ended(&consumer);
        if committed.elapsed() >= COMMIT {
            committed = Instant::now();
            consumer.context().commit(&consumer);
        }
    }
    consumer.unsubscribe();
    Ok(())
}

/// What the consumer tells: assignments and statistics.
struct Watch {
    stage: Stage,
    runtime: Runtime,
    /// Only the reading thread takes it, never across a call to the consumer's poll.
    lanes: Mutex<HashMap<i32, Handle>>,
}

impl Watch {
    fn lanes(&self) -> MutexGuard<'_, HashMap<i32, Handle>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self, partition: i32) -> Place {
        Place { topic: self.stage.kafka.topic(STOCK_COMMANDS), partition }
    }

    /// Gives a record to its lane; waits while the lane is full. All lanes write to one database: when one waits,
    /// the others do too.
    fn deliver(&self, message: &BorrowedMessage<'_>) {
        let lane = self.lanes().get(&message.partition()).map(|lane| lane.records.clone());
        if let Some(lane) = lane {
            // A lane that ended is started anew from the cursor, and reads this record then.
            lane.blocking_send(arrived(message)).ok();
        }
    }

    /// Where the partition starts. None at a stop: the consumer is about to close.
    fn cursor(&self, consumer: &BaseConsumer<Self>, partition: i32) -> Option<i64> {
        let place = self.place(partition);
        while !self.stage.stop.is_stopped() {
            match self.ask(consumer, &place) {
                Ok(cursor) => return cursor,
                Err(error) => tracing::warn!(partition, error = format!("{error:#}"), "no cursor yet"),
            }
            self.runtime.block_on(self.stage.stop.pause(RETRY));
        }
        None
    }

    /// The cursor, made at the log's beginning when the partition is seen for the first time.
    fn ask(&self, consumer: &BaseConsumer<Self>, place: &Place) -> anyhow::Result<Option<i64>> {
        let Place { topic, partition } = place;
        let (low, high) = consumer.fetch_watermarks(topic, *partition, ASK_MAX)?;
        let cursor = self.runtime.block_on(async {
            tokio::select! {
                biased;
                () = self.stage.stop.stopped() => Ok(None),
                cursor = store::cursor(&self.stage.pool, place, low) => cursor.map(Some),
            }
        })?;
        if cursor.is_some_and(|cursor| cursor > high) {
            tracing::error!(partition, ?cursor, high, "the log ends before the cursor: is it another log?");
        }
        Ok(cursor)
    }

    fn open(&self, partition: i32, cursor: i64) {
        let (lane, handle) = Lane::new(self.stage.clone(), self.place(partition), cursor);
        self.stage.stop.spawn("stock lane", lane.run());
        self.lanes().insert(partition, handle);
    }

    /// Reads a partition again from its cursor when its lane ended by itself.
    fn restart_ended(&self, consumer: &BaseConsumer<Self>) {
        let ended: Vec<i32> =
            self.lanes().iter().filter(|(_, lane)| lane.records.is_closed()).map(|(p, _)| *p).collect();
        for partition in ended {
            if self.stage.stop.is_stopped() {
                return;
            }
            let Some(cursor) = self.cursor(consumer, partition) else { return };
            let topic = self.stage.kafka.topic(STOCK_COMMANDS);
            match consumer.seek(&topic, partition, Offset::Offset(cursor), ASK_MAX) {
                Ok(()) => self.open(partition, cursor),
                Err(error) => tracing::warn!(partition, %error, "cannot read again yet"),
            }
        }
    }

    fn commit(&self, consumer: &BaseConsumer<Self>) {
        let topic = self.stage.kafka.topic(STOCK_COMMANDS);
        let mut list = TopicPartitionList::new();
        for (partition, lane) in self.lanes().iter() {
            list.add_partition_offset(&topic, *partition, Offset::Offset(lane.progress())).ok();
        }
        if list.count() > 0
            && let Err(error) = consumer.commit(&list, CommitMode::Async)
        {
            tracing::debug!(%error, "offsets not committed");
        }
    }

    fn assigned(
        &self,
        consumer: &BaseConsumer<Self>,
        partitions: &TopicPartitionList,
    ) -> Result<(), KafkaError> {
        let topic = self.stage.kafka.topic(STOCK_COMMANDS);
        let mut starts = TopicPartitionList::new();
        let mut cursors = Vec::new();
        for element in partitions.elements() {
            let partition = element.partition();
            let Some(cursor) = self.cursor(consumer, partition) else { return consumer.unassign() };
            starts.add_partition_offset(&topic, partition, Offset::Offset(cursor))?;
            cursors.push((partition, cursor));
        }
        consumer.assign(&starts)?;
        tracing::info!(?cursors, "partitions assigned");
        for (partition, cursor) in cursors {
            self.open(partition, cursor);
        }
        Ok(())
    }
}

impl ClientContext for Watch {
    fn stats(&self, statistics: Statistics) {
        let topic = self.stage.kafka.topic(STOCK_COMMANDS);
        let Some(known) = statistics.topics.get(&topic) else { return };
        let lanes = self.lanes();
        let behind = lanes.iter().filter_map(|(partition, lane)| {
            let end = known.partitions.get(partition)?.hi_offset;
            Some((end - lane.progress()).max(0))
        });
        let gauge = self.stage.metrics.consumer_lag.with_label_values(&[STOCK_COMMANDS.name]);
        gauge.set(behind.sum());
    }
}

impl ConsumerContext for Watch {
    fn rebalance(
        &self,
        consumer: &BaseConsumer<Self>,
        kind: RDKafkaRespErr,
        partitions: &mut TopicPartitionList,
    ) {
        // The range assignor takes everything away before it gives anew.
        self.lanes().clear();
        let done = if kind == RDKafkaRespErr::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS {
            self.assigned(consumer, partitions)
        } else {
            consumer.unassign()
        };
        if let Err(error) = done {
            tracing::error!(%error, "assignment failed");
        }
    }
}

/// A record with what it says. A command under another key than its product's is in the wrong partition, where another
/// writer would decide about the same units.
fn arrived(message: &BorrowedMessage<'_>) -> Arrived {
    let key = String::from_utf8_lossy(message.key().unwrap_or_default()).into_owned();
    let command = read::<StockCommand>(message).map_err(|unreadable| unreadable.reason);
    let command = command.and_then(|command| {
        if key != command.product_id().to_string() {
            return Err("the key is not the command's product".to_owned());
        }
        rules::check(&command).map_err(str::to_owned)?;
        Ok(command)
    });
    Arrived { offset: message.offset(), command, key, bytes: message.payload().unwrap_or_default().to_vec() }
}
