//! When offsets are committed: soon after records are applied, or after the service says that their effects are safe.

use std::collections::VecDeque;
use std::sync::{Arc, Weak};
use std::time::Duration;

use rdkafka::consumer::{CommitMode, Consumer as _};
use rdkafka::error::KafkaResult;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

use super::consumer::{Batch, Member};
use crate::stop::Stop;

/// Between two commits: each is a request and a write of the broker. After a crash so much comes again, and changes
/// nothing.
const COMMIT_EVERY: Duration = Duration::from_millis(500);
/// The broker answers within this when it is asked for the committed offsets.
const COMMITTED_MAX: Duration = Duration::from_secs(5);

/// For a service whose store may forget what it took last: it says which effects are safe, and when to read again what
/// is not. Clones share it.
#[derive(Debug, Clone)]
pub struct Safety(Arc<watch::Sender<Safe>>);

#[derive(Debug, Clone, Copy)]
struct Safe {
    /// What was applied before this may be committed.
    before: Instant,
    rewinds: u64,
}

impl Default for Safety {
    fn default() -> Self {
        Self(Arc::new(watch::Sender::new(Safe { before: Instant::now(), rewinds: 0 })))
    }
}

impl Safety {
    /// What was applied before this moment is safe: its offsets are committed.
    pub fn until(&self, moment: Instant) {
        self.0.send_modify(|safe| safe.before = safe.before.max(moment));
    }

    /// What is not committed is read again from there.
    pub fn rewind(&self) {
        self.0.send_modify(|safe| safe.rewinds += 1);
    }

    pub(super) fn rewinds(&self) -> u64 {
        self.0.borrow().rewinds
    }
}

/// What was applied and is not committed yet.
pub(super) struct Offsets {
    /// Owned by the thread that polls it.
    consumer: Weak<Member>,
    topic: String,
    safety: Option<Safety>,
    /// When which ends were reached.
    applied: VecDeque<(Instant, Ends)>,
    /// What may be committed.
    due: Ends,
    committed: Instant,
    rewinds: u64,
}

/// Partitions and the offsets after what was read of them.
pub(super) type Ends = Vec<(i32, i64)>;

impl Offsets {
    pub(super) fn new(consumer: Weak<Member>, topic: String, safety: Option<Safety>) -> Self {
        let rewinds = safety.as_ref().map_or(0, Safety::rewinds);
        let (applied, due, committed) = (VecDeque::new(), Ends::new(), Instant::now());
        Self { consumer, topic, safety, applied, due, committed, rewinds }
    }

    /// The next batch; meanwhile commits what has become safe.
    pub(super) async fn next<T>(
        &mut self,
        arriving: &mut mpsc::Receiver<Batch<T>>,
        stop: &Stop,
    ) -> Option<Batch<T>> {
        let mut safe = self.safety.as_ref().map(|safety| safety.0.subscribe());
        loop {
            let news = async {
                match &mut safe {
                    Some(safe) => drop(safe.changed().await),
                    None => std::future::pending().await,
                }
            };
            let batch = tokio::select! {
                batch = arriving.recv() => Some(batch?),
                () = news => None,
                () = tokio::time::sleep_until(self.committed + COMMIT_EVERY), if !self.due.is_empty() => None,
                () = stop.stopped() => return None,
            };
            self.settle();
            if self.committed.elapsed() >= COMMIT_EVERY {
                self.commit();
            }
            // What was read before the reading was set back comes again, in its order.
            if let Some(batch) = batch.filter(|batch| batch.rewinds == self.rewinds) {
                return Some(batch);
            }
        }
    }

    pub(super) fn applied(&mut self, ends: Ends) {
        match &self.safety {
            None => self.may_be_committed(ends),
            Some(_) => self.applied.push_back((Instant::now(), ends)),
        }
    }

    fn settle(&mut self) {
        let Some(safe) = self.safety.as_ref().map(|safety| *safety.0.borrow()) else { return };
        if safe.rewinds != self.rewinds {
            self.rewinds = safe.rewinds;
            self.applied.clear();
        }
        while let Some((_, reached)) = self.applied.pop_front_if(|(at, _)| *at < safe.before) {
            self.may_be_committed(reached);
        }
    }

    fn may_be_committed(&mut self, ends: Ends) {
        for (partition, end) in ends {
            advance(&mut self.due, partition, end);
        }
    }

    /// Commits what may be.
    pub(super) fn commit(&mut self) {
        if self.due.is_empty() {
            return;
        }
        self.committed = Instant::now();
        let topic = &self.topic;
        let mut list = TopicPartitionList::new();
        for (partition, end) in self.due.drain(..) {
            if let Err(error) = list.add_partition_offset(topic, partition, Offset::Offset(end)) {
                tracing::warn!(%error, topic, "offset not added");
            }
        }
        let Some(consumer) = self.consumer.upgrade() else { return };
        if let Err(error) = consumer.commit(&list, CommitMode::Async) {
            tracing::warn!(%error, topic, "offsets not committed; the records may come again");
        }
    }
}

/// Notes how far a partition was read.
pub(super) fn advance(ends: &mut Ends, partition: i32, end: i64) {
    match ends.iter_mut().find(|(seen, _)| *seen == partition) {
        Some((_, reached)) => *reached = end,
        None => ends.push((partition, end)),
    }
}

/// Reads on from the committed offsets, or from the beginning where there are none.
pub(super) fn rewind(consumer: &Member) -> KafkaResult<()> {
    let mut list = consumer.committed(COMMITTED_MAX)?;
    if list.count() == 0 {
        return Ok(());
    }
    let unknown: Vec<_> = list
        .elements()
        .iter()
        .filter(|one| one.offset() == Offset::Invalid)
        .map(|one| (one.topic().to_owned(), one.partition()))
        .collect();
    for (topic, partition) in unknown {
        list.set_partition_offset(&topic, partition, Offset::Beginning)?;
    }
    let sought = consumer.seek_partitions(list, COMMITTED_MAX)?;
    sought.elements().iter().try_for_each(|one| one.error())
}
