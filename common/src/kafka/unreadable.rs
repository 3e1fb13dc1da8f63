//! Records that cannot be read, and the letters that become of them.

use super::producer::Outgoing;
use crate::config::Kafka;
use crate::wire::event::Topic;

/// Characters of a reason that a letter has at most: some repeat what they are about.
const REASON_MAX: usize = 500;

/// A record that could not be read.
#[derive(Debug, Clone)]
pub struct Unreadable {
    /// Partition it came from.
    pub partition: i32,
    /// Its place in the partition.
    pub offset: i64,
    /// Its key.
    pub key: String,
    /// The original bytes.
    pub bytes: Vec<u8>,
    /// Why it could not be read.
    pub reason: String,
}

impl Unreadable {
    /// The reason, as much of it as a letter has.
    #[must_use]
    pub fn why(&self) -> String {
        self.reason.chars().take(REASON_MAX).collect()
    }
}

/// The record that `topic.dlq` gets: the original bytes, with what is wrong and where they came from.
pub(super) fn dead_letter(kafka: &Kafka, topic: Topic, record: &Unreadable) -> Outgoing {
    Outgoing {
        topic: kafka.dead_letters(topic),
        key: record.key.clone(),
        headers: error_headers(topic, record),
        body: record.bytes.clone(),
    }
}

/// What is wrong with a dead letter, and where it came from.
#[must_use]
pub fn error_headers(topic: Topic, record: &Unreadable) -> Vec<(String, String)> {
    let header = |name: &str, value: String| (name.to_owned(), value);
    vec![
        header("x-error", record.why()),
        header("x-origin-topic", topic.name.to_owned()),
        header("x-origin-partition", record.partition.to_string()),
        header("x-origin-offset", record.offset.to_string()),
    ]
}
