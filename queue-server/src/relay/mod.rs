//! Moves the rooms' logs from their streams to `queue.events.v1`, where they are kept and can be proved: one chain of
//! hashes per room ([`common::kafka::chain`]).
//!
//! - `logs`: the rooms' side: which there are, what they hold, the lease.
//! - `chains`: the topic's side: where each chain ends, and its next records.
//!
//! One instance at a time holds the lease and works; the others look every second whether it is free. The lease only
//! saves work. What keeps two from writing is the topic's transactions: whoever begins fences the one before, and then
//! takes the end of every chain from the topic's own last records. So a relay that was frozen and wakes cannot fork a
//! chain, one that dies between sending and trimming sends nothing twice, and nothing is dropped that is not sent.
//!
//! A broker that is killed can forget to end a transaction that it has said is committed. So whoever begins undoes what
//! is open in the topic, and nothing is dropped from a stream before the topic shows it: what was undone is sent again.
//!
//! A room is read when an instance says that it took a step, and with all others every few seconds: that finds what an
//! instance did that died before it could say so. So thousands of rooms in which nothing happens cost next to nothing.

mod chains;
pub(crate) mod logs;

use std::collections::{HashMap, HashSet};
use std::time::Duration;

use common::kafka;
use common::kafka::chain::StreamId;
use common::wire::event::QUEUE_EVENTS;
use common::wire::id::ProductId;
use futures::future::{join_all, try_join_all};
use tokio::time::Instant;
use uuid::Uuid;

use crate::app::App;
use chains::Chains;
use logs::{Backlog, KEPT, Logs, Page};

/// Between two looks at the logs when nothing waited. What comes meanwhile goes in one transaction, which costs the broker
/// several requests however little is in it.
const POLL: Duration = Duration::from_millis(200);
/// Between two notes of the rooms that took steps.
const MARK: Duration = Duration::from_millis(100);
/// Between two looks at all rooms that are listed.
const LOOK_ALL: Duration = Duration::from_secs(5);
/// Between two looks at the lease, of those who do not hold it.
const LOOK: Duration = Duration::from_secs(1);
/// The lease is renewed this often,
const RENEW: Duration = Duration::from_secs(1);
/// and given up when that fails for so long: it ends 5 s after the last time.
const RENEWED_WITHIN: Duration = Duration::from_secs(4);
/// Between two rounds of trimming and counting.
const TEND: Duration = Duration::from_secs(1);
/// Entries of one transaction at most, over all rooms, and of one room at least.
const BATCH: usize = 8_000;
const BATCH_LEAST: usize = 100;
/// Entries of one room read at once at most: those who came together, up to 64, are one.
const PAGE_MAX: usize = 2_000;

/// Moves logs until the stop, whenever it is this instance's turn.
pub(crate) async fn run(app: App) {
    if let Err(error) = kafka::create_topics(&app.config.kafka, &[QUEUE_EVENTS], &app.stop).await {
        if !app.stop.is_stopped() {
            tracing::error!(error = format!("{error:#}"), "the rooms' logs cannot be moved");
            app.stop.stop();
        }
        return;
    }
    let logs = app.store.logs().clone();
    let holder = Uuid::now_v7().to_string();
    let (unread, untended) = (HashSet::new(), HashSet::new());
    let mut relay = Relay { app, logs, holder, rooms: HashMap::new(), unread, untended, seen: None };
    loop {
        relay.turn().await;
        if !relay.app.stop.pause(LOOK).await {
            break;
        }
    }
}

/// Says which rooms took steps here, until the stop.
pub(crate) async fn mark(app: App) {
    while app.stop.pause(MARK).await {
        if let Err(error) = app.store.logs().mark().await {
            tracing::debug!(error = format!("{error:#}"), "steps not announced");
        }
    }
}

struct Relay {
    app: App,
    logs: Logs,
    /// Names this relay in the lease.
    holder: String,
    /// What is known of the rooms that are listed.
    rooms: HashMap<ProductId, Progress>,
    /// Those whose log has more than one look takes, or could not be read.
    unread: HashSet<ProductId>,
    /// Those of which something waits, or was sent since they were last tended.
    untended: HashSet<ProductId>,
    /// When all were last looked at, and Redis's clock at the last look of any kind.
    seen: Option<(Instant, i64)>,
}

/// How far a room's log has been moved.
#[derive(Debug, Clone, Copy, Default)]
struct Progress {
    /// The last step that the topic has.
    last: StreamId,
    /// How many entries the stream ever had up to it, once that is known.
    sent: Option<i64>,
}

impl Relay {
    async fn turn(&mut self) {
        match self.logs.take(&self.holder).await {
            Ok(true) => {}
            Ok(false) => {
                self.app.metrics.relay_lag.set(0);
                self.app.metrics.relay_age_ms.set(0);
                return;
            }
            Err(error) => {
                return tracing::debug!(error = format!("{error:#}"), "the lease cannot be asked for");
            }
        }
        tracing::info!("the relay of the rooms' logs leads");
        self.app.metrics.relay_leads.set(1);
        let (logs, holder, stop) = (self.logs.clone(), self.holder.clone(), self.app.stop.clone());
        let ended = tokio::select! {
            ended = self.lead() => ended,
            () = keep(&logs, &holder) => Err(anyhow::anyhow!("the lease is lost")),
            () = stop.stopped() => Ok(()),
        };
        if let Err(error) = ended {
            tracing::warn!(error = format!("{error:#}"), "the relay of the rooms' logs gives up");
        }
        // What waits stays shown until somebody else leads.
        self.app.metrics.relay_leads.set(0);
        if let Err(error) = self.logs.release(&holder).await {
            tracing::debug!(error = format!("{error:#}"), "the lease is left to end by itself");
        }
    }

    async fn lead(&mut self) -> anyhow::Result<()> {
        // What waits is counted also while the broker cannot be reached; what was sent last may still be undone.
        self.untended.extend(self.rooms.keys());
        self.tend(None).await;
        let mut chains = Chains::open(&self.app.config.kafka, &self.logs, &self.holder).await?;
        self.rooms.clear();
        self.unread.clear();
        self.untended.clear();
        self.seen = None;
        let mut tended = Instant::now();
        loop {
            if !self.pass(&mut chains).await? {
                tokio::time::sleep(POLL).await;
            }
            if tended.elapsed() >= TEND {
                tended = Instant::now();
                chains.settle().await?;
                self.tend(Some(KEPT)).await;
            }
        }
    }

    /// Moves what waits, a limited amount; says whether more may. Only what goes wrong at the topic and its notes is an
    /// error: it leaves the chains' ends unknown.
    async fn pass(&mut self, chains: &mut Chains) -> anyhow::Result<bool> {
        let (pages, is_more) = match self.waiting(chains).await? {
            Ok(waiting) => waiting,
            Err(error) => {
                tracing::warn!(error = format!("{error:#}"), "the rooms' logs cannot be read");
                return Ok(false);
            }
        };
        if pages.is_empty() {
            return Ok(false);
        }
        let moved: Vec<_> = pages.iter().map(|(product, page)| (*product, page.len())).collect();
        let steps: usize = pages.iter().flat_map(|(_, page)| page).map(|(_, steps)| steps.len()).sum();
        chains.send(pages).await?;
        for (product, count) in moved {
            let last = chains.last(product).await?;
            if let Some(room) = self.rooms.get_mut(&product) {
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                *room = Progress { last, sent: room.sent.map(|sent| sent.saturating_add(count)) };
            }
        }
        self.app.metrics.relay_steps_total.inc_by(u64::try_from(steps).unwrap_or(u64::MAX));
        Ok(is_more)
    }

    /// The next steps of every room, and whether a room has more. The outer error is the topic's.
    async fn waiting(
        &mut self,
        chains: &mut Chains,
    ) -> anyhow::Result<anyhow::Result<(Vec<(ProductId, Page)>, bool)>> {
        let rooms = match self.look().await {
            Ok(rooms) => rooms,
            Err(error) => return Ok(Err(error)),
        };
        for product in &rooms {
            let last = chains.last(*product).await?;
            self.rooms.entry(*product).or_default().last = last;
        }
        let most = (BATCH / rooms.len().max(1)).clamp(BATCH_LEAST, PAGE_MAX);
        let (logs, known) = (&self.logs, &self.rooms);
        let pages = rooms.into_iter().map(async |product| {
            let last = known.get(&product).map(|room| room.last).unwrap_or_default();
            let page = logs.after(product, last, u64::try_from(most).unwrap_or(u64::MAX)).await;
            (product, page)
        });
        let mut waiting = Vec::new();
        for (product, page) in join_all(pages).await {
            match page {
                Ok(page) if page.is_empty() => continue,
                Ok(page) => {
                    if page.len() == most {
                        self.unread.insert(product);
                    }
                    waiting.push((product, page));
                }
                // The others go on; this one's lag rises and wakes somebody.
                Err(error) => {
                    tracing::error!(product = product.0, error = format!("{error:#}"), "a log waits");
                    self.unread.insert(product);
                }
            }
            self.untended.insert(product);
        }
        let is_more = waiting.iter().any(|(_, page)| page.len() == most);
        Ok(Ok((waiting, is_more)))
    }

    /// The rooms to read now.
    async fn look(&mut self) -> anyhow::Result<Vec<ProductId>> {
        let looked_at_all = self.seen.filter(|(when, _)| when.elapsed() < LOOK_ALL);
        let (when, since) = looked_at_all.unwrap_or_else(|| (Instant::now(), 0));
        let rooms = self.logs.rooms(since).await?;
        self.seen = Some((when, rooms.now));
        self.unread.extend(rooms.announced);
        Ok(self.unread.drain().collect())
    }

    /// Counts what was not sent of all rooms that anything has happened in. Trims what was, but for the time that it is
    /// kept, where one is given.
    async fn tend(&mut self, kept: Option<Duration>) {
        let rooms = self.untended.iter().filter_map(|product| Some((*product, *self.rooms.get(product)?)));
        let rooms = rooms
            .map(async |(product, room)| (product, room, self.logs.tend(product, room.last, kept).await));
        let (mut lag, mut age_ms) = (0, 0);
        for (product, mut room, backlog) in join_all(rooms).await {
            match backlog {
                Ok(backlog) => {
                    lag += room.count(backlog);
                    age_ms = age_ms.max(backlog.age_ms);
                    self.rooms.insert(product, room);
                    if !backlog.waits {
                        self.untended.remove(&product);
                    }
                }
                Err(error) => {
                    tracing::debug!(product = product.0, error = format!("{error:#}"), "log not trimmed")
                }
            }
        }
        self.app.metrics.relay_lag.set(lag);
        self.app.metrics.relay_age_ms.set(age_ms);
        if kept.is_some()
            && let Err(error) = self.forget().await
        {
            tracing::debug!(error = format!("{error:#}"), "idle rooms stay listed");
        }
    }

    /// Takes rooms off the list that have ended, or in which nothing happens.
    async fn forget(&mut self) -> anyhow::Result<()> {
        let idle = self.logs.idle().await?;
        let known = idle.into_iter().filter_map(|product| Some((product, self.rooms.get(&product)?.last)));
        let gone =
            known.map(async |(product, last)| anyhow::Ok((product, self.logs.forget(product, last).await?)));
        for (product, is_gone) in try_join_all(gone).await? {
            if is_gone {
                self.rooms.remove(&product);
            }
        }
        Ok(())
    }
}

impl Progress {
    /// How many entries wait; all that are there, until it is known how many of them were sent.
    fn count(&mut self, backlog: Backlog) -> i64 {
        if !backlog.waits {
            self.sent = Some(backlog.added);
            return 0;
        }
        self.sent.map_or(backlog.length, |sent| (backlog.added - sent).clamp(1, backlog.length))
    }
}

/// Renews the lease; returns once it is not held any more, or may not be.
async fn keep(logs: &Logs, holder: &str) {
    let mut renewed = Instant::now();
    while renewed.elapsed() < RENEWED_WITHIN {
        tokio::time::sleep(RENEW).await;
        let asked = Instant::now();
        match logs.renew(holder).await {
            Ok(true) => renewed = asked,
            Ok(false) => return,
            Err(error) => tracing::debug!(error = format!("{error:#}"), "the lease is not renewed"),
        }
    }
}
