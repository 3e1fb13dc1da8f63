//! Records on their way, each with its delivery to wait for.
//!
//! The library's own `FutureProducer` waits for reports in rounds of 100 ms, and spins through what is less than a
//! millisecond of each: 1 % of a core per producer at rest. This waits in rounds of a second.

use std::sync::Arc;
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::message::{Header, Message as _, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, ProducerContext};
use tokio::sync::oneshot;

use super::producer::Outgoing;

/// A round of the thread that takes reports, and the longest time it outlives its producer.
const ROUND: Duration = Duration::from_secs(1);

/// Where a record went: its partition and offset there.
type Place = (i32, i64);

/// A producer and the thread that takes its delivery reports. Clones share them.
#[derive(Clone)]
pub(super) struct Client(Arc<BaseProducer<Reports>>);

/// Hands each report to whoever waits for it.
pub(super) struct Reports;

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = Box<oneshot::Sender<KafkaResult<Place>>>;

    fn delivery(&self, report: &DeliveryResult<'_>, waiting: Self::DeliveryOpaque) {
        let place = report.as_ref().map(|record| (record.partition(), record.offset()));
        // Whoever gave up waiting does not want to know.
        let _ = waiting.send(place.map_err(|(error, _)| error.clone()));
    }
}

/// A record that the client has taken.
pub(super) struct Delivery(oneshot::Receiver<KafkaResult<Place>>);

impl Delivery {
    /// Waits for the broker's word.
    pub(super) async fn place(self) -> KafkaResult<Place> {
        self.0.await.unwrap_or(Err(KafkaError::Canceled))
    }
}

impl Client {
    /// Makes the connection in the background. The client ends in its own thread: no thread of the runtime waits for it.
    pub(super) fn new(settings: &ClientConfig) -> anyhow::Result<Self> {
        let producer = Arc::new(BaseProducer::from_config_and_context(settings, Reports)?);
        let client = Self(Arc::clone(&producer));
        std::thread::Builder::new().name("kafka reports".into()).spawn(move || {
            while Arc::strong_count(&producer) > 1 {
                producer.poll(ROUND);
            }
        })?;
        Ok(client)
    }

    /// Takes a record, behind those taken before.
    ///
    /// # Errors
    /// When the queue is full, or the record or the client is no good.
    pub(super) fn take(&self, record: &Outgoing) -> KafkaResult<Delivery> {
        let (waiting, delivery) = oneshot::channel();
        let headers = OwnedHeaders::new_with_capacity(record.headers.len());
        let headers = record
            .headers
            .iter()
            .fold(headers, |headers, (key, value)| headers.insert(Header { key, value: Some(value) }));
        let message = BaseRecord::with_opaque_to(&record.topic, Box::new(waiting));
        let message = message.key(&record.key).payload(&record.body).headers(headers);
        self.0.send(message).map_err(|(error, _)| error)?;
        Ok(Delivery(delivery))
    }

    /// Takes a record without key and body for one partition.
    ///
    /// # Errors
    /// As [`take`](Self::take).
    pub(super) fn take_empty(&self, topic: &str, partition: i32) -> KafkaResult<Delivery> {
        let (waiting, delivery) = oneshot::channel();
        let message = BaseRecord::<(), (), _>::with_opaque_to(topic, Box::new(waiting)).partition(partition);
        self.0.send(message).map_err(|(error, _)| error)?;
        Ok(Delivery(delivery))
    }

    /// The rest of the library's producer: transactions and flush.
    pub(super) fn producer(&self) -> &BaseProducer<Reports> {
        &self.0
    }
}
