//! A room that this instance follows: its memory, the look that many share, and its streams.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use common::wire::id::{ProductId, Ticket, UserId};
use common::wire::queue::Place;
use tokio::sync::{Notify, watch};

use super::seat::Seat;
use super::view::View;

/// Whoever needs a fresh look waits for it this long at most: as long as a command to the store may take.
const WAIT_MAX: Duration = Duration::from_secs(2);

/// A room in memory, and who listens to it.
#[derive(Debug)]
pub(crate) struct Room {
    pub(crate) product: ProductId,
    view: Mutex<View>,
    pub(crate) looks: Looks,
    /// By their numbers, so that a walk over many can pause between two.
    seats: Mutex<BTreeMap<u64, Arc<Seat>>>,
    /// Whose own state changed, or is not known here.
    touched: Mutex<Vec<UserId>>,
    /// Tickets whose holders asked since the last tick, and those whose streams are new.
    heard: Mutex<[Vec<Ticket>; 2]>,
    /// A tick has passed.
    pub(crate) ticked: Notify,
    /// Somebody was touched.
    pub(super) touches: Notify,
    /// The room was looked at: there may be something to tell everybody.
    pub(super) news: Notify,
    /// Rounds that the streams were told in.
    pub(super) round: AtomicU32,
    /// Whether its sale is over.
    pub(crate) is_closed: AtomicBool,
}

/// How somebody was heard of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// Asked.
    Poll,
    /// Listens.
    Live,
}

impl Room {
    pub(crate) fn new(product: ProductId) -> Self {
        Self {
            product,
            view: Mutex::new(View::new(product)),
            looks: Looks::default(),
            seats: Mutex::default(),
            touched: Mutex::default(),
            heard: Mutex::default(),
            ticked: Notify::new(),
            touches: Notify::new(),
            news: Notify::new(),
            round: AtomicU32::new(0),
            is_closed: AtomicBool::new(false),
        }
    }

    /// What is known. Held for moments only, and before any seat's own lock.
    pub(crate) fn view(&self) -> MutexGuard<'_, View> {
        lock(&self.view)
    }

    /// Waits until the room was looked at once more: at its own next look for whoever asks too early, else at once,
    /// together with all others who ask meanwhile. False where the look did not come in time: what is known may be older
    /// than what this shopper was told. Returns at once, with true, where the store does not answer: there is nothing newer.
    pub(crate) async fn caught_up(&self, is_early: bool) -> bool {
        self.view().is_lost() || self.looks.next(is_early).await
    }

    /// The place of somebody who waits here and asks for it.
    pub(crate) fn poll(&self, user: UserId) -> Option<Place> {
        let mut view = self.view();
        let place = view.poll(user)?;
        self.hear(view.ticket(user)?, Heard::Poll);
        Some(place)
    }

    /// Notes that somebody is there.
    pub(crate) fn hear(&self, ticket: u64, how: Heard) {
        lock(&self.heard)[how as usize].push(Ticket(ticket.cast_signed()));
    }

    /// Takes what was noted.
    pub(crate) fn take_heard(&self, how: Heard) -> Vec<Ticket> {
        std::mem::take(&mut lock(&self.heard)[how as usize])
    }

    /// Has these told how they stand.
    pub(crate) fn touch(&self, users: impl IntoIterator<Item = UserId>) {
        lock(&self.touched).extend(users);
        self.touches.notify_one();
    }

    /// Says that the memory has changed.
    pub(super) fn changed(&self) {
        self.news.notify_one();
    }

    /// Keeps them for the next time, without hurry.
    pub(super) fn keep(&self, users: Vec<UserId>) {
        lock(&self.touched).extend(users);
    }

    pub(super) fn take_touched(&self) -> Vec<UserId> {
        std::mem::take(&mut lock(&self.touched))
    }

    pub(super) fn add(&self, seat: &Arc<Seat>) {
        lock(&self.seats).insert(seat.number, Arc::clone(seat));
    }

    pub(super) fn remove(&self, seat: &Seat) {
        lock(&self.seats).remove(&seat.number);
    }

    /// Streams that are open.
    pub(crate) fn streams(&self) -> usize {
        lock(&self.seats).len()
    }

    /// The next seats after this number, at most so many.
    pub(super) fn seats_after(&self, number: u64, most: usize) -> Vec<Arc<Seat>> {
        lock(&self.seats).range(number + 1..).take(most).map(|(_, seat)| Arc::clone(seat)).collect()
    }
}

/// Looks at the store that many wait for.
#[derive(Debug)]
pub(crate) struct Looks {
    begun: AtomicU64,
    wanted: Notify,
    ended: watch::Sender<u64>,
}

impl Default for Looks {
    fn default() -> Self {
        Self { begun: AtomicU64::new(0), wanted: Notify::new(), ended: watch::Sender::new(0) }
    }
}

impl Looks {
    /// Waits for the end of a look that begins after this call; false when it does not come in time.
    async fn next(&self, is_patient: bool) -> bool {
        let before = self.begun.load(Ordering::SeqCst);
        let mut ended = self.ended.subscribe();
        if !is_patient {
            self.wanted.notify_one();
        }
        matches!(tokio::time::timeout(WAIT_MAX, ended.wait_for(|ended| *ended > before)).await, Ok(Ok(_)))
    }

    /// Completes when somebody wants a look.
    pub(crate) async fn wanted(&self) {
        self.wanted.notified().await;
    }

    /// Says that a look begins.
    pub(crate) fn begin(&self) {
        self.begun.fetch_add(1, Ordering::SeqCst);
    }

    /// Says that it ended, whether or not it found something.
    pub(crate) fn end(&self) {
        self.ended.send_replace(self.begun.load(Ordering::SeqCst));
    }
}

/// A panic while one of these is held leaves no half-written value behind.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
