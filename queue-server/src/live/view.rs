//! A room as this instance knows it from its log: who waits, in which order, and what may be said of it.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::kafka::chain::StreamId;
use common::wire::Time;
use common::wire::id::{ProductId, UserId};
use common::wire::queue::{Place, QueueState, StepKind, WaitReason};

use super::line::Line;
use super::pace::Counts;
use crate::room::rules::{self, Outlook};
use crate::room::store::{Looked, Room, Standing, Status, Ticked, Waiting};

/// Without a look for longer, a room counts as out of reach.
const LOST: Duration = Duration::from_secs(2);
/// Without a look for longer, the log may have lost entries that were not seen: it keeps 60 s.
const GAP_MAX: Duration = Duration::from_secs(30);
/// The told upper bound of the wait may be exceeded by a quarter before it is told anew, with a reason.
const SLACK_PERCENT: u64 = 25;

/// How far this instance is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    /// Knows nothing, or nothing that still holds.
    Blank,
    /// Reads the line, and has everybody up to this ticket.
    Loading(u64),
    /// Has the line, and follows the log.
    Following,
}

/// Somebody in the line.
#[derive(Debug, Clone, Copy)]
struct Person {
    ticket: u64,
    /// When to ask again, as told; in ms since 1970.
    poll_at: i64,
    /// The upper bound of the wait as told, in seconds; 0: none.
    high_s: u64,
}

/// What everybody waiting is to be told at once when it changes.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Notice {
    /// How the room is.
    pub(crate) status: Option<Status>,
    /// No answer of the store for some time.
    pub(crate) is_lost: bool,
    reason: Option<WaitReason>,
    /// Whether every unit is reserved. Around the end of a sale that changes with each order that fails.
    is_frozen: bool,
    said: Option<String>,
    starts_at: Option<i64>,
    is_ranked: bool,
    /// How often the line was read anew: then anything may have changed.
    loads: u64,
}

impl Notice {
    /// Whether the line has to hear of it at once, and not only those whose claim clocks stop by it or go on.
    pub(super) fn is_for_all(&self, told: Option<&Self>) -> bool {
        told.is_none_or(|told| *told != Self { is_frozen: told.is_frozen, ..self.clone() })
    }
}

/// A room in memory.
#[derive(Debug)]
pub(crate) struct View {
    product: ProductId,
    phase: Phase,
    people: HashMap<UserId, Person>,
    line: Line,
    away: HashSet<u64>,
    room: Option<Arc<Room>>,
    said: Option<String>,
    /// The room's clock at the last look, in ms since 1970.
    now: i64,
    /// The last step that is taken into account.
    last: StreamId,
    looked_at: Instant,
    loads: u64,
    /// The line was read, but not all that happened meanwhile.
    is_behind: bool,
    pub(super) counts: Counts,
    /// After the last tick.
    pub(crate) ticked: Option<Ticked>,
}

impl View {
    pub(crate) fn new(product: ProductId) -> Self {
        Self {
            product,
            phase: Phase::Blank,
            people: HashMap::new(),
            line: Line::default(),
            away: HashSet::new(),
            room: None,
            said: None,
            now: 0,
            last: StreamId::default(),
            looked_at: Instant::now(),
            loads: 0,
            is_behind: true,
            counts: Counts::default(),
            ticked: None,
        }
    }

    /// Where to go on, and after which step. What may have missed entries begins anew.
    pub(crate) fn phase(&mut self) -> (Phase, StreamId) {
        if self.phase == Phase::Following && self.looked_at.elapsed() > GAP_MAX {
            self.phase = Phase::Blank;
        }
        (self.phase, self.last)
    }

    /// Begins anew: first the line, then the log from `end` on. A step that the line shows already changes nothing.
    pub(crate) fn begin(&mut self, end: StreamId) {
        self.clear();
        self.last = end;
        self.is_behind = true;
        self.phase = Phase::Loading(0);
    }

    /// Takes a page of the line; after the last one, which is empty, the log goes on.
    pub(crate) fn load(&mut self, page: &[Waiting]) {
        for person in page {
            self.put(person.user, person.ticket);
            if person.is_away {
                self.away.insert(person.ticket);
            }
        }
        self.phase = page.last().map_or(Phase::Following, |last| Phase::Loading(last.ticket));
        self.looked_at = Instant::now();
    }

    /// Takes what a look found, and says whose own state it changed, of those who are `heard`.
    pub(crate) fn apply(&mut self, looked: &Looked, heard: impl Fn(UserId) -> bool) -> Vec<UserId> {
        let mut touched = Vec::new();
        for step in &looked.steps {
            self.last = self.last.max(step.id);
            let at = i64::try_from(step.id.ms).unwrap_or(i64::MAX);
            self.take(step.kind, step.user.zip(step.ticket), at);
            let is_own = !matches!(step.kind, StepKind::Away | StepKind::Back);
            touched.extend(step.user.filter(|user| is_own && heard(*user)));
        }
        if looked.room.is_none() {
            self.clear();
        }
        self.room.clone_from(&looked.room);
        let [message, hold] = &looked.said;
        let said = [hold, message].into_iter().flatten().map(String::as_str).collect::<Vec<_>>().join("\n");
        self.said = Some(said).filter(|said| !said.is_empty());
        self.now = looked.now;
        self.counts.pass(looked.now);
        self.looked_at = Instant::now();
        if self.is_behind && self.phase == Phase::Following && !looked.has_more {
            self.is_behind = false;
            self.loads += 1;
        }
        touched
    }

    fn take(&mut self, kind: StepKind, who: Option<(UserId, u64)>, at: i64) {
        match (kind, who) {
            (StepKind::Joined | StepKind::Moved, Some((user, ticket))) => {
                self.put(user, ticket);
                self.counts.add(at, |flow| flow.joins += 1);
            }
            (StepKind::Ready, Some((user, ticket))) => {
                self.drop(user, ticket);
                self.counts.add(at, |flow| flow.admissions += 1);
            }
            (StepKind::Admitted, Some((user, ticket))) => {
                // Whoever was still in the line walked straight through.
                let is_straight = self.drop(user, ticket);
                self.counts.add(at, |flow| match is_straight {
                    true => flow.admissions += 1,
                    false => flow.claims += 1,
                });
            }
            (StepKind::ClaimExpired, Some((user, ticket))) => {
                self.drop(user, ticket);
                self.counts.add(at, |flow| flow.no_shows += 1);
            }
            (StepKind::Left | StepKind::Expired, Some((user, ticket))) => {
                self.drop(user, ticket);
            }
            (StepKind::Away, Some((_, ticket))) => {
                self.away.insert(ticket);
            }
            (StepKind::Back, Some((_, ticket))) => {
                self.away.remove(&ticket);
            }
            (StepKind::SoldOut | StepKind::Closed, _) => self.clear(),
            // Tickets change, or the log lost its end.
            (StepKind::Recovered | StepKind::Drawn | StepKind::DrawEnded, _) => self.phase = Phase::Blank,
            _ => {}
        }
    }

    fn put(&mut self, user: UserId, ticket: u64) {
        let person = Person { ticket, poll_at: 0, high_s: 0 };
        if let Some(before) = self.people.insert(user, person) {
            self.line.remove(before.ticket);
            self.away.remove(&before.ticket);
        }
        self.line.insert(ticket);
    }

    /// Takes somebody out, unless it is about an earlier ticket.
    fn drop(&mut self, user: UserId, ticket: u64) -> bool {
        if self.people.get(&user).is_none_or(|person| person.ticket != ticket) {
            return false;
        }
        self.people.remove(&user);
        self.line.remove(ticket);
        self.away.remove(&ticket);
        true
    }

    fn clear(&mut self) {
        self.people = HashMap::new();
        self.line = Line::default();
        self.away = HashSet::new();
    }

    /// Whether places can be told from here.
    fn is_whole(&self) -> bool {
        self.phase == Phase::Following && !self.is_behind && self.room.is_some()
    }

    /// Time since the last look.
    pub(crate) fn age(&self) -> Duration {
        self.looked_at.elapsed()
    }

    /// Whether the store has not answered for some time.
    pub(crate) fn is_lost(&self) -> bool {
        self.looked_at.elapsed() > LOST
    }

    /// The ticket of somebody who waits.
    pub(crate) fn ticket(&self, user: UserId) -> Option<u64> {
        self.people.get(&user).filter(|_| self.is_whole()).map(|person| person.ticket)
    }

    /// Rank of a ticket, 0 while there are none, and people in the line.
    pub(crate) fn stand(&self, ticket: u64) -> (u64, u64) {
        let is_ranked = self.room.as_ref().is_some_and(|room| room.is_ranked());
        (if is_ranked { self.line.rank(ticket) } else { 0 }, self.line.total())
    }

    /// The room's clock at the last look, in ms since 1970.
    pub(crate) fn now(&self) -> i64 {
        self.now
    }

    /// The last step that is taken into account.
    pub(crate) fn last(&self) -> StreamId {
        self.last
    }

    /// Whether somebody asks before the time that was told.
    pub(crate) fn is_early(&self, user: UserId) -> bool {
        let passed = i64::try_from(self.looked_at.elapsed().as_millis()).unwrap_or(i64::MAX);
        self.people.get(&user).is_some_and(|person| self.now.saturating_add(passed) < person.poll_at)
    }

    /// What the log and operators add to the room's facts.
    pub(crate) fn outlook(&self) -> Outlook {
        Outlook { pace: self.counts.pace(self.now), said: self.said.clone() }
    }

    /// The place of somebody who waits, as of the last look; `None` for everybody else.
    pub(crate) fn place(&mut self, user: UserId) -> Option<Place> {
        let ticket = self.ticket(user)?;
        let (rank, total) = self.stand(ticket);
        let mut place = self.told(user, rank, total)?;
        let is_lost = self.is_lost();
        let person = self.people.get_mut(&user)?;
        if is_lost {
            place.reason = Some(WaitReason::RoomUnavailable);
            (place.eta_low_s, place.eta_high_s) = (None, None);
        }
        person.high_s = hold_high(&mut place, person.high_s);
        Some(place)
    }

    /// As [`Self::place`], for somebody who asks again when told to.
    pub(crate) fn poll(&mut self, user: UserId) -> Option<Place> {
        let place = self.place(user)?;
        self.people.get_mut(&user)?.poll_at = place.next_poll_at.timestamp_millis();
        Some(place)
    }

    fn told(&self, user: UserId, rank: u64, total: u64) -> Option<Place> {
        let room = self.room.clone()?;
        let standing = Standing {
            state: QueueState::Waiting,
            now: self.now,
            rank,
            total,
            ticket: None,
            claim_until: None,
            admission: None,
            room,
        };
        Some(rules::place(self.product, user, &standing, &self.outlook()))
    }

    /// What those hear whose wait has ended for all at once.
    pub(crate) fn ended(&self) -> Option<Place> {
        let state = match self.room.as_ref()?.status {
            Status::Live => return None,
            Status::SoldOut => QueueState::SoldOut,
            Status::Closed => QueueState::Closed,
        };
        let place = self.told(UserId(0), 0, 0)?;
        Some(Place {
            state,
            rank: None,
            ahead: None,
            eta_low_s: None,
            eta_high_s: None,
            reason: None,
            ..place
        })
    }

    /// Why nobody who waits is let in.
    pub(super) fn reason(&self) -> Option<WaitReason> {
        self.room.as_ref().and_then(|room| rules::reason(QueueState::Waiting, room, self.now))
    }

    /// What everybody is to be told when it changes.
    pub(crate) fn notice(&self) -> Notice {
        let room = self.room.as_ref();
        Notice {
            status: room.map(|room| room.status),
            is_lost: self.is_lost(),
            reason: self.reason().filter(|reason| *reason != WaitReason::AllReserved),
            is_frozen: self.reason() == Some(WaitReason::AllReserved),
            said: self.said.clone(),
            starts_at: room.and_then(|room| rules::opens_in_ms(room, self.now).map(|_| room.opens_at)),
            is_ranked: room.is_some_and(|room| room.is_ranked()),
            loads: self.loads,
        }
    }

    /// The live figures; `None` where the room is not known yet.
    pub(crate) fn stats(&self) -> Option<common::wire::queue::Stats> {
        let room = self.room.as_ref().filter(|_| self.is_whole())?;
        let [minute, five_minutes] = self.counts.flows(self.now);
        let last = self.told(UserId(0), self.line.total() + 1, self.line.total() + 1)?;
        let ticked = self.ticked;
        let turns = five_minutes.claims + five_minutes.no_shows;
        let server_time: Time = rules::time(self.now);
        #[expect(clippy::cast_precision_loss, reason = "people of five minutes")]
        let no_show_share = (turns > 0).then(|| five_minutes.no_shows as f64 / turns as f64);
        Some(common::wire::queue::Stats {
            product_id: self.product,
            server_time,
            status: room.status,
            reason: if self.is_lost() { Some(WaitReason::RoomUnavailable) } else { last.reason },
            waiting: self.line.total(),
            away: self.away.len() as u64,
            ready: ticked.map_or(0, |room| room.ready.unsigned_abs()),
            admitted: ticked.map_or(0, |room| room.admitted.unsigned_abs()),
            holes: self.line.holes(),
            minute,
            five_minutes,
            no_show_share,
            eta_low_s: last.eta_low_s,
            eta_high_s: last.eta_high_s,
            available: room.available,
            capacity: room.capacity.and_then(|capacity| capacity.try_into().ok()),
            message: self.said.clone(),
        })
    }
}

/// The told upper bound does not grow without a reason: a little more is not told, much more is told with one.
/// Returns what was told.
fn hold_high(place: &mut Place, told: u64) -> u64 {
    let Some(high) = place.eta_high_s else { return 0 };
    if told == 0 || high <= told {
        return high;
    }
    if high <= told + told * SLACK_PERCENT / 100 {
        place.eta_high_s = Some(told);
        place.eta_low_s = place.eta_low_s.map(|low| low.min(told));
        return told;
    }
    place.reason = place.reason.or(Some(WaitReason::Slower));
    high
}
