//! Event streams of one replica: who watches what, how many there may be, and when one ends.
//!
//! What is watched has a number that only rises (an order's last transition, the newest notice in a box). Whoever learns
//! of a higher one tells it here, and the streams read what they show themselves: one that is overtaken misses nothing.

use std::collections::HashMap;
use std::convert::Infallible;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, KeepAliveStream, Sse};
use futures::Stream;
use http::{HeaderMap, StatusCode};
use tokio::sync::watch;
use tokio::time::Instant;

use super::problem::Failure;
use crate::stop::Stop;
use crate::wire::id::UserId;

/// A stream that has nothing to say says so this often, so that nothing between takes it for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// A stream ends after this long: who asks again shows a login again.
const LIFE: Duration = Duration::from_secs(600);
/// A client that lost its stream waits this long.
pub const RETRY: Duration = Duration::from_secs(2);
/// Streams of one account and replica at most.
const PER_ACCOUNT_MAX: usize = 10;
/// Streams of one replica at most.
const STREAMS_MAX: usize = 20_000;

/// Who watches what. Clones share it.
#[derive(Debug, Clone)]
pub struct Watchers<K> {
    watched: Arc<Mutex<Watched<K>>>,
    stop: Stop,
}

#[derive(Debug)]
struct Watched<K> {
    /// The highest number known here.
    things: HashMap<K, watch::Sender<i64>>,
    streams: HashMap<UserId, usize>,
    count: usize,
}

/// One stream's place among the watchers; it gives it up when dropped.
#[derive(Debug)]
pub struct Watch<K: Copy + Eq + Hash> {
    watchers: Watchers<K>,
    thing: K,
    user: UserId,
    changes: watch::Receiver<i64>,
    until: Instant,
}

impl<K: Copy + Eq + Hash> Watchers<K> {
    /// Nobody watches yet. Streams end at the stop.
    #[must_use]
    pub fn new(stop: Stop) -> Self {
        let watched = Watched { things: HashMap::new(), streams: HashMap::new(), count: 0 };
        Self { watched: Arc::new(Mutex::new(watched)), stop }
    }

    fn lock(&self) -> MutexGuard<'_, Watched<K>> {
        self.watched.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// These things have reached these numbers.
    pub fn tell(&self, changes: impl IntoIterator<Item = (K, i64)>) {
        let watched = self.lock();
        for (thing, number) in changes {
            if let Some(sender) = watched.things.get(&thing) {
                sender.send_if_modified(|known| {
                    let newer = number > *known;
                    *known = (*known).max(number);
                    newer
                });
            }
        }
    }

    /// What is watched.
    #[must_use]
    pub fn things(&self) -> Vec<K> {
        self.lock().things.keys().copied().collect()
    }

    /// One more stream of `user`.
    ///
    /// # Errors
    /// 429 `too-many-streams`, 503 `overloaded`.
    pub fn watch(&self, thing: K, user: UserId) -> Result<Watch<K>, Failure> {
        let mut watched = self.lock();
        if watched.count >= STREAMS_MAX {
            return Err(Failure::unavailable(
                "overloaded",
                1,
                Some(format!("{STREAMS_MAX} streams are open")),
            ));
        }
        let own = watched.streams.entry(user).or_default();
        if *own >= PER_ACCOUNT_MAX {
            let detail = format!("at most {PER_ACCOUNT_MAX} streams per account");
            return Err(Failure::new(StatusCode::TOO_MANY_REQUESTS, "too-many-streams", detail));
        }
        *own += 1;
        watched.count += 1;
        let changes = watched.things.entry(thing).or_insert_with(|| watch::channel(0).0).subscribe();
        Ok(Watch { watchers: self.clone(), thing, user, changes, until: Instant::now() + LIFE })
    }
}

impl<K: Copy + Eq + Hash> Watch<K> {
    /// Whose stream it is.
    #[must_use]
    pub fn user(&self) -> UserId {
        self.user
    }

    /// Waits until there is something new. False when the stream is to end: after its life, or at the stop.
    pub async fn changed(&mut self) -> bool {
        let stop = self.watchers.stop.clone();
        tokio::select! {
            changed = self.changes.changed() => changed.is_ok(),
            () = tokio::time::sleep_until(self.until) => false,
            () = stop.stopped() => false,
        }
    }
}

impl<K: Copy + Eq + Hash> Drop for Watch<K> {
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
        if watched.things.get(&self.thing).is_some_and(|sender| sender.receiver_count() <= 1) {
            watched.things.remove(&self.thing);
        }
    }
}

/// The number in `Last-Event-ID`, where a client that comes again sends one.
///
/// # Errors
/// 400 `invalid-last-event-id` where it is none that a stream gives.
pub fn last_event_id(headers: &HeaderMap) -> Result<Option<i64>, Failure> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let number = value.to_str().ok().and_then(|text| text.parse().ok()).filter(|number: &i64| *number > 0);
    number.map(Some).ok_or_else(|| {
        let detail = "Last-Event-ID is not one that this stream gave";
        Failure::new(StatusCode::BAD_REQUEST, "invalid-last-event-id", detail)
    })
}

/// The last event of a stream that the service ends: asking again is the client's part.
pub fn reconnect() -> Event {
    Event::default().event("reconnect").data("{}")
}

/// The answer with these events, and signs of life between them.
pub fn answer<S>(events: S) -> Sse<KeepAliveStream<S>>
where
    S: Stream<Item = Result<Event, Infallible>> + Send + 'static,
{
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}
