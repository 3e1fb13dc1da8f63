//! Bodies of a waiting room's operators: lists, and what they change.

use serde::{Deserialize, Serialize};

use super::Time;
use super::id::{ProductId, Ticket, UserId};
use super::product::StartOrder;
use super::queue::QueueState;

/// Somebody in the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Waiter {
    /// Who.
    pub user_id: UserId,
    /// The ticket: the list is in its order.
    pub ticket: Ticket,
    /// The place, from 1; absent while the order is still to be drawn.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank: Option<u64>,
    /// Nothing was heard of for a while: admissions pass over the shopper, whose ticket stays.
    pub away: bool,
}

/// Somebody who was called or is inside.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Insider {
    /// Who.
    pub user_id: UserId,
    /// The ticket.
    pub ticket: Ticket,
    /// `ready` or `admitted`.
    pub state: QueueState,
    /// When the turn runs out, or the admission ends.
    pub until: Time,
    /// Called by hand, outside the budget; only of those who are `ready`.
    pub by_hand: bool,
}

/// Who paused a room or set its capacity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum Hand {
    /// ADMIN or MANAGER.
    Staff,
    /// The product's owner.
    Seller,
}

/// Whether a room is paused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct HoldView {
    /// Nobody is let in but by hand.
    pub held: bool,
    /// Who may end it: what staff paused, staff alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub by: Option<Hand>,
    /// What those waiting are told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// What everybody waiting is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct MessageView {
    /// Absent where there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// A capacity that follows the load: down by a fifth while a goal is missed, else up by 2 %, every 5 s.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Adaptive {
    /// Never fewer people inside, at least 1.
    pub min: u32,
    /// Never more, at least `min`.
    pub max: u32,
    /// Goal: 95 % of requests are answered within this many ms, 1 to 10,000.
    #[serde(default = "p95_default")]
    pub p95_ms: u32,
    /// Goal: at most this share of requests fails with a status from 500 on, 0 to 1.
    #[serde(default = "error_share_default")]
    pub error_share: f64,
    /// Goal: at most this many records wait to be read, 0 to 1,000,000,000.
    #[serde(default = "lag_default")]
    pub lag_max: u32,
}

fn p95_default() -> u32 {
    500
}

fn error_share_default() -> f64 {
    0.01
}

fn lag_default() -> u32 {
    10_000
}

/// How many may be inside at once.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct CapacityView {
    /// Absent where there is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u32>,
    /// How it follows the load, where it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub adaptive: Option<Adaptive>,
}

/// What was taken back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RevokedView {
    /// Rights that ended.
    pub revoked: u64,
    /// Access tokens below it are void.
    pub epoch: i64,
}

/// The draw of a room whose line is ordered by lot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct DrawView {
    /// The room.
    pub product_id: ProductId,
    /// `draw`.
    pub start_order: StartOrder,
    /// SHA-256, in hex, of the seed's text: published with the room's first step.
    pub commitment: String,
    /// The seed, after the draw.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub seed: Option<String>,
    /// How many tickets were drawn: 1 to this number; after the draw.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tickets: Option<i64>,
}
