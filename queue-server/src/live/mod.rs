//! What this instance knows of rooms without asking Redis for every shopper: it follows their logs, answers polls from
//! memory, and tells those who listen.
//!
//! - `line`: exact ranks.
//! - `view`: a room in memory, as its log tells it.
//! - `pace`: what moves in a room.
//! - `room`: a room's memory, the look that many share, its streams.
//! - `follow`: looks at the store.
//! - `seat`: one event stream.
//! - `tell`: who is told what, and when.
//! - `http`: a shopper's place, asked for and live.

pub(crate) mod follow;
pub(crate) mod http;
pub mod line;
mod pace;
pub(crate) mod room;
mod seat;
pub(crate) mod tell;
mod view;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use common::auth::Caller;
use common::kafka::chain::StreamId;
use common::wire::id::{ProductId, UserId};
use common::wire::queue::Stats;

use crate::metrics::Metrics;
use crate::room::rules::Outlook;
use room::{Room, lock};
use seat::{Events, Next, SUPERSEDED, Seat};

/// Event streams of one account at one instance: five open pages.
const STREAMS_MAX: usize = 5;

/// Where an account listens.
type Seats = Vec<(ProductId, Arc<Seat>)>;

/// The rooms that this instance follows, and their listeners. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Live(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    metrics: Metrics,
    rooms: Mutex<HashMap<ProductId, Arc<Room>>>,
    /// An account's streams, the oldest first.
    accounts: Mutex<HashMap<UserId, Seats>>,
    numbers: AtomicU64,
}

impl Live {
    /// Follows nothing yet.
    pub(crate) fn new(metrics: Metrics) -> Self {
        let (rooms, accounts) = (Mutex::default(), Mutex::default());
        Self(Arc::new(Shared { metrics, rooms, accounts, numbers: AtomicU64::new(0) }))
    }

    /// A room that is followed here.
    pub(crate) fn get(&self, product: ProductId) -> Option<Arc<Room>> {
        lock(&self.0.rooms).get(&product).cloned()
    }

    /// Makes a room followed; `Some` where it was not.
    pub(crate) fn begin(&self, product: ProductId) -> Option<Arc<Room>> {
        let mut rooms = lock(&self.0.rooms);
        if rooms.contains_key(&product) {
            return None;
        }
        let room = Arc::new(Room::new(product));
        rooms.insert(product, Arc::clone(&room));
        Some(room)
    }

    /// Lets go of a room to which nobody listens.
    pub(crate) fn end(&self, room: &Room) -> bool {
        let mut rooms = lock(&self.0.rooms);
        let is_free = room.streams() == 0;
        if is_free {
            rooms.remove(&room.product);
        }
        is_free
    }

    /// The rooms that are followed and not closed.
    pub(crate) fn open_rooms(&self) -> HashSet<ProductId> {
        let rooms = lock(&self.0.rooms);
        let open = rooms.values().filter(|room| !room.is_closed.load(Ordering::Relaxed));
        open.map(|room| room.product).collect()
    }

    /// A room's live figures, from its log; `None` where it is not followed here, or not known yet.
    pub(crate) fn stats(&self, product: ProductId) -> Option<Stats> {
        self.get(product)?.view().stats()
    }

    /// What a room's log and its operators add to its facts.
    pub(crate) fn outlook(&self, product: ProductId) -> Outlook {
        self.get(product).map(|room| room.view().outlook()).unwrap_or_default()
    }

    /// A new stream in a room; `None` where it is not followed. Ends the account's oldest, when it has too many.
    fn sit_down(&self, product: ProductId, caller: Caller, known: StreamId) -> Option<Events> {
        let user = caller.user;
        let number = self.0.numbers.fetch_add(1, Ordering::Relaxed) + 1;
        let seat = Arc::new(Seat::new(number, caller, known));
        let room = {
            // Under the lock that `end` takes: a room with a stream stays.
            let rooms = lock(&self.0.rooms);
            let room = Arc::clone(rooms.get(&product)?);
            room.add(&seat);
            room
        };
        self.0.metrics.streams.inc();
        let oldest = {
            let mut accounts = lock(&self.0.accounts);
            let seats = accounts.entry(user).or_default();
            seats.push((product, Arc::clone(&seat)));
            (seats.len() > STREAMS_MAX).then(|| seats.remove(0))
        };
        if let Some((_, oldest)) = oldest {
            oldest.tell(Next::Last(SUPERSEDED));
        }
        Some(Events { live: self.clone(), room, seat })
    }

    fn stand_up(&self, room: &Room, seat: &Seat) {
        self.0.metrics.streams.dec();
        room.remove(seat);
        let mut accounts = lock(&self.0.accounts);
        if let Some(seats) = accounts.get_mut(&seat.caller.user) {
            seats.retain(|(_, other)| other.number != seat.number);
            if seats.is_empty() {
                accounts.remove(&seat.caller.user);
            }
        }
    }

    /// An account's streams in a room.
    fn seats(&self, product: ProductId, user: UserId) -> Vec<Arc<Seat>> {
        let accounts = lock(&self.0.accounts);
        let seats = accounts.get(&user).into_iter().flatten();
        seats.filter(|(room, _)| *room == product).map(|(_, seat)| Arc::clone(seat)).collect()
    }

    /// Runs `look` with the question whether an account has a stream.
    fn hearing<T>(&self, look: impl FnOnce(&dyn Fn(UserId) -> bool) -> T) -> T {
        let accounts = lock(&self.0.accounts);
        look(&|user| accounts.contains_key(&user))
    }
}
