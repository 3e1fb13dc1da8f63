//! One partition: drain, decide, journal; and what happens when that fails.
//!
//! The memory is taken out for every batch and put back only after the commit, so nothing that was not committed is
//! ever decided upon: after any failure it is loaded again, and records below the cursor are skipped.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use common::clock::Clock;
use common::config::Kafka;
use common::kafka::unreadable::Unreadable;
use common::outbox::Nudge;
use common::stop::Stop;
use common::wire::event::{Outcome, StockCommand};
use common::wire::id::ProductId;
use sqlx::postgres::PgPool;
use tokio::sync::mpsc;

use super::journal::{self, Failed};
use super::rules::{Effects, decide};
use super::store::{self, Loaded, Place};
use crate::metrics::Metrics;

/// Commands of one batch at most.
const BATCH_MAX: usize = 500;
/// A batch waits this long for more commands after its first one.
const FILL: Duration = Duration::from_millis(5);
/// First and longest pause between two tries of a batch.
const PAUSES: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(2));

/// What all lanes share.
#[derive(Debug, Clone)]
pub struct Stage {
    /// Connections of the writers alone, to begin a partition with: requests never make them wait.
    pub pool: PgPool,
    /// The same for batches, which find their rows by their keys.
    pub journal: PgPool,
    /// Broker and names.
    pub kafka: Kafka,
    /// Where time comes from.
    pub clock: Clock,
    /// The service's figures.
    pub metrics: Metrics,
    /// Wakes the outbox relay after a commit.
    pub nudge: Nudge,
    /// The end of the process.
    pub stop: Stop,
}

/// A record of the log on its way to a decision.
#[derive(Debug, Clone)]
pub struct Arrived {
    /// Its place in the partition.
    pub offset: i64,
    /// What it says, or why that cannot be read.
    pub command: Result<StockCommand, String>,
    /// Its key.
    pub key: String,
    /// The original bytes.
    pub bytes: Vec<u8>,
}

/// The writer of one partition.
#[derive(Debug)]
pub struct Lane {
    stage: Stage,
    place: Place,
    arriving: mpsc::Receiver<Arrived>,
    revoked: Arc<AtomicBool>,
    /// First offset that is not decided, for whoever measures the lag.
    progress: Arc<AtomicI64>,
    loaded: Option<Loaded>,
    shown: HashSet<ProductId>,
}

/// The reader's end of a lane. Dropping it ends the lane.
#[derive(Debug)]
pub struct Handle {
    /// Records to decide.
    pub records: mpsc::Sender<Arrived>,
    progress: Arc<AtomicI64>,
    revoked: Arc<AtomicBool>,
}

impl Handle {
    /// First offset that is not decided.
    #[must_use]
    pub fn progress(&self) -> i64 {
        self.progress.load(Ordering::Relaxed)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        // What still waits is the next writer's: it starts at the cursor.
        self.revoked.store(true, Ordering::Relaxed);
    }
}

impl Lane {
    /// A lane that reads from `cursor` on, and the reader's end of it.
    #[must_use]
    pub fn new(stage: Stage, place: Place, cursor: i64) -> (Self, Handle) {
        let (records, arriving) = mpsc::channel(4 * BATCH_MAX);
        let (progress, revoked) = (Arc::new(AtomicI64::new(cursor)), Arc::new(AtomicBool::new(false)));
        let handle = Handle { records, progress: Arc::clone(&progress), revoked: Arc::clone(&revoked) };
        (Self { stage, place, arriving, revoked, progress, loaded: None, shown: HashSet::new() }, handle)
    }

    /// Decides what arrives until the partition is taken away, the tables are set back or the process stops.
    pub async fn run(mut self) {
        // The memory of a large sale takes a moment: load it before the first command waits for it.
        match self.load().await {
            Ok(loaded) => self.loaded = Some(loaded),
            Err(error) => tracing::debug!(partition = self.place.partition, %error, "not loaded yet"),
        }
        while let Some(batch) = self.fill().await {
            if !self.apply(&batch).await {
                break;
            }
        }
        for product in &self.shown {
            let product = product.to_string();
            for gauge in [&self.stage.metrics.stock_available, &self.stage.metrics.stock_sold] {
                gauge.remove_label_values(&[&product]).ok();
            }
        }
    }

    fn is_over(&self) -> bool {
        self.revoked.load(Ordering::Relaxed) || self.stage.stop.is_stopped()
    }

    async fn fill(&mut self) -> Option<Vec<Arrived>> {
        let first = tokio::select! {
            first = self.arriving.recv() => first?,
            () = self.stage.stop.stopped() => return None,
        };
        let mut batch = Vec::with_capacity(BATCH_MAX);
        batch.push(first);
        let deadline = tokio::time::Instant::now() + FILL;
        while batch.len() < BATCH_MAX {
            let room = BATCH_MAX - batch.len();
            match tokio::time::timeout_at(deadline, self.arriving.recv_many(&mut batch, room)).await {
                Ok(more) if more > 0 => {}
                _ => break,
            }
        }
        (!self.is_over()).then_some(batch)
    }

    /// Tries the batch until it is journalled. Returns false when the lane is over.
    async fn apply(&mut self, batch: &[Arrived]) -> bool {
        let (mut pause, pause_max) = PAUSES;
        let mut singly = false;
        loop {
            let tried = if singly { self.write_singly(batch).await } else { self.write(batch, None).await };
            match tried {
                Ok(()) => return true,
                Err(Failed::Behind) => {
                    tracing::warn!(
                        partition = self.place.partition,
                        "the tables were set back; reading again"
                    );
                    return false;
                }
                Err(failed) => {
                    let partition = self.place.partition;
                    tracing::warn!(
                        partition,
                        error = format!("{failed:#}"),
                        "batch not journalled; trying again"
                    );
                    singly = failed.blames_a_record();
                }
            }
            if self.is_over() || !self.stage.stop.pause(pause).await {
                return false;
            }
            pause = (pause * 2).min(pause_max);
        }
    }

    /// Each record in a transaction of its own, so that the one to blame is put aside alone.
    async fn write_singly(&mut self, batch: &[Arrived]) -> Result<(), Failed> {
        for record in batch {
            let record = std::slice::from_ref(record);
            match self.write(record, None).await {
                Err(failed) if failed.blames_a_record() => {
                    self.write(record, Some(&format!("{failed:#}"))).await?;
                }
                tried => tried?,
            }
        }
        Ok(())
    }

    async fn load(&mut self) -> Result<Loaded, Failed> {
        if let Some(loaded) = self.loaded.take() {
            return Ok(loaded);
        }
        let started = Instant::now();
        let loaded = store::load(&self.stage.pool, &self.place).await?;
        if loaded.cursor < self.progress.load(Ordering::Relaxed) {
            return Err(Failed::Behind);
        }
        let (partition, sales) = (self.place.partition, loaded.memory.sales.len());
        let ms = u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX);
        tracing::info!(partition, cursor = loaded.cursor, sales, ms, "partition loaded");
        self.progress.store(loaded.cursor, Ordering::Relaxed);
        Ok(loaded)
    }

    /// Decides the records that the cursor has not passed and journals them. With a `reason` they are put aside.
    async fn write(&mut self, batch: &[Arrived], reason: Option<&str>) -> Result<(), Failed> {
        let started = Instant::now();
        let mut loaded = self.load().await?;
        let fresh = &batch[batch.partition_point(|record| record.offset < loaded.cursor)..];
        let Some(last) = fresh.last() else {
            self.loaded = Some(loaded);
            return Ok(());
        };
        let (mut effects, mut letters) = (Effects::default(), Vec::new());
        for record in fresh {
            match (&record.command, reason) {
                (Ok(command), None) => decide(&mut loaded.memory, &mut effects, record.offset, command),
                (Err(reason), None) => letters.push(self.letter(record, reason)),
                (_, Some(reason)) => letters.push(self.letter(record, reason)),
            }
        }
        let decided = journal::Batch {
            place: &self.place,
            from: loaded.cursor,
            to: last.offset + 1,
            effects: &effects,
            memory: &loaded.memory,
            letters: &letters,
            now: self.stage.clock.now(),
            commands_wait: !self.arriving.is_empty(),
        };
        journal::write(&self.stage.journal, &decided).await?;
        loaded.cursor = last.offset + 1;
        self.progress.store(loaded.cursor, Ordering::Relaxed);
        self.loaded = Some(loaded);
        self.stage.nudge.now();
        self.stage.metrics.batch_seconds.observe(started.elapsed().as_secs_f64());
        self.show(&effects, &letters);
        Ok(())
    }

    fn letter(&self, record: &Arrived, reason: &str) -> Unreadable {
        Unreadable {
            partition: self.place.partition,
            offset: record.offset,
            key: record.key.clone(),
            bytes: record.bytes.clone(),
            reason: reason.to_owned(),
        }
    }

    fn show(&mut self, effects: &Effects, letters: &[Unreadable]) {
        let metrics = &self.stage.metrics;
        for letter in letters {
            let Unreadable { partition, offset, reason, .. } = letter;
            tracing::error!(partition, offset, reason, "command put aside: dead letter");
        }
        for (product, change) in &effects.products {
            for decision in &change.decisions {
                let result = match (decision.result, decision.reason) {
                    (Outcome::Rejected, Some(reason)) => reason.as_str(),
                    _ => "reserved",
                };
                metrics.decisions_total.with_label_values(&[result]).inc();
            }
            if change.moved() {
                let label = product.to_string();
                metrics.stock_available.with_label_values(&[&label]).set(change.after.available);
                metrics.stock_sold.with_label_values(&[&label]).set(change.after.sold);
                self.shown.insert(*product);
            }
        }
    }
}
