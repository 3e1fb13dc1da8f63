//! A sale as it changes: server-sent events.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::response::sse::{Event, KeepAlive, Sse};
use common::stop::Stop;
use common::wire::id::{ProductId, UserId};
use futures::Stream;
use tokio::time::Instant;

use super::SaleView;
use crate::app::App;
use crate::error::Error;

/// Between two looks.
const LOOK: Duration = Duration::from_secs(1);
/// A stream that has nothing to say says so this often, so that nothing between takes it for dead.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// A stream ends after this long: who asks again shows a login again.
const LIFE: Duration = Duration::from_secs(600);
/// Streams of one account and replica at most.
const PER_ACCOUNT_MAX: usize = 10;

/// Who watches. Clones share it.
#[derive(Debug, Clone)]
pub struct Watchers {
    streams: Arc<Mutex<HashMap<UserId, usize>>>,
    stop: Stop,
}

/// One stream of an account; it gives its place up when dropped.
#[derive(Debug)]
struct Watch {
    watchers: Watchers,
    user: UserId,
}

impl Watchers {
    /// Nobody watches yet. Streams end at the stop.
    #[must_use]
    pub fn new(stop: Stop) -> Self {
        Self { streams: Arc::default(), stop }
    }

    fn watch(&self, user: UserId) -> Result<Watch, Error> {
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let own = streams.entry(user).or_default();
        if *own >= PER_ACCOUNT_MAX {
            return Err(Error::TooManyStreams);
        }
        *own += 1;
        Ok(Watch { watchers: self.clone(), user })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        let mut streams = self.watchers.streams.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(own) = streams.get_mut(&self.user) {
            *own -= 1;
            if *own == 0 {
                streams.remove(&self.user);
            }
        }
    }
}

/// The event `sale` with all figures, at once and whenever they change.
///
/// # Errors
/// [`Error::TooManyStreams`].
pub fn stream(
    app: &App,
    user: UserId,
    product: ProductId,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>> + use<>>, Error> {
    let watch = app.watchers.watch(user)?;
    let looks = tokio::time::interval(LOOK);
    let begin = (app.clone(), watch, looks, None, Instant::now() + LIFE);
    let events = futures::stream::unfold(begin, move |(app, watch, mut looks, seen, end)| async move {
        loop {
            tokio::select! {
                _ = looks.tick() => {}
                () = watch.watchers.stop.stopped() => return None,
                () = tokio::time::sleep_until(end) => return None,
            }
            // What cannot be looked at now is looked at again.
            let Ok(now) = app.sales.get(&app.pg, product, app.clock.now()).await else { continue };
            if seen.as_ref() != Some(&now) {
                return Some((Ok(event(&now)), (app, watch, looks, Some(now), end)));
            }
        }
    });
    Ok(Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)))
}

fn event(view: &SaleView) -> Event {
    Event::default().event("sale").json_data(view).expect("plain data always becomes JSON")
}
