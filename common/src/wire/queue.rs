//! Bodies of the waiting room.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Time;
use super::id::{ProductId, Ticket, UserId};

/// A shopper's state in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum QueueState {
    /// In the line.
    Waiting,
    /// Called: may take the token until `claimUntil`.
    Ready,
    /// Inside: holds a token.
    Admitted,
    /// Inside and ordered.
    Completed,
    /// Went by own wish.
    Left,
    /// Did not come in time, or the admission ended.
    Expired,
    /// Nothing is left to sell in this round.
    SoldOut,
    /// The sale is over.
    Closed,
    /// Never joined.
    None,
}

/// Why nobody is let in at the moment, though the sale runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum WaitReason {
    /// Admissions have not opened.
    NotOpen,
    /// Every unit is reserved; some may come back.
    AllReserved,
    /// Stopped by hand.
    Stopped,
    /// Paused by hand.
    Held,
}

/// A shopper's place. Also the answer to a join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Place {
    /// The room.
    pub product_id: ProductId,
    /// Where the shopper stands.
    pub state: QueueState,
    /// 1-based, exact; only while `waiting`, never rises for one ticket.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<u64>,
    /// `rank - 1`; only while `waiting`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ahead: Option<u64>,
    /// People in the line.
    pub total: u64,
    /// Expected wait in seconds, at best.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eta_low_s: Option<u64>,
    /// Expected wait in seconds, at worst.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eta_high_s: Option<u64>,
    /// When to ask again.
    pub next_poll_at: Time,
    /// The server's clock.
    pub server_time: Time,
    /// When admissions open, while they have not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<Time>,
    /// Until when the token can be taken; only in `ready`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim_until: Option<Time>,
    /// The access token; only in `admitted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// When the token ends; only in `admitted`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// Why nobody is let in at the moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<WaitReason>,
    /// From the operator to everybody waiting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// An access token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenView {
    /// For `X-Access-Token`.
    pub token: String,
    /// When it ends.
    pub expires_at: Time,
}

/// Answer to admissions by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AdmissionsView {
    /// How many were asked for.
    pub requested: u32,
    /// How many were let in: fewer when the line, the capacity or the stock ends before.
    pub admitted: u32,
}

/// A room's timetable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScheduleView {
    /// Admissions per interval.
    pub count: u32,
    /// Length of an interval in seconds.
    pub interval_s: u32,
    /// When the first interval begins.
    pub starts_at: Time,
    /// Stopped by hand.
    pub stopped: bool,
}

/// One step of a room, as the room's log holds it.
///
/// The log is what proves the order: a verifier reads it from the first step to the last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// What happened.
    pub step: StepKind,
    /// When, by the store's clock, in milliseconds since 1970.
    pub at: i64,
    /// To whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<UserId>,
    /// To which ticket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ticket: Option<Ticket>,
    /// Interval whose budget it spends or gives back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<i64>,
    /// Budget of that interval.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u32>,
    /// Let in by hand, outside the budget.
    #[serde(default)]
    pub by_hand: bool,
}

impl Step {
    /// Reads an entry of a room's stream: flat fields, all values text.
    ///
    /// # Errors
    /// When a field is missing or of another type.
    pub fn from_fields(fields: &HashMap<String, String>) -> serde_json::Result<Self> {
        let value = |(name, text): (&String, &String)| {
            let value = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text.as_str()));
            (name.clone(), value)
        };
        serde_json::from_value(Value::Object(fields.iter().map(value).collect()))
    }
}

/// The kinds of step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum StepKind {
    /// A new ticket at the end of the line.
    Joined,
    /// Gave up its ticket for a new one at the end.
    Moved,
    /// Called from the line.
    Ready,
    /// Took the token, or walked straight through.
    Admitted,
    /// Ordered.
    Completed,
    /// Left by own wish.
    Left,
    /// Did not claim in time.
    ClaimExpired,
    /// The admission ended.
    AdmissionExpired,
    /// The order ended without a sale; may join again.
    Returned,
    /// Nothing is left; the line was told and dissolved.
    SoldOut,
    /// Units came back after `soldOut`: a new round.
    Reopened,
    /// The sale is over.
    Closed,
    /// The timetable was made, changed, stopped or started.
    Scheduled,
}
