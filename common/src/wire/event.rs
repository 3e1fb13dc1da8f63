//! Topics and events. A body carries its type with a version in `type`; the record's `ce_type` header
//! repeats it. Fields are only ever added; `tests/samples/` holds a stored message of each kind, so that an
//! old message can always be read.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Time;
use super::id::{OrderId, ProductId, Ticket, UserId};
use super::order::OrderState;
use super::product::ProductSnapshot;
use super::queue::Step;

/// A topic, and how it is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Topic {
    /// Its name, before the deployment's prefix.
    pub name: &'static str,
    /// Partitions. A product's commands must stay in one partition for ever: never change it in place.
    pub partitions: i32,
    /// Keeps the last record of each key instead of the last days.
    pub compacted: bool,
}

/// What the stock stage is told. Owner: order (reserve, confirm, release, restock) and product (terms, adjust).
pub const STOCK_COMMANDS: Topic = Topic { name: "stock.commands.v1", partitions: 4, compacted: false };
/// What it decided. Owner: product.
pub const STOCK_DECISIONS: Topic = Topic { name: "stock.decisions.v1", partitions: 4, compacted: false };
/// Every transition of every order. Owner: order.
pub const ORDER_EVENTS: Topic = Topic { name: "order.events.v1", partitions: 4, compacted: false };
/// Every version of every product. Owner: product.
pub const PRODUCT_EVENTS: Topic = Topic { name: "product.events.v1", partitions: 4, compacted: true };
/// The rooms' logs. Owner: queue-server.
pub const QUEUE_EVENTS: Topic = Topic { name: "queue.events.v1", partitions: 4, compacted: false };
/// All topics that carry events.
pub const TOPICS: [Topic; 5] = [STOCK_COMMANDS, STOCK_DECISIONS, ORDER_EVENTS, PRODUCT_EVENTS, QUEUE_EVENTS];

/// A message body that knows its topic, key and type.
pub trait Event: Serialize + DeserializeOwned + Send + Sync {
    /// Where it goes.
    const TOPIC: Topic;
    /// What keeps its order: records of one key stay in order.
    fn key(&self) -> String;
    /// Its type with version, as in the body's `type`.
    fn kind(&self) -> &'static str;
}

/// What the stock stage is told, in the order of the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type")]
pub enum StockCommand {
    /// Registers a sale or changes its terms.
    #[serde(rename = "stock.terms.v1")]
    Terms(Terms),
    /// Hold units for an order.
    #[serde(rename = "stock.reserve.v1")]
    Reserve(Reserve),
    /// Held units are paid.
    #[serde(rename = "stock.confirm.v1")]
    Confirm(Settle),
    /// Held units come back.
    #[serde(rename = "stock.release.v1")]
    Release(Settle),
    /// Sold units come back.
    #[serde(rename = "stock.restock.v1")]
    Restock(Settle),
    /// The seller adds or takes units.
    #[serde(rename = "stock.adjust.v1")]
    Adjust(Adjust),
}

/// A sale's terms. The first one makes the stock row; later ones change everything but the stock.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Terms {
    /// The product.
    pub product_id: ProductId,
    /// The product's version; older terms change nothing.
    pub version: i64,
    /// Price version an order must have seen.
    pub price_version: i64,
    /// Units per shopper, 1 to 100.
    pub purchase_limit: u32,
    /// Reserves placed before are refused.
    pub opens_at: Time,
    /// Reserves placed at or after it are refused.
    pub closes_at: Time,
    /// Units at registration; counts only the first time.
    pub stock: i64,
    /// Who changed it.
    pub by: UserId,
}

/// Hold units.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reserve {
    /// The product.
    pub product_id: ProductId,
    /// For which order.
    pub order_id: OrderId,
    /// Rises when the same order asks again on purpose (a late payment); a repeat of one attempt is no new one.
    pub attempt: i32,
    /// The buyer.
    pub user_id: UserId,
    /// Units, 1 to 100.
    pub quantity: u32,
    /// Price version the order was calculated with.
    pub price_version: i64,
    /// When the order was placed: decides whether the sale was open.
    pub at: Time,
}

/// Settle a reservation: confirm, release or restock it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Settle {
    /// The product.
    pub product_id: ProductId,
    /// Whose reservation.
    pub order_id: OrderId,
    /// Which attempt.
    pub attempt: i32,
    /// The buyer: kept with a release that arrives before its reserve.
    pub user_id: UserId,
    /// Why, for the ledger.
    pub reason: String,
    /// When.
    pub at: Time,
}

/// Units added (positive) or taken (negative) by the seller.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Adjust {
    /// The product.
    pub product_id: ProductId,
    /// A repeat of one adjustment changes nothing.
    pub adjustment_id: Uuid,
    /// Units.
    pub delta: i64,
    /// Who asked.
    pub by: UserId,
    /// When.
    pub at: Time,
}

impl StockCommand {
    /// The product it is about.
    #[must_use]
    pub fn product_id(&self) -> ProductId {
        match self {
            Self::Terms(c) => c.product_id,
            Self::Reserve(c) => c.product_id,
            Self::Confirm(c) | Self::Release(c) | Self::Restock(c) => c.product_id,
            Self::Adjust(c) => c.product_id,
        }
    }
}

impl Event for StockCommand {
    const TOPIC: Topic = STOCK_COMMANDS;
    fn key(&self) -> String {
        self.product_id().to_string()
    }
    fn kind(&self) -> &'static str {
        match self {
            Self::Terms(_) => "stock.terms.v1",
            Self::Reserve(_) => "stock.reserve.v1",
            Self::Confirm(_) => "stock.confirm.v1",
            Self::Release(_) => "stock.release.v1",
            Self::Restock(_) => "stock.restock.v1",
            Self::Adjust(_) => "stock.adjust.v1",
        }
    }
}

/// What became of one reserve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// Units are held.
    Reserved,
    /// They are not; the reason says why.
    Rejected,
}

/// Why units are not held.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Refusal {
    /// Fewer units available than wanted.
    SoldOut,
    /// The shopper would hold more than the purchase limit.
    Limit,
    /// Placed outside the sale's window.
    Closed,
    /// The price changed since the order was calculated.
    PriceChanged,
    /// No such product.
    UnknownProduct,
}

impl Refusal {
    /// As on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::SoldOut => "soldOut",
            Self::Limit => "limit",
            Self::Closed => "closed",
            Self::PriceChanged => "priceChanged",
            Self::UnknownProduct => "unknownProduct",
        }
    }
}

/// The answer to one reserve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// The order.
    pub order_id: OrderId,
    /// The attempt.
    pub attempt: i32,
    /// Held or not.
    pub result: Outcome,
    /// Why not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<Refusal>,
}

/// One product's part of one batch of the stock stage.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StockDecided {
    /// The product.
    pub product_id: ProductId,
    /// Lowest `stock.commands.v1` offset in the batch.
    pub first: i64,
    /// Highest one: orders these records.
    pub last: i64,
    /// Units ever given to the sale.
    pub total: i64,
    /// Units that can be reserved.
    pub available: i64,
    /// Units held.
    pub reserved: i64,
    /// Units paid.
    pub sold: i64,
    /// Answers to the reserves of the batch, in their order.
    pub decisions: Vec<Decision>,
}

impl Event for StockDecided {
    const TOPIC: Topic = STOCK_DECISIONS;
    fn key(&self) -> String {
        self.product_id.to_string()
    }
    fn kind(&self) -> &'static str {
        "stock.decided.v1"
    }
}

/// One transition of one order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderChanged {
    /// The order.
    pub order_id: OrderId,
    /// Rises by one with every transition of this order.
    pub seq: i64,
    /// The buyer.
    pub user_id: UserId,
    /// The new state.
    pub state: OrderState,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// One per product, summed.
    pub lines: Vec<OrderLine>,
    /// When.
    pub at: Time,
}

/// The units of one product in an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderLine {
    /// The product.
    pub product_id: ProductId,
    /// Units.
    pub quantity: u32,
    /// The ticket that gave the right to order.
    pub tkt: Ticket,
}

impl Event for OrderChanged {
    const TOPIC: Topic = ORDER_EVENTS;
    fn key(&self) -> String {
        self.order_id.to_string()
    }
    fn kind(&self) -> &'static str {
        "order.changed.v1"
    }
}

impl Event for ProductSnapshot {
    const TOPIC: Topic = PRODUCT_EVENTS;
    fn key(&self) -> String {
        self.product_id.to_string()
    }
    fn kind(&self) -> &'static str {
        "product.changed.v1"
    }
}

/// Steps of one room, in their order: a link of the room's chain. `common::kafka::chain` makes and reads these.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "type", rename = "queue.steps.v1")]
pub struct QueueSteps {
    /// The room.
    pub product_id: ProductId,
    /// SHA-256, in hex, of the bytes of the room's record before this one; empty in its first.
    pub prev: String,
    /// Id of the first step in the room's stream, `<ms>-<number>`.
    pub first: String,
    /// Id of the last one.
    pub last: String,
    /// The steps, 1 to 500.
    pub steps: Vec<Step>,
}

impl Event for QueueSteps {
    const TOPIC: Topic = QUEUE_EVENTS;
    fn key(&self) -> String {
        self.product_id.to_string()
    }
    fn kind(&self) -> &'static str {
        "queue.steps.v1"
    }
}
