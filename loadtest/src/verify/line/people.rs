//! Who holds which ticket, and where each stands, as the log tells it.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use common::draw;
use common::wire::id::{Ticket, UserId};

/// A store that comes back lacks at most its last moments, in milliseconds: it writes every second and may be one late.
const LOST_MAX_MS: i64 = 2_000;

/// Where a ticket stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum At {
    Waiting,
    Away,
    Ready,
    Admitted,
    Completed,
    /// The admission ended, or the order did: a late word about the order can still come.
    Over,
    Gone,
    /// Its last step may be one that the store lost: the next one tells.
    Unsure,
    /// The draw gave its holder another one.
    Drawn(Ticket),
}

/// Everybody in a room.
#[derive(Debug, Default)]
pub(super) struct People {
    tickets: HashMap<Ticket, (UserId, At)>,
    live: HashMap<UserId, Ticket>,
    /// Those in line who are there, and those who are away.
    present: BTreeSet<Ticket>,
    away: BTreeSet<Ticket>,
    ready: HashSet<Ticket>,
    inside: HashSet<Ticket>,
    last: Option<Ticket>,
    /// Steps that the store may have lost, would it come back now: when, whose, and whether it made the ticket.
    recent: VecDeque<(i64, Ticket, bool)>,
    /// People whose last steps may be lost.
    doubtful: HashSet<UserId>,
    /// Tickets by those that they were drawn for.
    drawn: Vec<(Ticket, Ticket)>,
}

impl People {
    /// The last ticket that was given.
    pub(super) fn last(&self) -> Option<Ticket> {
        self.last
    }

    /// The first in line who is there.
    pub(super) fn first_present(&self) -> Option<Ticket> {
        self.present.first().copied()
    }

    /// The first in line, there or not.
    pub(super) fn first(&self) -> Option<Ticket> {
        self.present.first().into_iter().chain(self.away.first()).min().copied()
    }

    fn last_in_line(&self) -> Option<Ticket> {
        self.present.last().into_iter().chain(self.away.last()).max().copied()
    }

    /// The ticket as it counts: the draw may have put another in its place.
    pub(super) fn resolve(&self, ticket: Ticket) -> Ticket {
        match self.tickets.get(&ticket) {
            Some((_, At::Drawn(new))) => *new,
            _ => ticket,
        }
    }

    pub(super) fn at(&self, ticket: Ticket) -> Option<At> {
        Some(self.tickets.get(&ticket)?.1)
    }

    pub(super) fn holder(&self, ticket: Ticket) -> Option<UserId> {
        Some(self.tickets.get(&ticket)?.0)
    }

    /// The live ticket of somebody.
    pub(super) fn live(&self, user: UserId) -> Option<Ticket> {
        self.live.get(&user).copied()
    }

    /// Whether this is somebody whose last steps may be lost; after this question, not any more.
    pub(super) fn settle_doubt(&mut self, user: UserId) -> bool {
        self.doubtful.remove(&user)
    }

    /// A new ticket at the end of the line. Returns the ticket that stands behind it, if one does.
    pub(super) fn join(&mut self, user: UserId, ticket: Ticket, at_ms: i64) -> Option<Ticket> {
        let behind = self.last_in_line().filter(|last| *last > ticket);
        self.last = self.last.max(Some(ticket));
        self.live.insert(user, ticket);
        self.tickets.insert(ticket, (user, At::Waiting));
        self.present.insert(ticket);
        self.note(at_ms, ticket, true);
        behind
    }

    pub(super) fn put(&mut self, ticket: Ticket, at: At, at_ms: i64) {
        self.note(at_ms, ticket, false);
        self.place(ticket, at);
    }

    fn place(&mut self, ticket: Ticket, at: At) {
        let Some(entry) = self.tickets.get_mut(&ticket) else { return };
        let (user, before) = std::mem::replace(entry, (entry.0, at));
        match before {
            At::Waiting => drop(self.present.remove(&ticket)),
            At::Away => drop(self.away.remove(&ticket)),
            At::Ready => drop(self.ready.remove(&ticket)),
            At::Admitted => drop(self.inside.remove(&ticket)),
            _ => {}
        }
        match at {
            At::Waiting => drop(self.present.insert(ticket)),
            At::Away => drop(self.away.insert(ticket)),
            At::Ready => drop(self.ready.insert(ticket)),
            At::Admitted => drop(self.inside.insert(ticket)),
            _ => {}
        }
        if matches!(at, At::Waiting | At::Away | At::Ready | At::Admitted) {
            self.live.insert(user, ticket);
        } else if self.live.get(&user) == Some(&ticket) {
            self.live.remove(&user);
        }
    }

    fn note(&mut self, at_ms: i64, ticket: Ticket, is_new: bool) {
        while self.recent.front().is_some_and(|(at, ..)| *at < at_ms - LOST_MAX_MS) {
            self.recent.pop_front();
        }
        self.recent.push_back((at_ms, ticket, is_new));
    }

    /// The line and all turns end.
    pub(super) fn dissolve(&mut self, at_ms: i64) {
        let all = self.present.iter().chain(&self.away).chain(&self.ready);
        for ticket in all.copied().collect::<Vec<_>>() {
            self.put(ticket, At::Gone, at_ms);
        }
    }

    /// Every right to be inside ends.
    pub(super) fn evict(&mut self, at_ms: i64) {
        for ticket in self.inside.iter().copied().collect::<Vec<_>>() {
            self.put(ticket, At::Over, at_ms);
        }
    }

    /// Gives everybody in line with one of the first `count` tickets the one that the seed says.
    pub(super) fn draw(&mut self, seed: &str, count: Ticket) {
        let line: Vec<Ticket> = self
            .present
            .range(Ticket(1)..=count)
            .chain(self.away.range(Ticket(1)..=count))
            .copied()
            .collect();
        for old in line {
            let Some((user, at)) = self.tickets.get(&old).copied() else { continue };
            let Ok(new) = i64::try_from(draw::drawn(seed, old.0.unsigned_abs(), count.0.unsigned_abs()))
            else {
                continue;
            };
            let new = Ticket(new);
            self.place(old, At::Drawn(new));
            self.tickets.insert(new, (user, At::Gone));
            self.place(new, at);
            self.drawn.push((old, new));
        }
        self.last = self.last.max(Some(Ticket(2 * count.0)));
    }

    /// The draw was lost with the store's last moments: everybody has the old ticket again.
    pub(super) fn undo_draw(&mut self) {
        for (old, new) in std::mem::take(&mut self.drawn) {
            let Some((user, at)) = self.tickets.get(&new).copied() else { continue };
            self.place(new, At::Gone);
            self.tickets.remove(&new);
            let is_in_line = matches!(at, At::Waiting | At::Away);
            self.place(old, if is_in_line { at } else { At::Unsure });
            if !is_in_line {
                self.doubtful.insert(user);
            }
        }
    }

    /// The store came back without some of its last moments; `last` is the last ticket that it knew.
    pub(super) fn recover(&mut self, last: Ticket) {
        for (_, ticket, is_new) in std::mem::take(&mut self.recent) {
            let Some(user) = self.holder(ticket) else { continue };
            if ticket > last {
                self.place(ticket, At::Gone);
                self.doubtful.insert(user);
            } else if !is_new {
                self.place(ticket, At::Unsure);
                self.doubtful.insert(user);
            }
        }
    }
}
