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

mod chains;
pub(crate) mod logs;

use std::collections::HashMap;
use std::time::Duration;

use common::kafka;
use common::kafka::chain::StreamId;
use common::wire::event::QUEUE_EVENTS;
use common::wire::id::ProductId;
use futures::future::join_all;
use tokio::time::Instant;
use uuid::Uuid;

use crate::app::App;
use chains::Chains;
use logs::{Backlog, Logs, Page};

/// Between two looks at the logs when nothing waited.
const POLL: Duration = Duration::from_millis(50);
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
    let mut relay = Relay { app, logs, holder: Uuid::now_v7().to_string(), rooms: HashMap::new() };
    loop {
        relay.turn().await;
        if !relay.app.stop.pause(LOOK).await {
            break;
        }
    }
}

struct Relay {
    app: App,
    logs: Logs,
    /// Names this relay in the lease.
    holder: String,
    /// What is known of the rooms that are tended.
    rooms: HashMap<ProductId, Progress>,
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
        match self.logs.hold(&self.holder).await {
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
        // What waits is counted also while the broker cannot be reached.
        self.tend().await;
        let mut chains = Chains::open(&self.app.config.kafka, &self.logs, &self.holder).await?;
        self.rooms.clear();
        let mut tended = Instant::now();
        loop {
            if !self.pass(&mut chains).await? {
                tokio::time::sleep(POLL).await;
            }
            if tended.elapsed() >= TEND {
                tended = Instant::now();
                self.tend().await;
            }
        }
    }

    /// Moves what waits, a limited amount; says whether more may. Only what goes wrong at the topic is an error: it
    /// leaves the chains' ends unknown.
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
        let sent = chains.send(pages).await?;
        for (product, count) in moved {
            let last = chains.last(product).await?;
            if let Some(room) = self.rooms.get_mut(&product) {
                let count = i64::try_from(count).unwrap_or(i64::MAX);
                *room = Progress { last, sent: room.sent.map(|sent| sent.saturating_add(count)) };
            }
        }
        self.app.metrics.relay_steps_total.inc_by(u64::try_from(steps).unwrap_or(u64::MAX));
        // Without the note a successor reads more of the topic.
        if let Err(error) = self.logs.note(&self.holder, &sent.places, &sent.read).await {
            tracing::debug!(error = format!("{error:#}"), "places not noted");
        }
        Ok(is_more)
    }

    /// The next steps of every room, and whether a room has more. The outer error is the topic's.
    async fn waiting(
        &mut self,
        chains: &mut Chains,
    ) -> anyhow::Result<anyhow::Result<(Vec<(ProductId, Page)>, bool)>> {
        let rooms = match self.logs.rooms().await {
            Ok(rooms) => rooms.all,
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
                Ok(page) if page.is_empty() => {}
                Ok(page) => waiting.push((product, page)),
                // The others go on; this one's lag rises and wakes somebody.
                Err(error) => {
                    tracing::error!(product = product.0, error = format!("{error:#}"), "a log waits")
                }
            }
        }
        let is_more = waiting.iter().any(|(_, page)| page.len() == most);
        Ok(Ok((waiting, is_more)))
    }

    /// Trims what was sent, counts what was not, and forgets rooms that have ended.
    async fn tend(&mut self) {
        let rooms = self
            .rooms
            .iter()
            .map(async |(product, room)| (*product, *room, self.logs.tend(*product, room.last).await));
        let (mut lag, mut age_ms) = (0, 0);
        for (product, mut room, backlog) in join_all(rooms).await {
            match backlog {
                Ok(backlog) => {
                    lag += room.count(backlog);
                    age_ms = age_ms.max(backlog.age_ms);
                    self.rooms.insert(product, room);
                }
                Err(error) => {
                    tracing::debug!(product = product.0, error = format!("{error:#}"), "log not trimmed")
                }
            }
        }
        self.app.metrics.relay_lag.set(lag);
        self.app.metrics.relay_age_ms.set(age_ms);
        if let Err(error) = self.forget().await {
            tracing::debug!(error = format!("{error:#}"), "idle rooms stay listed");
        }
    }

    async fn forget(&mut self) -> anyhow::Result<()> {
        for product in self.logs.rooms().await?.idle {
            if let Some(room) = self.rooms.get(&product)
                && self.logs.forget(product, room.last).await?
            {
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
        match logs.hold(holder).await {
            Ok(true) => renewed = asked,
            Ok(false) => return,
            Err(error) => tracing::debug!(error = format!("{error:#}"), "the lease is not renewed"),
        }
    }
}
