//! Time passes in every room that has a line, on every instance: the script makes it happen once.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use common::http::observe::Ready;
use common::wire::id::ProductId;
use tokio::time::Instant;

use super::http::CALLED_MAX;
use super::store::Ticked;
use crate::app::App;

/// How often an instance looks for rooms that others opened.
const LOOK: Duration = Duration::from_secs(1);

/// The rooms that this instance ticks, each in a task of its own: a slow one holds nobody. Clones share them.
#[derive(Debug, Clone, Default)]
pub(crate) struct Rooms(Arc<Mutex<HashSet<ProductId>>>);

impl Rooms {
    /// Whether a room is ticked here, and so on the list of rooms.
    pub(crate) fn contains(&self, product: ProductId) -> bool {
        self.set(|rooms| rooms.contains(&product))
    }

    /// Ticks a room from now on, unless it is ticked already.
    pub(crate) fn attend(&self, app: &App, product: ProductId) {
        if self.set(|rooms| rooms.insert(product)) {
            app.stop.spawn("room", tick(app.clone(), product));
        }
    }

    fn set<T>(&self, look: impl FnOnce(&mut HashSet<ProductId>) -> T) -> T {
        // A panic between two set operations cannot leave half a set.
        look(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Finds the rooms to tick, and keeps those that are ticked here on the list: a room that was closed, and taken off by
/// one instance while another opened it again, comes back.
pub(crate) async fn run(app: App, ready: Ready) {
    let mut was_ready = false;
    loop {
        let looked = look(&app).await;
        let is_ready = looked.is_ok() && app.listening.load(Ordering::Relaxed);
        ready.set(is_ready);
        match looked {
            Ok(()) if is_ready && !was_ready => tracing::info!("ready"),
            Ok(()) => {}
            Err(error) => tracing::warn!(error = format!("{error:#}"), "waiting for Redis"),
        }
        was_ready = is_ready;
        if !app.stop.pause(LOOK).await {
            return;
        }
    }
}

async fn look(app: &App) -> anyhow::Result<()> {
    let listed: HashSet<ProductId> = app.store.rooms().await?.into_iter().collect();
    for product in app.rooms.set(|rooms| rooms.difference(&listed).copied().collect::<Vec<_>>()) {
        app.store.enlist(product).await?;
    }
    for product in listed {
        app.rooms.attend(app, product);
    }
    Ok(())
}

/// Ticks one room until it is closed or the process stops.
async fn tick(app: App, product: ProductId) {
    let pause = Duration::from_millis(app.config.tick_ms.into());
    let claim_ms = i64::from(app.config.claim_s) * 1_000;
    loop {
        let started = Instant::now();
        match app.store.tick(product, claim_ms, CALLED_MAX).await {
            Ok(Some(room)) => {
                app.metrics.tick_seconds.observe(started.elapsed().as_secs_f64());
                show(&app, product, &room);
                if room.is_closed {
                    break;
                }
                if room.has_more && !app.stop.is_stopped() {
                    continue;
                }
            }
            Ok(None) => tracing::debug!(product = product.0, "a room without a product"),
            // The look for rooms says so once a second for all of them.
            Err(error) => tracing::debug!(product = product.0, error = format!("{error:#}"), "tick failed"),
        }
        if !app.stop.pause(pause).await {
            return;
        }
    }
    close(&app, product).await;
}

async fn close(app: &App, product: ProductId) {
    if let Err(error) = app.store.delist(product).await {
        tracing::debug!(product = product.0, error = format!("{error:#}"), "a closed room is still listed");
    }
    app.rooms.set(|rooms| rooms.remove(&product));
    let label = product.to_string();
    for gauge in [&app.metrics.waiting, &app.metrics.ready, &app.metrics.inside] {
        gauge.remove_label_values(&[&label]).ok();
    }
    tracing::info!(product = product.0, "room closed");
}

fn show(app: &App, product: ProductId, room: &Ticked) {
    let label = [product.to_string()];
    app.metrics.waiting.with_label_values(&label).set(room.waiting);
    app.metrics.ready.with_label_values(&label).set(room.ready);
    app.metrics.inside.with_label_values(&label).set(room.ready + room.admitted);
    app.metrics.admissions_total.with_label_values(&["tick"]).inc_by(room.called.into());
}
