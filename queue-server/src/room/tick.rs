//! Time passes in every room that has a line, on every instance: the script makes it happen once. The same task follows
//! the room's log and tells its listeners.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::http::observe::Ready;
use common::wire::id::ProductId;
use tokio::time::{Instant, sleep_until};

use super::http::CALLED_MAX;
use super::store::Ticked;
use crate::app::App;
use crate::live::room::{Heard, Room};
use crate::live::{follow, tell};

/// How often an instance looks for rooms that others opened, and after a closed room that is still listened to.
const LOOK: Duration = Duration::from_secs(1);

/// Ticks and follows a room from now on, unless that is done already.
pub(crate) fn attend(app: &App, product: ProductId) {
    if let Some(room) = app.live.begin(product) {
        app.stop.spawn("room", run_room(app.clone(), room));
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
    for product in app.live.open_rooms().difference(&listed) {
        app.store.enlist(*product).await?;
    }
    for product in listed {
        attend(app, product);
    }
    Ok(())
}

/// Until the room is closed and nobody listens any more, or the process stops.
async fn run_room(app: App, room: Arc<Room>) {
    tokio::select! {
        () = tick_and_follow(&app, &room) => {}
        () = stamp(&app, &room) => {}
        () = tell::run(&app, &room) => {}
        () = app.stop.stopped() => tell::goodbye(&room).await,
    }
}

async fn tick_and_follow(app: &App, room: &Room) {
    let pause = Duration::from_millis(app.config.tick_ms.into());
    let mut due = Instant::now();
    let mut is_whole = false;
    loop {
        if is_whole {
            tokio::select! { () = sleep_until(due) => {}, () = room.looks.wanted() => {} }
        }
        // What begins now has seen all that was asked for before it.
        room.looks.begin();
        if Instant::now() >= due {
            let has_more = tick(app, room).await;
            room.ticked.notify_one();
            due = Instant::now() + if room.is_closed.load(Ordering::Relaxed) { LOOK } else { pause };
            if has_more {
                due = Instant::now();
            }
        }
        if room.is_closed.load(Ordering::Relaxed) && app.live.end(room) {
            return;
        }
        is_whole = match follow::step(app, room).await {
            Ok(is_whole) => is_whole,
            Err(error) => {
                tracing::debug!(product = room.product.0, error = format!("{error:#}"), "look failed");
                true
            }
        };
        if is_whole {
            room.looks.end();
        }
    }
}

/// Lets time pass in a room; says whether there is more to do at once.
async fn tick(app: &App, room: &Room) -> bool {
    let (product, started) = (room.product, Instant::now());
    match app.store.tick(product, CALLED_MAX).await {
        Ok(Some(ticked)) => {
            app.metrics.tick_seconds.observe(started.elapsed().as_secs_f64());
            show(app, product, &ticked);
            room.view().ticked = Some(ticked);
            if ticked.is_closed != room.is_closed.swap(ticked.is_closed, Ordering::Relaxed)
                && ticked.is_closed
            {
                close(app, product).await;
            }
            return ticked.has_more;
        }
        Ok(None) => tracing::debug!(product = product.0, "a room without a product"),
        // The look for rooms says so once a second for all of them.
        Err(error) => tracing::debug!(product = product.0, error = format!("{error:#}"), "tick failed"),
    }
    false
}

/// Stamps those of whom something was heard, after each tick and beside the looks: nobody's poll waits for it. What fails
/// comes again: with the next poll, or the next sign of life.
async fn stamp(app: &App, room: &Room) {
    loop {
        room.ticked.notified().await;
        for how in [Heard::Poll, Heard::Live] {
            let tickets = room.take_heard(how);
            if let Err(error) = app.store.present(room.product, how == Heard::Live, &tickets).await {
                tracing::debug!(product = room.product.0, error = format!("{error:#}"), "not stamped");
            }
        }
    }
}

async fn close(app: &App, product: ProductId) {
    if let Err(error) = app.store.delist(product).await {
        tracing::debug!(product = product.0, error = format!("{error:#}"), "a closed room is still listed");
    }
    let label = product.to_string();
    let metrics = &app.metrics;
    for gauge in [&metrics.waiting, &metrics.ready, &metrics.inside, &metrics.follower_lag_seconds] {
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
