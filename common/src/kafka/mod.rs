//! The log between services.
//!
//! - `delivery`: records on their way.
//! - [`producer`]: idempotent, waits for the broker's word.
//! - [`consumer`]: a thread that polls, a bounded channel, effects before commits. [`unreadable`]: dead letters.
//! - [`commits`]: when offsets are committed, and reading again what was not.
//! - [`transaction`]: all or nothing, and one writer at a time. [`reader`]: a topic from anywhere to its end.
//! - [`chain`]: the hash chain of each room's log.
//! - Here: names with the deployment's prefix, and making topics.

pub mod chain;
pub mod commits;
pub mod consumer;
mod delivery;
pub mod producer;
pub mod reader;
pub mod transaction;
pub mod unreadable;

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::types::RDKafkaErrorCode;

use crate::config::Kafka;
use crate::stop::Stop;
use crate::wire::event::Topic;

/// Bytes of a record that the client sends at most, and that a topic of dead letters takes. The other topics take a
/// megabyte, the broker's default: a letter has its reason beside the record, and its key may have grown threefold where
/// it was no text. One that could not be sent would keep all that stands behind it.
const RECORD_MAX: &str = "4194304";
/// Days that a topic keeps its records, in milliseconds.
const RETENTION_MS: &str = "604800000";

impl Kafka {
    /// A topic's name in this deployment.
    #[must_use]
    pub fn topic(&self, topic: Topic) -> String {
        format!("{}{}", self.kafka_topic_prefix, topic.name)
    }

    /// The name of the topic that takes what cannot be read from `topic`.
    #[must_use]
    pub fn dead_letters(&self, topic: Topic) -> String {
        format!("{}{}.dlq", self.kafka_topic_prefix, topic.name)
    }

    /// A consumer group's name in this deployment.
    #[must_use]
    pub fn group(&self, group: &str) -> String {
        format!("{}{group}", self.kafka_topic_prefix)
    }

    /// Settings that every client of the broker has.
    #[must_use]
    pub fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.kafka_bootstrap)
            .set("client.id", &self.instance)
            .set("message.max.bytes", RECORD_MAX)
            // A broker that restarts is found again at once, not after the default 10 s.
            .set("reconnect.backoff.ms", "50")
            .set("reconnect.backoff.max.ms", "1000");
        config
    }
}

/// Makes the topics and their dead-letter topics where they do not exist. Waits for the broker with back-off.
///
/// # Errors
/// When the broker refuses a topic, or the stop comes first.
pub async fn create_topics(config: &Kafka, topics: &[Topic], stop: &Stop) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> = config.client().create()?;
    let names: Vec<(String, String, Topic)> =
        topics.iter().map(|topic| (config.topic(*topic), config.dead_letters(*topic), *topic)).collect();
    let replication = || TopicReplication::Fixed(config.kafka_replication);
    let wanted: Vec<NewTopic<'_>> = names
        .iter()
        .flat_map(|(name, dead, topic)| {
            let policy = if topic.compacted { "compact" } else { "delete" };
            let live = NewTopic::new(name, topic.partitions, replication()).set("cleanup.policy", policy);
            let live = if topic.compacted { live } else { live.set("retention.ms", RETENTION_MS) };
            let dead = NewTopic::new(dead, 1, replication()).set("retention.ms", "2592000000");
            [live, dead.set("max.message.bytes", RECORD_MAX)]
        })
        .collect();
    let mut pause = Duration::from_millis(100);
    // Without a limit of its own a request waits a minute for a broker, and says nothing meanwhile.
    let limit = Some(Duration::from_secs(5));
    let options = AdminOptions::new().request_timeout(limit).operation_timeout(limit);
    loop {
        let made = tokio::select! {
            made = admin.create_topics(&wanted, &options) => made,
            () = stop.stopped() => anyhow::bail!("stopped before Kafka was there"),
        };
        let failed = match made {
            Ok(results) => {
                let bad = |error: &RDKafkaErrorCode| *error != RDKafkaErrorCode::TopicAlreadyExists;
                results
                    .into_iter()
                    .filter_map(Result::err)
                    .find(|(_, error)| bad(error))
                    .map(|(topic, error)| format!("{topic}: {error}"))
            }
            Err(error) => Some(error.to_string()),
        };
        let Some(error) = failed else { return Ok(()) };
        tracing::warn!(error, broker = config.kafka_bootstrap, "waiting for Kafka");
        anyhow::ensure!(stop.pause(pause).await, "stopped before Kafka was there");
        pause = (pause * 2).min(Duration::from_secs(2));
    }
}
