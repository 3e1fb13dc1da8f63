//! What the scripts answer, as types.

use anyhow::{Context as _, bail};
use common::redis::Value;
use common::wire::id::Ticket;
use common::wire::queue::{QueueState, ScheduleView};
use serde::Deserialize;
use uuid::Uuid;

use crate::room::rules;

/// How a room is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Status {
    /// People may join.
    Live,
    /// Nothing is left in this round.
    SoldOut,
    /// The sale is over.
    Closed,
}

/// The facts of a room that a shopper's prospects depend on. Times are ms since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
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
    pub stopped: Option<String>,
    /// Since when every unit is reserved.
    pub frozen_at: Option<i64>,
    /// Units that can be reserved.
    pub available: i64,
    /// Shoppers inside at once.
    pub capacity: Option<i64>,
    /// Rights outstanding per available unit.
    #[serde(default, rename = "gate", deserialize_with = "is_set")]
    pub is_gated: bool,
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
}

/// Where a shopper stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// The state.
    pub state: QueueState,
    /// The room's clock, in ms since 1970.
    pub now: i64,
    /// 1-based; 0 unless waiting.
    pub rank: u64,
    /// People in the line.
    pub total: u64,
    /// When the turn runs out, in ms since 1970; only when ready.
    pub claim_until: Option<i64>,
    /// The right; only when admitted.
    pub admission: Option<Admission>,
    /// The room.
    pub room: Room,
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
#[derive(Debug, Clone, PartialEq, Eq)]
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

/// The answer to a change of the timetable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Scheduled {
    /// The timetable as it will be.
    View(ScheduleView),
    /// Another seller's product.
    Foreign,
    /// Staff stopped it.
    StoppedByStaff,
    /// The sale is over.
    Closed,
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

impl Reply {
    pub(super) fn joined(&self) -> anyhow::Result<Option<Joined>> {
        match self.word(0)?.as_str() {
            "unknown" => Ok(None),
            "closed" => Ok(Some(Joined::Closed)),
            "limit" => Ok(Some(Joined::AtLimit)),
            _ => {
                let event = match self.0.get(8).and_then(Value::as_string).as_deref() {
                    None => None,
                    Some("joined") => Some(Event::Joined),
                    Some("moved") => Some(Event::Moved),
                    Some("straight") => Some(Event::Straight),
                    Some(other) => bail!("a join answered {other}"),
                };
                Ok(self.standing()?.map(|standing| Joined::Place(Box::new(standing), event)))
            }
        }
    }

    pub(super) fn claimed(&self) -> anyhow::Result<Option<Claimed>> {
        if self.word(0)? == "notReady" {
            return Ok(Some(Claimed::NotReady));
        }
        let Some(Standing { now, admission, .. }) = self.standing()? else { return Ok(None) };
        Ok(Some(Claimed::Admitted { admission: admission.context("a claim without its right")?, now }))
    }

    pub(super) fn standing(&self) -> anyhow::Result<Option<Standing>> {
        let state = match self.word(0)?.as_str() {
            "unknown" => return Ok(None),
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
        let ends = self.number(4)?;
        let admission = match state {
            QueueState::Admitted => {
                let jti = self.word(6)?.parse().context("a right's name")?;
                Some(Admission { ticket: Ticket(self.number(5)?), jti, ends })
            }
            _ => None,
        };
        Ok(Some(Standing {
            state,
            now: self.number(1)?,
            rank: self.number(2)?.try_into()?,
            total: self.number(3)?.try_into()?,
            claim_until: (state == QueueState::Ready).then_some(ends),
            admission,
            room: serde_json::from_str(&self.word(7)?).context("a room's facts")?,
        }))
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

    pub(super) fn scheduled(&self) -> anyhow::Result<Option<Scheduled>> {
        match self.word(0)?.as_str() {
            "unknown" => Ok(None),
            "foreign" => Ok(Some(Scheduled::Foreign)),
            "stopped" => Ok(Some(Scheduled::StoppedByStaff)),
            "closed" => Ok(Some(Scheduled::Closed)),
            _ => Ok(Some(Scheduled::View(ScheduleView {
                count: self.number(1)?.try_into()?,
                interval_s: (self.number(2)? / 1_000).try_into()?,
                starts_at: rules::time(self.number(3)?),
                stopped: self.number(4)? == 1,
            }))),
        }
    }

    pub(super) fn changed(&self) -> anyhow::Result<bool> {
        Ok(self.number(0)? == 1)
    }

    fn word(&self, at: usize) -> anyhow::Result<String> {
        self.0.get(at).and_then(Value::as_string).with_context(|| format!("answer without word {at}"))
    }

    fn number(&self, at: usize) -> anyhow::Result<i64> {
        self.0.get(at).and_then(Value::as_i64).with_context(|| format!("answer without number {at}"))
    }
}
