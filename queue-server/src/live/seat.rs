//! An event stream and its listener. What it says is made when it can be written, from what is known then: a slow
//! reader has one event pending, never a queue of them.

use std::convert::Infallible;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use axum::body::Bytes;
use common::auth::Caller;
use common::kafka::chain::StreamId;
use common::wire::queue::{Place, QueueState, WaitReason};
use hyper::body::{Body, Frame};

use super::Live;
use super::room::{Room, lock};
use crate::room::rules;

/// Listeners come back spread over 2 to 7 s.
const RETRY_MIN_MS: u64 = 2_000;
const RETRY_SPREAD_MS: u64 = 5_000;

/// More streams of an account than it may have.
pub(super) const SUPERSEDED: &str = "event: superseded\ndata: {\"reason\":\"too many streams\"}\n\n";
/// The login's token ended.
pub(super) const LOGIN: &str = "event: login\ndata: {\"reason\":\"the login has ended\"}\n\n";
/// The instance stops; another takes over.
pub(super) const RECONNECT: &str = "event: reconnect\ndata: {\"reason\":\"the server restarts\"}\n\n";
const ALIVE: &str = ":\n\n";

/// What is to be said next.
#[derive(Debug, Default)]
pub(super) enum Next {
    #[default]
    Nothing,
    /// That the stream is open.
    Alive,
    /// The place in the line, as it is when this is said.
    Place,
    /// A place that was asked for, or holds for everybody.
    Said(Said),
    /// Why the stream ends.
    Last(&'static str),
    Over,
}

/// A place, written already.
#[derive(Debug, Clone)]
pub(super) struct Said {
    pub(super) state: QueueState,
    digest: u64,
    bytes: Bytes,
}

impl Said {
    /// A place that is known up to this step.
    pub(super) fn new(known: StreamId, place: &Place) -> Self {
        Self { state: place.state, digest: digest(place), bytes: event(known, place) }
    }
}

/// One listener.
#[derive(Debug)]
pub(crate) struct Seat {
    /// Rises with each new one.
    pub(super) number: u64,
    pub(super) caller: Caller,
    inner: Mutex<Inner>,
}

#[derive(Debug)]
struct Inner {
    next: Next,
    waker: Option<Waker>,
    is_greeted: bool,
    /// As told last.
    state: Option<QueueState>,
    /// Rank and total as told last.
    told: (u64, u64),
    reason: Option<WaitReason>,
    /// Digest of the place as told last.
    digest: u64,
    /// When something was said last, in rounds of the room.
    spoke: u32,
    /// The listener knows the room up to here: nothing older is said.
    known: StreamId,
}

impl Seat {
    pub(super) fn new(number: u64, caller: Caller, known: StreamId) -> Self {
        let caller = Caller { passes: Vec::new(), ..caller };
        let inner = Inner {
            next: Next::Nothing,
            waker: None,
            is_greeted: false,
            state: None,
            told: (0, 0),
            reason: None,
            digest: 0,
            spoke: 0,
            known,
        };
        Self { number, caller, inner: Mutex::new(inner) }
    }

    /// The state as told last, or as about to be told.
    pub(super) fn state(&self) -> Option<QueueState> {
        let inner = lock(&self.inner);
        if let Next::Said(said) = &inner.next { Some(said.state) } else { inner.state }
    }

    /// Whether somebody who stands there was told something else.
    pub(super) fn is_news(&self, stand: (u64, u64), reason: Option<WaitReason>) -> bool {
        let inner = lock(&self.inner);
        inner.state != Some(QueueState::Waiting) || inner.told != stand || inner.reason != reason
    }

    /// Rounds since something was said.
    pub(super) fn quiet_for(&self, round: u32) -> u32 {
        round.wrapping_sub(lock(&self.inner).spoke)
    }

    /// Has something said. The last word stays the last; a keep-alive does not push anything out.
    pub(super) fn tell(&self, next: Next) {
        let waker = {
            let mut inner = lock(&self.inner);
            match (&inner.next, &next) {
                (Next::Last(_) | Next::Over, _) => return,
                (Next::Place | Next::Said(_), Next::Alive) => return,
                _ => inner.next = next,
            }
            inner.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    /// What to write now; `Poll::Pending` until there is something.
    fn say(&self, room: &Room, waker: &Waker) -> Poll<Option<Bytes>> {
        loop {
            let next = {
                let mut inner = lock(&self.inner);
                if !inner.is_greeted {
                    inner.is_greeted = true;
                    return Poll::Ready(Some(Bytes::from(self.greeting())));
                }
                if matches!(inner.next, Next::Nothing) {
                    if !inner.waker.as_ref().is_some_and(|known| known.will_wake(waker)) {
                        inner.waker = Some(waker.clone());
                    }
                    return Poll::Pending;
                }
                std::mem::take(&mut inner.next)
            };
            let said = match next {
                Next::Nothing => continue,
                Next::Alive => Bytes::from_static(ALIVE.as_bytes()),
                Next::Place => match self.place(room) {
                    Some(bytes) => bytes,
                    None => continue,
                },
                Next::Said(Said { state, digest, bytes }) => {
                    let mut inner = lock(&self.inner);
                    inner.state = Some(state);
                    if std::mem::replace(&mut inner.digest, digest) == digest {
                        continue;
                    }
                    bytes
                }
                Next::Last(word) => {
                    lock(&self.inner).next = Next::Over;
                    Bytes::from_static(word.as_bytes())
                }
                Next::Over => {
                    lock(&self.inner).next = Next::Over;
                    return Poll::Ready(None);
                }
            };
            lock(&self.inner).spoke = room.round.load(Ordering::Relaxed);
            return Poll::Ready(Some(said));
        }
    }

    /// The place in the line. Whoever has none is asked for.
    fn place(&self, room: &Room) -> Option<Bytes> {
        let mut view = room.view();
        let mut inner = lock(&self.inner);
        if view.is_lost() && view.last() < inner.known {
            return None;
        }
        let Some(place) = view.place(self.caller.user) else {
            drop(inner);
            if view.phase().0 == super::view::Phase::Following {
                room.touch([self.caller.user]);
            }
            return None;
        };
        inner.state = Some(QueueState::Waiting);
        inner.told = (place.rank.unwrap_or(0), place.total);
        inner.reason = view.reason();
        let digest = digest(&place);
        if std::mem::replace(&mut inner.digest, digest) == digest {
            return None;
        }
        let last = view.last();
        drop((inner, view));
        Some(event(last, &place))
    }

    fn greeting(&self) -> String {
        format!("retry: {}\n\n", RETRY_MIN_MS + rules::spread(self.caller.user, 0) % (RETRY_SPREAD_MS + 1))
    }
}

/// What of a place is worth an event: not that time goes by.
fn digest(place: &Place) -> u64 {
    let mut hasher = DefaultHasher::new();
    let (state, reason) = (place.state as u8, place.reason.map(|reason| reason as u8));
    let line = place.rank.map(|rank| (rank, place.total));
    (state, line, place.starts_at, place.claim_until, place.expires_at, reason, &place.message)
        .hash(&mut hasher);
    // 0 is nothing told yet.
    hasher.finish() | 1
}

/// A place as an event, whose id says up to which step it knows the room.
fn event(known: StreamId, place: &Place) -> Bytes {
    let json = serde_json::to_string(place).expect("plain data always becomes JSON");
    Bytes::from(format!("event: place\nid: {known}\ndata: {json}\n\n"))
}

/// The body of an event stream.
#[derive(Debug)]
pub(crate) struct Events {
    pub(super) live: Live,
    pub(super) room: Arc<Room>,
    pub(super) seat: Arc<Seat>,
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let said = self.seat.say(&self.room, cx.waker());
        if let Poll::Ready(Some(_)) = said {
            self.live.0.metrics.events_total.inc();
        }
        said.map(|said| said.map(|bytes| Ok(Frame::data(bytes))))
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.live.stand_up(&self.room, &self.seat);
    }
}
