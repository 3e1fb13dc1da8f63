//! The proof of a room's order: its log as a chain of records. Each record carries the hash of the bytes of the room's
//! record before it, so that none can be changed, dropped, doubled or moved without breaking the link after it.

use chrono::{DateTime, SecondsFormat};
use sha2::{Digest as _, Sha256};

use super::producer::Outgoing;
use crate::config::Kafka;
use crate::wire::event::{QUEUE_EVENTS, QueueSteps};
use crate::wire::id::ProductId;
use crate::wire::queue::Step;

/// Steps of one record at most: about 60 kB, far below what a broker takes.
pub const STEPS_MAX: usize = 500;
/// As in the body's `type`.
const KIND: &str = "queue.steps.v1";

/// An entry's id in a stream, `<ms>-<number>`: later ones are larger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct StreamId {
    /// The stream's clock, in milliseconds since 1970.
    pub ms: u64,
    /// Number within the millisecond.
    pub seq: u64,
}

impl StreamId {
    /// Reads it; `None` where the text is no id.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (ms, seq) = text.split_once('-')?;
        Some(Self { ms: ms.parse().ok()?, seq: seq.parse().ok()? })
    }
}

impl std::fmt::Display for StreamId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// The end of a room's chain. The default is the end of an empty one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Head {
    /// Hash of the last record, in hex; empty where there is none.
    pub digest: String,
    /// The last step in it.
    pub last: StreamId,
}

impl Head {
    /// The end of a chain whose last record is these bytes.
    #[must_use]
    pub fn after(bytes: &[u8], last: StreamId) -> Self {
        Self { digest: hex::encode(Sha256::digest(bytes)), last }
    }

    /// Puts the next steps at the end and returns the record's bytes; `None` without steps.
    ///
    /// # Panics
    /// Never: plain data always becomes JSON.
    pub fn link(&mut self, product: ProductId, steps: Vec<(StreamId, Step)>) -> Option<Vec<u8>> {
        let (first, last) = (steps.first()?.0, steps.last()?.0);
        let record = QueueSteps {
            product_id: product,
            prev: std::mem::take(&mut self.digest),
            first: first.to_string(),
            last: last.to_string(),
            steps: steps.into_iter().map(|(_, step)| step).collect(),
        };
        let bytes = serde_json::to_vec(&record).expect("plain data always becomes JSON");
        *self = Self::after(&bytes, last);
        Some(bytes)
    }

    /// The record that was just linked, as it goes to the topic.
    #[must_use]
    pub fn outgoing(&self, kafka: &Kafka, product: ProductId, body: Vec<u8>) -> Outgoing {
        let at = i64::try_from(self.last.ms).ok().and_then(DateTime::from_timestamp_millis);
        let header = |name: &str, value: String| (name.to_owned(), value);
        Outgoing {
            topic: kafka.topic(QUEUE_EVENTS),
            key: product.to_string(),
            headers: vec![
                header("ce_id", self.digest.clone()),
                header("ce_type", KIND.to_owned()),
                header("ce_source", "queue-server".to_owned()),
                header("ce_time", at.unwrap_or_default().to_rfc3339_opts(SecondsFormat::Millis, true)),
                header("ce_specversion", "1.0".to_owned()),
                header("content-type", "application/json".to_owned()),
            ],
            body,
        }
    }

    /// Follows a record that was read, whether or not it stands where it should.
    ///
    /// # Errors
    /// What is wrong with where it stands.
    pub fn follow(&mut self, bytes: &[u8], record: &QueueSteps) -> Result<(), Broken> {
        let ids = StreamId::parse(&record.first).zip(StreamId::parse(&record.last));
        let expected = std::mem::take(self);
        *self = Self::after(bytes, ids.map_or(expected.last, |(_, last)| last));
        if record.prev != expected.digest {
            return Err(Broken::Link);
        }
        match ids {
            Some((first, last)) if first > expected.last && last >= first && !record.steps.is_empty() => {
                Ok(())
            }
            _ => Err(Broken::Steps),
        }
    }
}

/// What is wrong with a record's place in its chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Something before it was changed, dropped, put in or moved.
    #[error("does not follow from the record before it")]
    Link,
    /// Its steps do not come after those before it.
    #[error("holds steps that do not come after those before it")]
    Steps,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::queue::StepKind;

    fn steps(ids: std::ops::Range<u64>) -> Vec<(StreamId, Step)> {
        let step = |ms| serde_json::json!({ "step": StepKind::Joined, "at": ms, "user": ms, "ticket": ms });
        ids.map(|ms| (StreamId { ms, seq: 0 }, serde_json::from_value(step(ms)).unwrap())).collect()
    }

    /// Three linked records of two steps each.
    fn chain() -> Vec<Vec<u8>> {
        let mut head = Head::default();
        [1..3, 3..5, 5..7].into_iter().filter_map(|ids| head.link(ProductId(7), steps(ids))).collect()
    }

    fn broken(records: &[Vec<u8>]) -> Vec<Option<Broken>> {
        let mut head = Head::default();
        let follow = |bytes: &Vec<u8>| head.follow(bytes, &serde_json::from_slice(bytes).unwrap()).err();
        records.iter().map(follow).collect()
    }

    #[test]
    fn a_chain_is_followed_from_its_beginning() {
        assert_eq!(broken(&chain()), [None, None, None]);
        assert_eq!(Head::default().link(ProductId(7), Vec::new()), None);
    }

    #[test]
    fn what_is_changed_dropped_doubled_or_moved_breaks_it() {
        let link = Some(Broken::Link);
        let mut changed = chain();
        changed[1] =
            String::from_utf8(changed[1].clone()).unwrap().replace("\"at\":3", "\"at\":2").into_bytes();
        assert_eq!(broken(&changed), [None, None, link]);
        let mut dropped = chain();
        dropped.remove(1);
        assert_eq!(broken(&dropped), [None, link]);
        let mut doubled = chain();
        doubled.insert(1, doubled[0].clone());
        assert_eq!(broken(&doubled), [None, link, None, None]);
        let mut moved = chain();
        moved.swap(0, 1);
        assert_eq!(broken(&moved), [link, link, link]);
    }

    #[test]
    fn steps_that_come_again_are_found_also_in_a_whole_chain() {
        let mut head = Head::default();
        let records: Vec<_> =
            [1..3, 2..4].into_iter().filter_map(|ids| head.link(ProductId(7), steps(ids))).collect();
        assert_eq!(broken(&records), [None, Some(Broken::Steps)]);
    }

    #[test]
    fn ids_are_ordered_by_their_numbers() {
        let id = |text| StreamId::parse(text).unwrap();
        assert!(id("9-0") < id("10-0") && id("10-9") < id("10-10"));
        assert_eq!(id("1763690000123-4").to_string(), "1763690000123-4");
        assert_eq!((StreamId::parse("1763690000123"), StreamId::parse("a-b")), (None, None));
    }
}
