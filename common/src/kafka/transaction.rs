//! Sending records all or none, with one writer at a time.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures::future::try_join_all;
use rdkafka::error::KafkaResult;
use rdkafka::producer::{BaseProducer, Producer as _};

use super::delivery::{Client, Delivery, Reports};
use super::producer::Outgoing;
use super::reader::{Offsets, Reader};
use crate::config::Kafka;

/// The broker answers within this, or somebody else shall try.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// The only writer under its name: the next one that begins fences it, whatever it was doing.
///
/// After any error its transaction's fate is unknown. Drop it and begin again: that settles what was left open.
pub struct Writer(Client);

impl std::fmt::Debug for Writer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Writer")
    }
}

impl Writer {
    /// Becomes the writer of this name to the reader's topic. Every earlier one is fenced, and what it left open undone.
    ///
    /// # Errors
    /// When the broker does not answer one of four questions within 5 s; when somebody else holds a transaction open.
    pub async fn begin(kafka: &Kafka, name: &str, reader: &Arc<Reader>) -> anyhow::Result<Self> {
        let mut settings = kafka.client();
        settings
            .set("transactional.id", kafka.group(name))
            // What a killed writer left open holds up readers until its successor begins, or mostly this long.
            .set("transaction.timeout.ms", "10000")
            .set("message.timeout.ms", "5000")
            .set("linger.ms", "0")
            .set("compression.type", "lz4")
            .set("partitioner", "murmur2_random")
            .set("queue.buffering.max.kbytes", "65536");
        let writer = Self(Client::new(&settings)?);
        writer.blocking("no word from the broker", |producer| producer.init_transactions(ANSWER_MAX)).await?;
        writer.undo_forgotten(reader).await?;
        Ok(writer)
    }

    /// Undoes what partitions still hold open under this name, though the broker says that it has ended.
    ///
    /// A broker that is killed between its word on a transaction and the transaction's end goes on with it when it
    /// starts. Partitions that have no leader at that moment it takes for deleted, and counts the transaction as ended
    /// without them (Apache Kafka 4.3 and 4.4: `KRaftMetadataCache.getPartitionLeaderEndpoint`; seen with 4.3.1). There
    /// its records stay hidden, and the next transaction's end would show or hide them as well. So the next one is
    /// this: a record in each partition, and all of it undone. That, too, is only believed when it is seen.
    async fn undo_forgotten(&self, reader: &Arc<Reader>) -> anyhow::Result<()> {
        self.blocking("transaction not begun", |producer| producer.begin_transaction()).await?;
        let deliveries = (0..reader.partitions()).map(|one| self.0.take_empty(reader.name(), one));
        let deliveries = deliveries.collect::<Result<Vec<_>, _>>().context("records not taken")?;
        let places = deliveries.into_iter().map(Delivery::place);
        let places = try_join_all(places).await.context("records not taken")?;
        self.blocking("not undone", |producer| producer.abort_transaction(ANSWER_MAX)).await?;
        let ends: Offsets = places.into_iter().map(|(partition, offset)| (partition, offset + 1)).collect();
        let reader = Arc::clone(reader);
        let has_ended = tokio::task::spawn_blocking(move || reader.has_ended(&ends)).await?;
        anyhow::ensure!(has_ended, "a transaction is open that this writer cannot end");
        Ok(())
    }

    /// Sends the records in this order, all or none, and returns their partitions and offsets.
    ///
    /// The broker's word comes before the transaction's end in the partitions, and a broker that is killed in between can
    /// forget the end. Until [`Reader::has_ended`] says that it came, while this is still the last writer to begin, the
    /// next one may undo what was sent.
    ///
    /// # Errors
    /// When it is not known that they are there: the broker does not answer, or another writer has begun.
    pub async fn send(&self, records: &[Outgoing]) -> anyhow::Result<Vec<(i32, i64)>> {
        self.blocking("transaction not begun", |producer| producer.begin_transaction()).await?;
        // At once and in order; a full queue ends the attempt.
        let deliveries = records.iter().map(|record| self.0.take(record));
        let deliveries = deliveries.collect::<Result<Vec<_>, _>>().context("records not taken")?;
        let places =
            try_join_all(deliveries.into_iter().map(Delivery::place)).await.context("records not taken")?;
        self.blocking("not committed", |producer| producer.commit_transaction(ANSWER_MAX)).await?;
        Ok(places)
    }

    async fn blocking(
        &self,
        what: &'static str,
        call: impl FnOnce(&BaseProducer<Reports>) -> KafkaResult<()> + Send + 'static,
    ) -> anyhow::Result<()> {
        let client = self.0.clone();
        tokio::task::spawn_blocking(move || call(client.producer())).await?.context(what)
    }
}
