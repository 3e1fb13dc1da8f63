//! Reads rooms' logs from the topic, and holds each room's chain against the hashes in it.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, bail};
use common::config::Kafka;
use common::kafka::chain::{Head, StreamId};
use common::kafka::reader::{Offsets, Reader, Record};
use common::redis::Connections;
use common::wire::event::{QUEUE_EVENTS, QueueSteps};
use common::wire::id::ProductId;
use tokio::time::Instant;

use super::Check;
use super::line::{Grid, Replay, Story};
use crate::stack::Stack;

const AREA: &str = "room";
/// What rooms did last is in the topic within this.
const MOVED_WITHIN: Duration = Duration::from_secs(30);
const AGAIN: Duration = Duration::from_millis(200);
/// The rooms whose steps the topic gets, a sorted set.
const ROOMS: &str = "queue:{relay}:rooms";

/// One room's log, read so far.
#[derive(Debug, Default)]
pub(crate) struct Log {
    head: Head,
    replay: Replay,
    records: usize,
    broken: Vec<String>,
    /// The last step in the room's stream that the topic does not have.
    missing: Option<StreamId>,
}

/// What a room's log shows.
#[derive(Debug)]
pub(crate) struct Proof {
    /// Records of the topic.
    pub(crate) records: usize,
    /// What was replayed.
    pub(crate) story: Story,
    broken: Vec<String>,
    missing: Option<StreamId>,
}

/// The logs of the rooms that are asked about, or of all.
#[derive(Debug)]
pub(crate) struct Logs {
    only: Option<ProductId>,
    grid: Option<Grid>,
    rooms: BTreeMap<ProductId, Log>,
}

impl Logs {
    pub(crate) fn new(only: Option<ProductId>, grid: Option<Grid>) -> Self {
        let rooms = only.into_iter().map(|product| (product, Log::new(grid))).collect();
        Self { only, grid, rooms }
    }

    /// Reads the topic from these offsets on, until it has all that the rooms' streams hold now, or half a minute is
    /// over. Returns the offsets that it reached.
    pub(crate) async fn read(
        mut self,
        stack: &Stack,
        from: Offsets,
    ) -> anyhow::Result<BTreeMap<ProductId, Proof>> {
        let redis = stack.redis().await?;
        let until = Instant::now() + MOVED_WITHIN;
        let mut reached = from;
        loop {
            (self, reached) = self.read_on(&stack.kafka(), reached).await?;
            let is_missing = self.look(&redis).await?;
            if !is_missing || Instant::now() > until {
                return Ok(self.end());
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// Reads what the topic has at the moment.
    pub(crate) async fn read_on(mut self, kafka: &Kafka, from: Offsets) -> anyhow::Result<(Self, Offsets)> {
        let kafka = kafka.clone();
        let read = move || {
            let reached = Reader::new(&kafka, QUEUE_EVENTS)?.to_end(&from, |record| {
                self.take(record);
                Ok(())
            })?;
            Ok((self, reached))
        };
        tokio::task::spawn_blocking(read).await?
    }

    fn take(&mut self, record: Record<'_>) {
        let Ok(product) = record.key.parse() else { return };
        if self.only.is_some_and(|only| only != product) {
            return;
        }
        let grid = self.grid;
        self.rooms.entry(product).or_insert_with(|| Log::new(grid)).take(product, record.bytes);
    }

    /// Notes which rooms have steps that the topic lacks; whether any has. Of all rooms, also those of which it has none.
    async fn look(&mut self, redis: &Connections) -> anyhow::Result<bool> {
        if self.only.is_none() {
            for (product, _) in redis.scores(ROOMS, 0, i64::MAX).await.context("the rooms' list")? {
                let product = ProductId(product);
                if !self.rooms.contains_key(&product) && redis.last_entry(&stream(product)).await?.is_some() {
                    self.rooms.insert(product, Log::new(self.grid));
                }
            }
        }
        for (product, log) in &mut self.rooms {
            // A stream without entries has been moved as a whole.
            let last = redis.last_entry(&stream(*product)).await.context("the room's stream")?;
            let last = last.as_deref().and_then(StreamId::parse);
            log.missing = last.filter(|last| *last > log.head.last);
        }
        Ok(self.rooms.values().any(|log| log.missing.is_some()))
    }

    pub(crate) fn end(self) -> BTreeMap<ProductId, Proof> {
        self.rooms.into_iter().map(|(product, log)| (product, log.end())).collect()
    }
}

fn stream(product: ProductId) -> String {
    format!("room:{{{product}}}:log")
}

impl Log {
    fn new(grid: Option<Grid>) -> Self {
        Self { replay: Replay::new(grid), ..Self::default() }
    }

    fn take(&mut self, product: ProductId, bytes: &[u8]) {
        self.records += 1;
        if let Err(wrong) = self.follow(product, bytes) {
            self.broken.push(format!("record {} of the room: {wrong:#}", self.records));
        }
    }

    fn follow(&mut self, product: ProductId, bytes: &[u8]) -> anyhow::Result<()> {
        let record: QueueSteps = match serde_json::from_slice(bytes) {
            Ok(record) => record,
            Err(error) => {
                self.head = Head::after(bytes, self.head.last);
                return Err(error).context("cannot be read");
            }
        };
        let followed = self.head.follow(bytes, &record);
        for step in &record.steps {
            self.replay.step(step);
        }
        if record.product_id != product {
            bail!("names room {}", record.product_id);
        }
        Ok(followed?)
    }

    fn end(self) -> Proof {
        let Self { replay, records, broken, missing, .. } = self;
        Proof { records, story: replay.end(), broken, missing }
    }
}

impl Proof {
    /// What a room's log must show.
    pub(crate) fn checks(&self) -> Vec<Check> {
        let story = &self.story;
        vec![
            Check::new(AREA, "every record follows from the one before it", &self.broken),
            Check::new(AREA, "the topic has every step of the room", self.missing),
            Check::new(AREA, "nobody is let in before somebody who stood before them", &story.inversions),
            Check::new(AREA, "nobody is let in before the opening", &story.early),
            Check::new(AREA, "nobody is let in while the room is stopped or paused", &story.refused),
            Check::new(
                AREA,
                "no interval lets in more than its budget and what came back",
                &story.over_budget,
            ),
            Check::new(AREA, "one live ticket per account", &story.doubles),
            Check::new(AREA, "tickets only rise", &story.stale),
            Check::new(AREA, "no rank rises", &story.rose),
            Check::new(AREA, "places of the draw are those of the committed seed", &story.unfair),
            Check::new(AREA, "every step follows from the ones before", &story.strays),
        ]
    }
}

#[cfg(test)]
mod tests {
    use common::wire::queue::Step;

    use super::*;

    const ROOM: ProductId = ProductId(7);

    /// A chain of five records, each with three joins.
    fn records() -> Vec<Vec<u8>> {
        let mut head = Head::default();
        let join = |ticket: u64| {
            let step = serde_json::json!({ "step": "joined", "at": 1, "user": ticket, "ticket": ticket });
            (StreamId { ms: ticket, seq: 0 }, serde_json::from_value::<Step>(step).unwrap())
        };
        (0..5).filter_map(|record| head.link(ROOM, (1..=3).map(|n| join(3 * record + n)).collect())).collect()
    }

    fn proved(records: &[Vec<u8>]) -> Proof {
        let mut log = Log::new(None);
        for bytes in records {
            log.take(ROOM, bytes);
        }
        log.end()
    }

    fn broken(records: &[Vec<u8>]) -> Vec<&'static str> {
        let checks = proved(records).checks();
        checks.into_iter().filter(|check| check.broken > 0).map(|check| check.rule).collect()
    }

    #[test]
    fn a_whole_chain_is_proved() {
        assert!(broken(&records()).is_empty());
        assert_eq!(proved(&records()).story.joined, 15);
    }

    #[test]
    fn forged_dropped_doubled_and_reordered_records_are_found() {
        const LINK: &str = "every record follows from the one before it";
        let mut forged = records();
        forged[2] =
            String::from_utf8(forged[2].clone()).unwrap().replace("\"user\":8", "\"user\":99").into_bytes();
        assert_eq!(broken(&forged), [LINK]);
        let mut dropped = records();
        dropped.remove(2);
        assert!(broken(&dropped).contains(&LINK));
        let mut beheaded = records();
        beheaded.remove(0);
        assert!(broken(&beheaded).contains(&LINK));
        let mut doubled = records();
        doubled.insert(3, doubled[2].clone());
        assert!(broken(&doubled).contains(&LINK));
        let mut reordered = records();
        reordered.swap(1, 3);
        assert!(broken(&reordered).contains(&LINK));
        let mut unreadable = records();
        unreadable[4] = b"{}".to_vec();
        assert_eq!(broken(&unreadable), [LINK]);
    }

    #[test]
    fn a_record_that_was_cut_off_at_the_end_is_missing() {
        let log = Log { missing: StreamId::parse("15-0"), ..Log::new(None) };
        let checks = log.end().checks();
        assert!(
            checks
                .iter()
                .any(|check| check.rule == "the topic has every step of the room" && check.broken == 1)
        );
    }
}
