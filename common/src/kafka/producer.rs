//! Sending records. Idempotent, so a retry inside the client makes no second record; a restart of the process
//! still can, which is why every consumer is idempotent too.

use std::time::Duration;

use rdkafka::error::KafkaError;
use rdkafka::producer::Producer as _;
use rdkafka::types::RDKafkaErrorCode;

use super::delivery::{Client, Delivery};
use crate::config::Kafka;

/// Between two looks for room in a full queue.
const FULL_PAUSE: Duration = Duration::from_millis(20);

/// A record on its way out.
#[derive(Debug, Clone)]
pub struct Outgoing {
    /// Full topic name.
    pub topic: String,
    /// What keeps its order.
    pub key: String,
    /// Header names and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Vec<u8>,
}

/// Sends records and waits for the broker's word. Clones share the connection.
#[derive(Clone)]
pub struct Producer(Client);

impl std::fmt::Debug for Producer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Producer")
    }
}

impl Producer {
    /// A producer. The connection is made in the background.
    ///
    /// # Errors
    /// When the settings are refused.
    pub fn new(config: &Kafka) -> anyhow::Result<Self> {
        let mut settings = config.client();
        settings
            .set("enable.idempotence", "true")
            // Records that come within a millisecond go in one request per partition.
            .set("linger.ms", "1")
            .set("partitioner", "murmur2_random")
            .set("queue.buffering.max.kbytes", "65536")
            // Given up after this; the outbox sends the rows again.
            .set("message.timeout.ms", "30000");
        Ok(Self(Client::new(&settings)?))
    }

    /// Sends the records in this order and waits until the broker has them all.
    ///
    /// # Errors
    /// When any of them was not acknowledged; some may have been.
    pub async fn send(&self, records: &[Outgoing]) -> anyhow::Result<()> {
        let mut deliveries = Vec::with_capacity(records.len());
        for record in records {
            deliveries.push(self.take(record).await?);
        }
        for delivery in deliveries {
            delivery.place().await?;
        }
        Ok(())
    }

    /// Has a record taken, once there is room.
    async fn take(&self, record: &Outgoing) -> anyhow::Result<Delivery> {
        loop {
            match self.0.take(record) {
                Err(KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) => {
                    tokio::time::sleep(FULL_PAUSE).await;
                }
                taken => return Ok(taken?),
            }
        }
    }

    /// Waits for what is still on its way.
    pub fn flush(&self) {
        if let Err(error) = self.0.producer().flush(Duration::from_secs(5)) {
            tracing::warn!(%error, "records were still on their way at the stop");
        }
    }
}
