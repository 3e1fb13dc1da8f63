//! Orders as they change, for those who watch them: server-sent events.
//!
//! What this process changes it tells its watchers at the commit. What another replica changed is found by one query
//! for all watched orders, four times a second. Not by LISTEN/NOTIFY: a commit that notifies waits for a lock of the
//! whole server, on the path of every order, for the few that somebody watches. Not by reading `order.events.v1`: every
//! replica would read everybody's events for its own watchers' sake, and restart where it cannot know what they missed.
//! An event is the whole order, so one that is overtaken is never missed.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::sse::{Event, KeepAlive, Sse};
use common::auth::Caller;
use common::http::extract::Path;
use common::stop::Stop;
use common::wire::id::{OrderId, UserId};
use common::wire::order::OrderView;
use common::wire::token::Role;
use futures::Stream;
use tokio::sync::watch;
use tokio::time::Instant;
use uuid::Uuid;

use super::{Step, view};
use crate::app::App;
use crate::error::Error;

/// Between two looks at what other replicas changed.
const LOOK: Duration = Duration::from_millis(250);
/// A stream that has nothing to say says so this often, so that nothing between takes it for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// A stream ends after this long: who asks again shows a login again.
const LIFE: Duration = Duration::from_secs(600);
/// A client that lost its stream waits this long.
const RETRY: Duration = Duration::from_secs(2);
/// Streams of one account and replica at most.
const PER_ACCOUNT_MAX: usize = 10;
/// Streams of one replica at most.
const STREAMS_MAX: usize = 20_000;

/// Who watches which order. Clones share it.
#[derive(Debug, Clone)]
pub struct Watchers {
    watched: Arc<Mutex<Watched>>,
    stop: Stop,
}

#[derive(Debug, Default)]
struct Watched {
    /// The number of the last transition known here.
    orders: HashMap<OrderId, watch::Sender<i64>>,
    streams: HashMap<UserId, usize>,
    count: usize,
}

/// One stream's place among the watchers; it gives it up when dropped.
#[derive(Debug)]
struct Watch {
    watchers: Watchers,
    order: OrderId,
    user: UserId,
    changes: watch::Receiver<i64>,
}

impl Watchers {
    /// Nobody watches yet. Streams end at the stop.
    pub fn new(stop: Stop) -> Self {
        Self { watched: Arc::default(), stop }
    }

    fn lock(&self) -> MutexGuard<'_, Watched> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Transitions were committed.
    pub fn tell(&self, steps: &[Step]) {
        let changes: Vec<(OrderId, i64)> =
            steps.iter().map(|step| (step.event.order_id, step.event.seq)).collect();
        self.changed(&changes);
    }

    fn changed(&self, changes: &[(OrderId, i64)]) {
        let watched = self.lock();
        for (order, seq) in changes {
            if let Some(sender) = watched.orders.get(order) {
                sender.send_if_modified(|known| {
                    let newer = *seq > *known;
                    *known = (*known).max(*seq);
                    newer
                });
            }
        }
    }

    fn watch(&self, order: OrderId, user: UserId) -> Result<Watch, Error> {
        let mut watched = self.lock();
        if watched.count >= STREAMS_MAX {
            return Err(Error::Unavailable("overloaded", anyhow::anyhow!("{STREAMS_MAX} streams are open")));
        }
        let own = watched.streams.entry(user).or_default();
        if *own >= PER_ACCOUNT_MAX {
            return Err(Error::TooManyStreams(PER_ACCOUNT_MAX));
        }
        *own += 1;
        watched.count += 1;
        let changes = watched.orders.entry(order).or_insert_with(|| watch::channel(0).0).subscribe();
        Ok(Watch { watchers: self.clone(), order, user, changes })
    }

    fn orders(&self) -> Vec<Uuid> {
        self.lock().orders.keys().map(|id| id.0).collect()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut watched = self.watchers.lock();
        watched.count -= 1;
        if let Some(own) = watched.streams.get_mut(&self.user) {
            *own -= 1;
            if *own == 0 {
                watched.streams.remove(&self.user);
            }
        }
        // This one's receiver is still there.
        if watched.orders.get(&self.order).is_some_and(|sender| sender.receiver_count() <= 1) {
            watched.orders.remove(&self.order);
        }
    }
}

/// Finds what other replicas changed, until the stop.
pub async fn run(app: App, stop: Stop) {
    while stop.pause(LOOK).await {
        let orders = app.watchers.orders();
        if orders.is_empty() {
            continue;
        }
        match look(&app, &orders).await {
            Ok(seqs) => app.watchers.changed(&seqs),
            Err(error) => tracing::debug!(%error, "watched orders not looked at; trying again"),
        }
    }
}

async fn look(app: &App, orders: &[Uuid]) -> Result<Vec<(OrderId, i64)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT order_id AS "id: OrderId", seq FROM orders WHERE order_id = ANY($1)"#,
        orders,
    )
    .fetch_all(&app.pg)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.seq)).collect())
}

/// `GET /api/orders/{id}/live`: for the order's owner and ADMIN. Event `order` with the order, at once and after every
/// transition; its `id` is the transition's number. `Last-Event-ID` spares the order that the client has. Event
/// `reconnect` before the service ends the stream.
///
/// # Errors
/// 400 `invalid-last-event-id`, 403 `forbidden`, 404 `unknown-order`, 429 `too-many-streams`, 503 `overloaded`.
pub async fn live(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<OrderId>,
    headers: HeaderMap,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Error> {
    let known = last_event_id(&headers)?;
    // Watching before reading: what changes in between is seen.
    let watch = app.watchers.watch(id, caller.user)?;
    let (owner, seq, view) = numbered(&app, id).await?.ok_or(Error::UnknownOrder)?;
    if owner != caller.user && caller.role != Role::Admin {
        return Err(Error::Forbidden);
    }
    let first = (known != Some(seq)).then(|| event(seq, &view).retry(RETRY));
    let stream = Told { app, id, watch, told: seq, first, until: Instant::now() + LIFE, over: false };
    let events = futures::stream::unfold(stream, async |mut stream: Told| {
        let event = stream.next().await?;
        Some((Ok(event), stream))
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<i64>, Error> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let seq = value.to_str().ok().and_then(|text| text.parse().ok()).filter(|seq: &i64| *seq > 0);
    seq.map(Some).ok_or(Error::InvalidLastEventId)
}

async fn numbered(app: &App, id: OrderId) -> Result<Option<(UserId, i64, OrderView)>, sqlx::Error> {
    let mut connection = app.pg.acquire().await?;
    view::numbered(&mut connection, id).await
}

fn event(seq: i64, view: &OrderView) -> Event {
    let body = serde_json::to_string(view).expect("plain data always becomes JSON");
    Event::default().event("order").id(seq.to_string()).data(body)
}

/// One stream.
struct Told {
    app: App,
    id: OrderId,
    watch: Watch,
    told: i64,
    first: Option<Event>,
    until: Instant,
    over: bool,
}

impl Told {
    async fn next(&mut self) -> Option<Event> {
        if self.over {
            return None;
        }
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        let stop = self.watch.watchers.stop.clone();
        loop {
            tokio::select! {
                changed = self.watch.changes.changed() => if changed.is_err() { break },
                () = tokio::time::sleep_until(self.until) => break,
                () = stop.stopped() => break,
            }
            match numbered(&self.app, self.id).await {
                Ok(Some((_, seq, view))) if seq > self.told => {
                    self.told = seq;
                    return Some(event(seq, &view));
                }
                Ok(Some(_)) => {}
                // Asking again is the client's part.
                Ok(None) | Err(_) => break,
            }
        }
        self.over = true;
        Some(Event::default().event("reconnect").data("{}"))
    }
}
