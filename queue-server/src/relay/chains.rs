//! The topic's side of the relay: the end of each room's chain, taken from the topic itself, and what is put there.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use anyhow::Context as _;
use common::config::Kafka;
use common::kafka::chain::{Head, STEPS_MAX, StreamId};
use common::kafka::reader::{Offsets, Reader, Record};
use common::kafka::transaction::Writer;
use common::wire::event::QUEUE_EVENTS;
use common::wire::id::ProductId;
use common::wire::queue::Step;
use serde::Deserialize;

use super::logs::{Logs, Page};

/// Names the writer: the one that begins last fences all others.
const WRITER: &str = "queue-relay";

/// The chains, as the only writer knows them.
pub(super) struct Chains {
    kafka: Kafka,
    logs: Logs,
    /// Names the relay in the lease.
    holder: String,
    writer: Writer,
    reader: Arc<Reader>,
    heads: HashMap<ProductId, Head>,
    /// Whether the whole topic was read: then a room without a head has no records.
    is_complete: bool,
    /// What was sent since chains were last settled.
    unsettled: Found,
}

/// Records of the topic.
#[derive(Debug, Default)]
struct Found {
    /// Where each product's last one stands.
    places: BTreeMap<ProductId, (i32, i64)>,
    /// Where the partitions end after them.
    read: Offsets,
}

/// A record as far as its place in the chain.
#[derive(Debug, Deserialize)]
struct Link {
    last: String,
}

impl Chains {
    /// Fences every earlier writer, then reads what the topic has that nobody has noted yet.
    pub(super) async fn open(kafka: &Kafka, logs: &Logs, holder: &str) -> anyhow::Result<Self> {
        let reader = Arc::new(Reader::new(kafka, QUEUE_EVENTS)?);
        let writer = Writer::begin(kafka, WRITER, &reader).await?;
        let mut chains = Self {
            kafka: kafka.clone(),
            logs: logs.clone(),
            holder: holder.to_owned(),
            writer,
            reader,
            heads: HashMap::new(),
            is_complete: false,
            unsettled: Found::default(),
        };
        let noted = chains.logs.noted().await?;
        let found = chains.read(noted).await?;
        // A successor that read less than this one would miss what came between.
        chains.note(&found).await?;
        Ok(chains)
    }

    /// The last step of a room that the topic has.
    pub(super) async fn last(&mut self, product: ProductId) -> anyhow::Result<StreamId> {
        if !self.heads.contains_key(&product) {
            let head = self.find(product).await?;
            self.heads.entry(product).or_insert(head);
        }
        Ok(self.heads.get(&product).map(|head| head.last).unwrap_or_default())
    }

    /// The end of a chain that nothing new was read of: where it is noted, when the topic says the same.
    async fn find(&mut self, product: ProductId) -> anyhow::Result<Head> {
        if self.is_complete {
            return Ok(Head::default());
        }
        let Some((partition, offset)) = self.logs.place(product).await? else { return Ok(Head::default()) };
        let reader = Arc::clone(&self.reader);
        let look = move || {
            reader.at(partition, offset, |record| {
                let is_it = record.offset == offset && record.key.parse() == Ok(product);
                is_it.then(|| head(record, StreamId::default()))
            })
        };
        if let Some(head) = tokio::task::spawn_blocking(look).await??.flatten() {
            return Ok(head);
        }
        tracing::warn!(
            product = product.0,
            partition,
            offset,
            "no record where one was noted; reading the topic"
        );
        // What it does not show yet would be taken back from the heads that are known.
        self.settle().await?;
        self.read(Offsets::new()).await?;
        self.is_complete = true;
        Ok(self.heads.get(&product).cloned().unwrap_or_default())
    }

    async fn note(&self, found: &Found) -> anyhow::Result<()> {
        self.logs.note(&self.holder, &found.places, &found.read).await
    }

    async fn read(&mut self, from: Offsets) -> anyhow::Result<Found> {
        let (reader, mut heads) = (Arc::clone(&self.reader), std::mem::take(&mut self.heads));
        let is_complete = from.is_empty();
        let read = move || {
            let mut places = BTreeMap::new();
            let read = reader.to_end(&from, |record| {
                if let Ok(product) = record.key.parse() {
                    let before = heads.get(&product).map(|head: &Head| head.last).unwrap_or_default();
                    heads.insert(product, head(record, before));
                    places.insert(product, (record.partition, record.offset));
                }
                Ok(())
            })?;
            anyhow::Ok((heads, Found { places, read }))
        };
        let (heads, found) = tokio::task::spawn_blocking(read).await?.context("the rooms' topic")?;
        self.heads = heads;
        self.is_complete |= is_complete;
        Ok(found)
    }

    /// Puts pages at the ends of their chains, all or none. After an error these chains must not be used any more.
    pub(super) async fn send(&mut self, pages: Vec<(ProductId, Page)>) -> anyhow::Result<()> {
        let mut heads = BTreeMap::new();
        let (mut products, mut records) = (Vec::new(), Vec::new());
        for (product, page) in pages {
            let mut head = self.heads.get(&product).cloned().unwrap_or_default();
            for steps in records_of(page) {
                let Some(bytes) = head.link(product, steps) else { continue };
                records.push(head.outgoing(&self.kafka, product, bytes));
                products.push(product);
            }
            heads.insert(product, head);
        }
        for (product, (partition, offset)) in products.into_iter().zip(self.writer.send(&records).await?) {
            self.unsettled.places.insert(product, (partition, offset));
            let end = self.unsettled.read.entry(partition).or_default();
            *end = (*end).max(offset + 1);
        }
        self.heads.extend(heads);
        Ok(())
    }

    /// Waits until nobody can undo what was sent any more, and notes where it stands. From then on it may go from the
    /// rooms' streams. After an error these chains must not be used any more.
    pub(super) async fn settle(&mut self) -> anyhow::Result<()> {
        let sent = std::mem::take(&mut self.unsettled);
        if sent.read.is_empty() {
            return Ok(());
        }
        let (reader, ends) = (Arc::clone(&self.reader), sent.read.clone());
        let has_ended = tokio::task::spawn_blocking(move || reader.has_ended(&ends)).await?;
        anyhow::ensure!(has_ended, "the broker does not end a transaction that it has committed");
        self.note(&sent).await
    }
}

/// Deals a page out to records. What came in one entry stays in one record: its steps have one id.
fn records_of(page: Page) -> Vec<Vec<(StreamId, Step)>> {
    let mut records = vec![Vec::new()];
    for (id, steps) in page {
        let mut record = records.last_mut().expect("begins with one, and never loses any");
        if !record.is_empty() && record.len() + steps.len() > STEPS_MAX {
            records.push(Vec::new());
            record = records.last_mut().expect("just put there");
        }
        record.extend(steps.into_iter().map(|step| (id, step)));
    }
    records
}

/// The end of a chain at a record. `before` is the last step of the one before.
fn head(record: Record<'_>, before: StreamId) -> Head {
    let Record { partition, offset, bytes, .. } = record;
    let link = serde_json::from_slice::<Link>(bytes).ok().and_then(|link| StreamId::parse(&link.last));
    if link.is_none() {
        tracing::error!(partition, offset, "a record without its last step");
    }
    Head::after(bytes, link.unwrap_or(before))
}
