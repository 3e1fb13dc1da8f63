//! Sending records. Idempotent, so a retry inside the client makes no second record; a restart of the process
//! still can, which is why every consumer is idempotent too.

use std::time::Duration;

use futures::future::try_join_all;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{FutureProducer, FutureRecord, Producer as _};
use rdkafka::util::Timeout;

use crate::config::Kafka;

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

impl Outgoing {
    /// As the client library takes it.
    pub(super) fn message(&self) -> FutureRecord<'_, String, Vec<u8>> {
        let mut headers = OwnedHeaders::new_with_capacity(self.headers.len());
        for (key, value) in &self.headers {
            headers = headers.insert(Header { key, value: Some(value) });
        }
        FutureRecord::to(&self.topic).key(&self.key).payload(&self.body).headers(headers)
    }
}

/// Sends records and waits for the broker's word. Clones share the connection.
#[derive(Clone)]
pub struct Producer(FutureProducer);

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
            // Measured: the linger is the whole latency of a quiet topic, and costs no throughput at zero.
            .set("linger.ms", "0")
            .set("partitioner", "murmur2_random")
            .set("queue.buffering.max.kbytes", "65536")
            // Given up after this; the outbox sends the rows again.
            .set("message.timeout.ms", "30000");
        Ok(Self(settings.create()?))
    }

    /// Sends the records in this order and waits until the broker has them all.
    ///
    /// # Errors
    /// When any of them was not acknowledged; some may have been.
    pub async fn send(&self, records: &[Outgoing]) -> anyhow::Result<()> {
        // Futures enqueue at their first poll, in order; a full queue waits for room.
        let waits = records.iter().map(|record| self.0.send(record.message(), Timeout::Never));
        try_join_all(waits.map(|wait| async { wait.await.map_err(|(error, _)| error) })).await?;
        Ok(())
    }

    /// Waits for what is still on its way.
    pub fn flush(&self) {
        if let Err(error) = self.0.flush(Duration::from_secs(5)) {
            tracing::warn!(%error, "records were still on their way at the stop");
        }
    }
}
