//! What the scripts answer, as types.

use std::sync::Arc;

use anyhow::{Context as _, bail};
use common::redis::Value;
use common::wire::id::Ticket;
use common::wire::product::StartOrder;
use common::wire::queue::QueueState;
use common::wire::room::{Adaptive, Hand};
use serde::Deserialize;
use uuid::Uuid;

/// How a room is.
pub use common::wire::queue::RoomStatus as Status;

/// The facts of a room that a shopper's prospects depend on. Times are ms since 1970.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Room {
    /// How it is.
    pub status: Status,
    /// When the first interval of the timetable begins.
    pub opens_at: i64,
    /// Admissions per interval.
    pub count: i64,
    /// Length of an interval in ms.
    pub interval: i64,
    /// Number of the timetable's first interval.
    pub first: i64,
    /// The interval that was spent from last.
    pub k: i64,
    /// Units spent of it; below zero when units came back to it.
    pub spent: i64,
    /// When the next timetable takes over,
    pub next_at: Option<i64>,
    /// and its admissions per interval,
    pub next_count: Option<i64>,
    /// and the length of an interval in ms.
    pub next_interval: Option<i64>,
    /// Who stopped it.
    pub stopped: Option<Hand>,
    /// Who paused it.
    pub held: Option<Hand>,
    /// Since when every unit is reserved.
    pub frozen_at: Option<i64>,
    /// Units that can be reserved.
    pub available: i64,
    /// Shoppers inside at once.
    pub capacity: Option<i64>,
    /// How the capacity follows the load, where it does,
    pub adaptive: Option<Adaptive>,
    /// and when it was set, by hand or by the load.
    pub cap_at: Option<i64>,
    /// Rights outstanding per available unit.
    #[serde(default, rename = "gate", deserialize_with = "is_set")]
    pub is_gated: bool,
    /// How the line is ordered at the opening,
    #[serde(default)]
    pub order: StartOrder,
    /// the last ticket that took part in the draw, once it began,
    pub draw_up_to: Option<i64>,
    /// and whether everybody has their place of it.
    #[serde(default)]
    pub drawn: bool,
    /// The last ticket that admissions have looked at.
    #[serde(default)]
    pub cursor: i64,
    /// Access tokens of an older epoch are void.
    #[serde(default)]
    pub epoch: i64,
}

impl Room {
    /// Whether people have places: before the order is drawn, nobody has.
    #[must_use]
    pub fn is_ranked(&self) -> bool {
        self.order == StartOrder::Fifo || self.drawn
    }
}

fn is_set<'de, D: serde::Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
    Option::<f64>::deserialize(from).map(|gate| gate.is_some())
}

/// A right to be inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Admission {
    /// The ticket it was given for.
    pub ticket: Ticket,
    /// Its name.
    pub jti: Uuid,
    /// When it ends, in ms since 1970.
    pub ends: i64,
    /// The epoch it belongs to.
    pub epoch: i64,
}

/// Where a shopper stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// The state.
    pub state: QueueState,
    /// The room's clock, in ms since 1970.
    pub now: i64,
    /// 1-based; 0 unless waiting, and before the order is drawn.
    pub rank: u64,
    /// People in the line.
    pub total: u64,
    /// The ticket; only when waiting, ready or admitted.
    pub ticket: Option<Ticket>,
    /// When the turn runs out, in ms since 1970; only when ready.
    pub claim_until: Option<i64>,
    /// The right; only when admitted.
    pub admission: Option<Admission>,
    /// The room.
    pub room: Arc<Room>,
}

/// What a registration did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A new ticket at the end.
    Joined,
    /// Another ticket at the very end.
    Moved,
    /// Straight in.
    Straight,
}

/// The answer to a registration.
#[derive(Debug, Clone, PartialEq)]
pub enum Joined {
    /// The place, and what happened, if anything.
    Place(Box<Standing>, Option<Event>),
    /// The sale is over.
    Closed,
    /// As many units as one may buy are bought.
    AtLimit,
}

/// The answer to a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claimed {
    /// The right, new or as before.
    Admitted {
        /// The right.
        admission: Admission,
        /// The room's clock, in ms since 1970.
        now: i64,
    },
    /// It is not the shopper's turn.
    NotReady,
}

/// The answer to a farewell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Left {
    /// Gone.
    Gone,
    /// Was not there.
    Nothing,
    /// Inside, or ordered: cannot leave.
    Inside,
}

/// A room after a tick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ticked {
    /// How it is.
    pub is_closed: bool,
    /// People in the line.
    pub waiting: i64,
    /// People called.
    pub ready: i64,
    /// People inside who have not ordered.
    pub admitted: i64,
    /// How many this tick called.
    pub called: u32,
    /// Whether the tick left people for the next one, which should come at once.
    pub has_more: bool,
}

/// A script's answer.
#[derive(Debug)]
pub(super) struct Reply(pub(super) Vec<Value>);

/// Values of each place in an answer, before what happened: state, rank, total, until when, ticket, jti.
const PLACE: usize = 6;

impl Reply {
    pub(super) fn joined(&self) -> anyhow::Result<Option<Vec<Joined>>> {
        match self.word(0)?.as_str() {
            "unknown" => return Ok(None),
            "closed" => return Ok(Some(Vec::new())),
            "came" => return self.came().map(Some),
            _ => {}
        }
        let room = self.room()?;
        let places = (2..self.0.len()).step_by(PLACE + 1);
        let joined = places.map(|at| {
            if self.word(at)? == "limit" {
                return Ok(Joined::AtLimit);
            }
            let event = match self.word(at + PLACE)?.as_str() {
                "" => None,
                "joined" => Some(Event::Joined),
                "moved" => Some(Event::Moved),
                "straight" => Some(Event::Straight),
                other => bail!("a join answered {other}"),
            };
            Ok(Joined::Place(Box::new(self.place(at, Arc::clone(&room))?), event))
        });
        joined.collect::<anyhow::Result<_>>().map(Some)
    }

    /// All came to the end of a line: the places follow from its length and the first ticket.
    fn came(&self) -> anyhow::Result<Vec<Joined>> {
        let room: Arc<Room> = Arc::new(serde_json::from_str(&self.word(2)?).context("a room's facts")?);
        let (now, is_ranked) = (self.number(1)?, room.is_ranked());
        let mut total = u64::try_from(self.number(3)?)?;
        let kinds = self.word(5)?;
        let joined = kinds.bytes().zip(self.number(4)?..).map(|(kind, ticket)| {
            let event = match kind {
                b'j' => Event::Joined,
                b'm' => Event::Moved,
                other => bail!("a join answered {other}"),
            };
            total += u64::from(event == Event::Joined);
            let standing = Standing {
                state: QueueState::Waiting,
                now,
                rank: if is_ranked { total } else { 0 },
                total,
                ticket: Some(Ticket(ticket)),
                claim_until: None,
                admission: None,
                room: Arc::clone(&room),
            };
            Ok(Joined::Place(Box::new(standing), Some(event)))
        });
        joined.collect()
    }

    pub(super) fn claimed(&self) -> anyhow::Result<Option<Claimed>> {
        if self.word(0)? == "notReady" {
            return Ok(Some(Claimed::NotReady));
        }
        let Some(Standing { now, admission, .. }) = self.standing()? else { return Ok(None) };
        Ok(Some(Claimed::Admitted { admission: admission.context("a claim without its right")?, now }))
    }

    pub(super) fn standing(&self) -> anyhow::Result<Option<Standing>> {
        match self.word(0)?.as_str() {
            "unknown" => Ok(None),
            _ => self.place(2, self.room()?).map(Some),
        }
    }

    fn room(&self) -> anyhow::Result<Arc<Room>> {
        serde_json::from_str(&self.word(1)?).map(Arc::new).context("a room's facts")
    }

    fn place(&self, at: usize, room: Arc<Room>) -> anyhow::Result<Standing> {
        let state = match self.word(at)?.as_str() {
            "w" => QueueState::Waiting,
            "r" => QueueState::Ready,
            "a" => QueueState::Admitted,
            "c" => QueueState::Completed,
            "l" => QueueState::Left,
            "e" => QueueState::Expired,
            "s" => QueueState::SoldOut,
            "x" => QueueState::Closed,
            "n" => QueueState::None,
            other => bail!("a place answered {other}"),
        };
        let (rank, ends, ticket) = (self.number(at + 1)?, self.number(at + 3)?, self.number(at + 4)?);
        let admission = match state {
            QueueState::Admitted => {
                let jti = self.word(at + 5)?.parse().context("a right's name")?;
                Some(Admission { ticket: Ticket(ticket), jti, ends, epoch: room.epoch })
            }
            _ => None,
        };
        Ok(Standing {
            state,
            now: self.number(0)?,
            rank: if room.is_ranked() { rank.try_into()? } else { 0 },
            total: self.number(at + 2)?.try_into()?,
            ticket: (ticket > 0).then_some(Ticket(ticket)),
            claim_until: (state == QueueState::Ready).then_some(ends),
            admission,
            room,
        })
    }

    pub(super) fn left(&self) -> anyhow::Result<Option<Left>> {
        match self.word(0)?.as_str() {
            "unknown" => Ok(None),
            "left" => Ok(Some(Left::Gone)),
            "nothing" => Ok(Some(Left::Nothing)),
            "inside" => Ok(Some(Left::Inside)),
            other => bail!("a farewell answered {other}"),
        }
    }

    pub(super) fn ticked(&self) -> anyhow::Result<Option<Ticked>> {
        let status = self.word(0)?;
        if status == "unknown" {
            return Ok(None);
        }
        Ok(Some(Ticked {
            is_closed: status == "closed",
            waiting: self.number(1)?,
            ready: self.number(2)?,
            admitted: self.number(3)?,
            called: self.number(4)?.try_into()?,
            has_more: self.number(5)? == 1,
        }))
    }

    pub(super) fn called(&self) -> anyhow::Result<Option<u32>> {
        match self.word(0)?.as_str() {
            "unknown" => Ok(None),
            _ => Ok(Some(self.number(1)?.try_into()?)),
        }
    }

    pub(super) fn changed(&self) -> anyhow::Result<bool> {
        Ok(self.number(0)? == 1)
    }

    pub(super) fn word(&self, at: usize) -> anyhow::Result<String> {
        self.0.get(at).and_then(Value::as_string).with_context(|| format!("answer without word {at}"))
    }

    pub(super) fn number(&self, at: usize) -> anyhow::Result<i64> {
        self.0.get(at).and_then(Value::as_i64).with_context(|| format!("answer without number {at}"))
    }
}
