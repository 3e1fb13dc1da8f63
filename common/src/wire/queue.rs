//! Bodies of the waiting room.

use std::collections::HashMap;

use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::Time;
use super::id::{ProductId, Ticket, UserId};

/// A shopper's state in a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// People are let in more slowly than the wait that was told last says.
    Slower,
    /// The rooms' store does not answer; nobody loses a place by it.
    RoomUnavailable,
}

/// A shopper's place. Also the answer to a join.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct TokenView {
    /// For `X-Access-Token`.
    pub token: String,
    /// When it ends.
    pub expires_at: Time,
}

/// Answer to admissions by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AdmissionsView {
    /// How many were asked for.
    pub requested: u32,
    /// How many were let in: fewer when the line, the capacity or the stock ends before.
    pub admitted: u32,
}

/// A room's timetable.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// Who changed the room, where somebody did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<UserId>,
    /// Why, in that person's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
    /// What the step is about, as text: a message, the reason of a pause, a draw's commitment or seed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

impl Step {
    /// A step of this kind at this moment, in ms since 1970, which says nothing more.
    #[must_use]
    pub fn new(step: StepKind, at: i64) -> Self {
        Self {
            step,
            at,
            user: None,
            ticket: None,
            interval: None,
            count: None,
            by_hand: false,
            by: None,
            why: None,
            text: None,
        }
    }

    /// Reads an entry of a room's stream: flat fields, all values text. One that is `came` ([`came`]) holds the steps of
    /// all who registered together, every other one a single step.
    ///
    /// # Errors
    /// When a field is missing or of another type.
    pub fn of_entry(fields: &HashMap<String, String>) -> serde_json::Result<Vec<Self>> {
        let field =
            |name| fields.get(name).map(String::as_str).ok_or_else(|| serde_json::Error::missing_field(name));
        if field("step")? != CAME {
            return Self::from_fields(fields).map(|step| vec![step]);
        }
        let (at, first) = (serde_json::from_str(field("at")?)?, serde_json::from_str(field("ticket")?)?);
        let steps = came(first, field("users")?, field("kinds")?).map(|who| {
            let (kind, user, ticket) = who.ok_or_else(|| serde_json::Error::custom("no user or no kind"))?;
            Ok(Self { user: Some(user), ticket: Some(ticket), ..Self::new(kind, at) })
        });
        steps.collect()
    }

    fn from_fields(fields: &HashMap<String, String>) -> serde_json::Result<Self> {
        let value = |(name, text): (&String, &String)| {
            // What people wrote is text, even where it looks like a number.
            let is_text = matches!(name.as_str(), "step" | "why" | "text");
            let read = || serde_json::from_str(text).ok().filter(|_| !is_text);
            (name.clone(), read().unwrap_or_else(|| Value::from(text.as_str())))
        };
        serde_json::from_value(Value::Object(fields.iter().map(value).collect()))
    }
}

/// Name of the entry in a room's stream that holds all who registered together.
pub const CAME: &str = "came";

/// Those of an entry [`CAME`]: the first of their tickets, which rise by one; their accounts, with a blank between two; and
/// a letter for each, `j` for a new ticket and `m` for a move to the end. `None` stands for what is neither.
pub fn came<'a>(
    first: i64,
    users: &'a str,
    kinds: &'a str,
) -> impl Iterator<Item = Option<(StepKind, UserId, Ticket)>> + use<'a> {
    users.split(' ').zip(kinds.bytes()).zip(first..).map(|((user, letter), ticket)| {
        let kind = match letter {
            b'j' => StepKind::Joined,
            b'm' => StepKind::Moved,
            _ => return None,
        };
        Some((kind, UserId(user.parse().ok()?), Ticket(ticket)))
    })
}

/// The kinds of step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
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
    /// The timetable was made, changed, stopped or started; `by` whom.
    Scheduled,
    /// Nothing was heard of somebody waiting for a while: passed over, but remembered.
    Away,
    /// Somebody who was away is there again, with the same ticket.
    Back,
    /// Away for too long: the ticket is gone.
    Expired,
    /// Paused `by` hand; `text` is what people are told.
    Held,
    /// The pause is over.
    Resumed,
    /// `text` is shown to everybody waiting; none takes the message away.
    Message,
    /// How many may be inside at once was changed: `count`, or no limit.
    Capacity,
    /// The right of `user` was taken away, or, without one, everybody's.
    Revoked,
    /// The store came back without its last moments: numbers go on after a jump, `ticket` is the last one before it.
    Recovered,
    /// The draw's seed is fixed; `text` is its SHA-256, in hexadecimal digits.
    Committed,
    /// The line is drawn: `text` is the seed, `ticket` the last ticket that takes part.
    Drawn,
    /// Everybody has their place of the draw.
    DrawEnded,
}

/// How a room is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum RoomStatus {
    /// People may join.
    Live,
    /// Nothing is left in this round.
    SoldOut,
    /// The sale is over.
    Closed,
}

/// What moved in a room over some time: numbers of people.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Flow {
    /// Tickets made: in.
    pub joins: u64,
    /// Called, by a tick or by hand, or walked straight through: out.
    pub admissions: u64,
    /// Came when called.
    pub claims: u64,
    /// Did not come when called.
    pub no_shows: u64,
}

/// A room's live figures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Stats {
    /// The room.
    pub product_id: ProductId,
    /// The room's clock, when it was looked at.
    pub server_time: Time,
    /// How it is.
    pub status: RoomStatus,
    /// Why nobody is let in at the moment.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<WaitReason>,
    /// People in the line, away included.
    pub waiting: u64,
    /// Of these, people whom nothing was heard of for a while.
    pub away: u64,
    /// Called, and not come yet.
    pub ready: u64,
    /// Inside, and not ordered yet.
    pub admitted: u64,
    /// Tickets between the first and the last of the line that nobody holds any more: moved to the end, called before
    /// others, left or expired.
    pub holes: u64,
    /// The last 60 s.
    pub minute: Flow,
    /// The last 300 s.
    pub five_minutes: Flow,
    /// Of those whose turn ended in the last 300 s, the share that did not come, 0 to 1; absent where no turn ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_show_share: Option<f64>,
    /// Wait in seconds of somebody who joins now, at best; absent while nobody is let in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eta_low_s: Option<u64>,
    /// The same at worst.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub eta_high_s: Option<u64>,
    /// Units that can be reserved.
    pub available: i64,
    /// People inside at once at most; absent where there is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u32>,
    /// Said to everybody waiting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}
