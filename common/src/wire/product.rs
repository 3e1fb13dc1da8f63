//! Bodies of the product service, and the snapshot other services keep of a product.

use serde::{Deserialize, Serialize};

use super::Time;
use super::id::{CompanyId, OptionId, ProductId, UserId};
use super::money::Won;

/// Where a sale stands, by the clock and the stock.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum SaleState {
    /// Not published: only its owner and ADMIN see it.
    Draft,
    /// Before `saleStartTime`.
    Scheduled,
    /// Between start and end, with units to sell.
    OnSale,
    /// Between start and end, nothing left.
    SoldOut,
    /// After `saleEndTime`.
    Ended,
}

impl SaleState {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Draft, Self::Scheduled, Self::OnSale, Self::SoldOut, Self::Ended];

    /// As on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Draft => "draft",
            Self::Scheduled => "scheduled",
            Self::OnSale => "onSale",
            Self::SoldOut => "soldOut",
            Self::Ended => "ended",
        }
    }
}

/// What happens to a waiting shopper who registers again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum Rejoin {
    /// Moves to the very end with a new ticket.
    #[default]
    Back,
    /// Keeps the ticket.
    Keep,
}

/// How the line is ordered when admissions open.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum StartOrder {
    /// First come, first served.
    #[default]
    Fifo,
    /// Drawn by lot.
    Draw,
}

/// How a product's room lets people in.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", default, deny_unknown_fields)]
pub struct QueuePolicy {
    /// Admissions per interval, 1 to 100,000.
    pub count: u32,
    /// Length of an interval in seconds, 1 to 3,600.
    pub interval_s: u32,
    /// Admissions open this many seconds after the sale's start, 0 to 86,400.
    pub admission_delay_s: u32,
    /// Shoppers inside at once; no limit when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capacity: Option<u32>,
    /// Rights outstanding per available unit, 0.1 to 10; no gate when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stock_gate: Option<f64>,
    /// What a repeated registration does.
    pub rejoin: Rejoin,
    /// Order of the line at the opening.
    pub start_order: StartOrder,
    /// Nothing heard of somebody waiting for this many seconds, 15 to 600: passed over, but remembered.
    pub away_after_s: u32,
    /// Whoever is back within this many seconds after that, 0 to 3,600, keeps the place.
    pub grace_s: u32,
    /// How many seconds a shopper who was called may take to fetch the token, 10 to 600: with a live stream, which tells
    /// at once,
    pub claim_s: u32,
    /// and without one, 10 to 600: long enough for somebody who asks every 10 s on a telephone.
    pub claim_poll_s: u32,
    /// Length of an admission in seconds, 30 to 3,600. Its token ends 5 s earlier.
    pub admission_s: u32,
}

impl Default for QueuePolicy {
    fn default() -> Self {
        Self {
            count: 100,
            interval_s: 60,
            admission_delay_s: 60,
            capacity: None,
            stock_gate: None,
            rejoin: Rejoin::Back,
            start_order: StartOrder::Fifo,
            away_after_s: 45,
            grace_s: 300,
            claim_s: 60,
            claim_poll_s: 120,
            admission_s: 600,
        }
    }
}

/// One option of a product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct OptionView {
    /// The option.
    pub option_id: OptionId,
    /// What is chosen: `colour`.
    pub option_name: String,
    /// The choice: `red`.
    pub option_value: String,
    /// Added to the product's price.
    pub option_price: Won,
}

/// Everything other services need of a product: the record of `product.events.v1`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ProductSnapshot {
    /// The product.
    pub product_id: ProductId,
    /// Rises with every change; an older snapshot never replaces a newer one.
    pub version: i64,
    /// Rises with every change of a price; orders and stock compare it.
    pub price_version: i64,
    /// The company that sells it.
    pub company_id: CompanyId,
    /// Its owner.
    pub seller_id: UserId,
    /// Its name.
    pub product_name: String,
    /// Price before the discount.
    pub original_price: Won,
    /// Price of a unit without options.
    pub discounted_price: Won,
    /// Its options.
    pub product_options: Vec<OptionView>,
    /// The sale's start.
    pub sale_start_time: Time,
    /// The sale's end.
    pub sale_end_time: Time,
    /// Units per shopper.
    pub purchase_limit: u32,
    /// How its room lets people in.
    pub queue: QueuePolicy,
    /// Withdrawn by its owner.
    pub deleted: bool,
    /// Where the sale stood when this was told; each change of it is told once, with the same `version`. Absent in
    /// records of before it was told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<SaleState>,
    /// Rises by one with every state that is told; 0 where `state` is absent.
    #[serde(default)]
    pub state_version: i64,
    /// Who changed it last.
    pub changed_by: UserId,
}

/// What may be shown before the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ProductSummary {
    /// The product.
    pub product_id: ProductId,
    /// Its company.
    pub company_id: CompanyId,
    /// The company's name.
    pub company_name: String,
    /// Its name.
    pub product_name: String,
    /// Price before the discount.
    pub original_price: Won,
    /// Price.
    pub discounted_price: Won,
    /// Its category.
    pub category_code: i32,
    /// Keys of its pictures.
    pub images: Vec<String>,
    /// The sale's start.
    pub sale_start_time: Time,
    /// The sale's end.
    pub sale_end_time: Time,
    /// Where the sale stands.
    pub state: SaleState,
}

/// The product page: only for holders of an access token, its owner and ADMIN.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ProductView {
    /// What everybody may see.
    #[serde(flatten)]
    pub summary: ProductSummary,
    /// What it is.
    pub description: String,
    /// Its options.
    pub product_options: Vec<OptionView>,
    /// Units that can be ordered now.
    pub stock: i64,
    /// Units per shopper.
    pub purchase_limit: u32,
    /// IANA zone in which the sale's window was entered, where it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sale_zone: Option<String>,
    /// How its room lets people in.
    pub queue: QueuePolicy,
    /// When it was registered.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
}

/// What a shopper thinks of a product, and how many like it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct LikeView {
    /// The product.
    pub product_id: ProductId,
    /// Whether the shopper likes it.
    pub liked: bool,
    /// How many do.
    pub likes: i64,
}

/// An uploaded picture: `GET /images/{key}` serves it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ImageView {
    /// What products refer to it by: 64 hex digits.
    pub key: String,
    /// Width of its largest size, in pixels.
    pub width: u32,
    /// Height of its largest size, in pixels.
    pub height: u32,
}

/// A company.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct CompanyView {
    /// The company.
    pub company_id: CompanyId,
    /// Its owner.
    pub user_id: UserId,
    /// Its name.
    pub company_name: String,
    /// What it does.
    pub description: String,
    /// Where it is.
    pub address: String,
    /// When it was registered.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
}

/// A category.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct CategoryView {
    /// Its code: 1000, 2000, ….
    pub category_code: i32,
    /// Its name.
    pub category_name: String,
    /// The category that it belongs to; absent at the top.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_code: Option<i32>,
}
