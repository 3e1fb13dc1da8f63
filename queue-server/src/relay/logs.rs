//! The rooms' logs as the relay sees them: which there are, what they hold, what may go.
//!
//! Redis keys, all under one hash tag:
//!
//! | key | holds |
//! |---|---|
//! | `queue:{relay}:rooms` | sorted set: product → when an instance last announced a step of its room, in ms |
//! | `queue:{relay}:lease` | who moves the logs, and in which run of the server: `<holder>@<run>` |
//! | `queue:{relay}:read` | hash: partition of the topic → offset up to which the places below are complete |
//! | `queue:{relay}:at:<product>` | where the product's last record stands, `<partition>:<offset>`; kept 30 days |

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use common::kafka::chain::StreamId;
use common::kafka::reader::Offsets;
use common::redis::{Connections, Script, Value};
use common::wire::id::ProductId;
use common::wire::queue::Step;
use moka::future::Cache;

const ROOMS: &str = "queue:{relay}:rooms";
const LEASE: &str = "queue:{relay}:lease";
const READ: &str = "queue:{relay}:read";

/// An instance announces a room again after this. The list keeps it far longer.
const ANNOUNCE_EVERY: Duration = Duration::from_secs(10);
/// Rooms whose announcement is remembered here.
const ANNOUNCED_MAX: u64 = 100_000;
/// Rooms that one script puts on the list: some hundred µs.
const MARKED_MAX: usize = 1_000;
/// Rooms that one round takes off the list.
const FORGOTTEN_MAX: i64 = 500;
/// A room that nobody announced for so long gets no steps: an announcement counts for 10 s, and a step that
/// takes longer than 2 s after it has failed.
const IDLE: Duration = Duration::from_secs(60);
/// What followers may still want of a stream.
pub(super) const KEPT: Duration = Duration::from_secs(60);
/// How long a lease lasts without being renewed.
const LEASE_LASTS: Duration = Duration::from_secs(5);
/// Longer than the topic keeps a record: 7 days, and up to 7 more until its file is full.
const NOTE_KEPT: Duration = Duration::from_secs(30 * 86_400);

/// The rooms' logs. Clones share everything.
#[derive(Debug, Clone)]
pub(crate) struct Logs {
    redis: Connections,
    scripts: Arc<Scripts>,
    announced: Cache<ProductId, ()>,
    /// Rooms that took a step here since the last [`mark`](Logs::mark).
    stepped: Arc<Mutex<HashSet<ProductId>>>,
}

#[derive(Debug)]
struct Scripts {
    announce: Script,
    rooms: Script,
    idle: Script,
    forget: Script,
    lease: Script,
    renew: Script,
    release: Script,
    note: Script,
    tend: Script,
}

/// Rooms that are listed.
#[derive(Debug)]
pub(super) struct Rooms {
    /// Redis's clock at this look, in ms since 1970.
    pub(super) now: i64,
    /// Those announced since the moment asked for.
    pub(super) announced: Vec<ProductId>,
}

/// Entries of a room's stream in their order: their ids, and the steps that each holds.
pub(super) type Page = Vec<(StreamId, Vec<Step>)>;

/// What waits in a room's stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Backlog {
    /// Whether anything does.
    pub(super) waits: bool,
    /// Entries ever added.
    pub(super) added: i64,
    /// Entries that are there, sent ones included.
    pub(super) length: i64,
    /// Since when the oldest waits.
    pub(super) age_ms: i64,
}

impl Logs {
    pub(crate) fn new(redis: Connections) -> Self {
        let scripts = Scripts {
            announce: Script::new(include_str!("lua/announce.lua")),
            rooms: Script::new(include_str!("lua/rooms.lua")),
            idle: Script::new(include_str!("lua/idle.lua")),
            forget: Script::new(include_str!("lua/forget.lua")),
            lease: Script::new(include_str!("lua/lease.lua")),
            renew: Script::new(include_str!("lua/renew.lua")),
            release: Script::new(include_str!("lua/release.lua")),
            note: Script::new(include_str!("lua/note.lua")),
            tend: Script::new(include_str!("lua/tend.lua")),
        };
        let announced = Cache::builder().max_capacity(ANNOUNCED_MAX).time_to_live(ANNOUNCE_EVERY).build();
        Self { redis, scripts: Arc::new(scripts), announced, stepped: Arc::default() }
    }

    /// Says that a room is about to get steps. Must come before them: what is not listed is not read.
    pub(crate) async fn announce(&self, product: ProductId) -> anyhow::Result<()> {
        if self.announced.get(&product).await.is_none() {
            self.list(&[product]).await?;
        }
        Ok(())
    }

    /// Notes that a room has got a step, for the next [`mark`](Self::mark).
    pub(crate) fn stepped(&self, product: ProductId) {
        self.stepped.lock().unwrap_or_else(PoisonError::into_inner).insert(product);
    }

    /// Announces the rooms that took steps here, so that the relay reads them now. Those of an instance that dies
    /// before, and of a mark that fails, it finds when it next looks at all that are listed.
    pub(super) async fn mark(&self) -> anyhow::Result<()> {
        let stepped = std::mem::take(&mut *self.stepped.lock().unwrap_or_else(PoisonError::into_inner));
        let stepped: Vec<_> = stepped.into_iter().collect();
        for some in stepped.chunks(MARKED_MAX) {
            self.list(some).await?;
        }
        Ok(())
    }

    async fn list(&self, products: &[ProductId]) -> anyhow::Result<()> {
        let args = products.iter().map(|product| product.0.into()).collect();
        let _: i64 = self.run(&self.scripts.announce, vec![ROOMS.into()], args).await?;
        for product in products {
            self.announced.insert(*product, ()).await;
        }
        Ok(())
    }

    /// The rooms announced since a moment of Redis's clock, in ms; since 0, all that may have steps which the topic does
    /// not.
    pub(super) async fn rooms(&self, since: i64) -> anyhow::Result<Rooms> {
        let args = vec![since.into()];
        let (now, announced): (i64, Vec<i64>) =
            self.run(&self.scripts.rooms, vec![ROOMS.into()], args).await?;
        Ok(Rooms { now, announced: announced.into_iter().map(ProductId).collect() })
    }

    /// Some of the rooms whose last step is long ago.
    pub(super) async fn idle(&self) -> anyhow::Result<Vec<ProductId>> {
        let args = vec![ms(IDLE), FORGOTTEN_MAX.into()];
        let idle: Vec<i64> = self.run(&self.scripts.idle, vec![ROOMS.into()], args).await?;
        Ok(idle.into_iter().map(ProductId).collect())
    }

    /// Takes an idle room off the list, and all that was sent out of its stream.
    pub(super) async fn forget(&self, product: ProductId, last: StreamId) -> anyhow::Result<bool> {
        if self.tend(product, last, Some(Duration::ZERO)).await?.waits {
            return Ok(false);
        }
        let args = vec![product.0.into(), ms(IDLE)];
        Ok(self.run::<i64>(&self.scripts.forget, vec![ROOMS.into()], args).await? == 1)
    }

    /// The entries of a room's stream after `last`, at most `most`.
    pub(super) async fn after(&self, product: ProductId, last: StreamId, most: u64) -> anyhow::Result<Page> {
        let entries = self.redis.entries(&log(product), &format!("({last}"), most).await?;
        let page = entries.into_iter().map(|(id, fields)| {
            let steps = Step::of_entry(&fields).with_context(|| format!("step {id} of room {product}"))?;
            Ok((StreamId::parse(&id).context("a stream's id")?, steps))
        });
        page.collect()
    }

    /// Says what waits in a room's stream. Drops what was sent and is older than `kept`, where that is given.
    pub(super) async fn tend(
        &self,
        product: ProductId,
        last: StreamId,
        kept: Option<Duration>,
    ) -> anyhow::Result<Backlog> {
        let args = vec![last.to_string().into(), kept.map_or_else(|| "".into(), ms)];
        let [waits, added, length, age_ms] =
            self.run::<Vec<i64>>(&self.scripts.tend, vec![log(product)], args).await?[..]
        else {
            anyhow::bail!("a room's backlog");
        };
        Ok(Backlog { waits: waits == 1, added, length, age_ms })
    }

    /// Takes the lease; false where somebody else holds it.
    pub(super) async fn take(&self, holder: &str) -> anyhow::Result<bool> {
        let args = vec![holder.into(), ms(LEASE_LASTS)];
        Ok(self.run::<i64>(&self.scripts.lease, vec![LEASE.into()], args).await? == 1)
    }

    /// Holds on to the lease; false where it was lost meanwhile, though nobody may have it now.
    pub(super) async fn renew(&self, holder: &str) -> anyhow::Result<bool> {
        let args = vec![holder.into(), ms(LEASE_LASTS)];
        Ok(self.run::<i64>(&self.scripts.renew, vec![LEASE.into()], args).await? == 1)
    }

    /// Gives the lease back, so that the next one need not wait for its end.
    pub(super) async fn release(&self, holder: &str) -> anyhow::Result<()> {
        let _: i64 = self.run(&self.scripts.release, vec![LEASE.into()], vec![holder.into()]).await?;
        Ok(())
    }

    /// Notes the places of products' last records, and up to where they are complete.
    ///
    /// An error when that is not known to be noted, as without the lease. Then whoever asks must not note anything later:
    /// that would say that nothing is missing, and a successor take a chain's end from where it was before.
    pub(super) async fn note(
        &self,
        holder: &str,
        places: &BTreeMap<ProductId, (i32, i64)>,
        read: &Offsets,
    ) -> anyhow::Result<()> {
        let keys = [LEASE.to_owned(), READ.to_owned()].into_iter().chain(places.keys().map(|one| at(*one)));
        let texts = places.values().map(|(partition, offset)| format!("{partition}:{offset}").into());
        let ends = read.iter().flat_map(|(partition, offset)| [(*partition).into(), (*offset).into()]);
        let args: Vec<Value> = [holder.into(), ms(NOTE_KEPT)].into_iter().chain(texts).chain(ends).collect();
        let noted: i64 =
            self.run(&self.scripts.note, keys.collect(), args).await.context("places not noted")?;
        anyhow::ensure!(noted == 1, "the lease is lost");
        Ok(())
    }

    /// Up to where each partition's records are noted.
    pub(super) async fn noted(&self) -> anyhow::Result<Offsets> {
        let read: HashMap<String, String> = self.redis.hash(READ).await?;
        let offset =
            |(partition, offset): (String, String)| Some((partition.parse().ok()?, offset.parse().ok()?));
        Ok(read.into_iter().filter_map(offset).collect())
    }

    /// Where a product's last record is noted to be.
    pub(super) async fn place(&self, product: ProductId) -> anyhow::Result<Option<(i32, i64)>> {
        let text = self.redis.text(&at(product)).await?;
        let place = text.as_deref().and_then(|text| text.split_once(':'));
        Ok(place.and_then(|(partition, offset)| Some((partition.parse().ok()?, offset.parse().ok()?))))
    }

    async fn run<T: common::redis::FromValue>(
        &self,
        script: &Script,
        keys: Vec<String>,
        args: Vec<Value>,
    ) -> anyhow::Result<T> {
        Ok(script.run(&self.redis, keys, args).await?)
    }
}

fn log(product: ProductId) -> String {
    format!("room:{{{product}}}:log")
}

fn at(product: ProductId) -> String {
    format!("queue:{{relay}}:at:{product}")
}

fn ms(time: Duration) -> Value {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX).into()
}
