//! Bodies of the order service.

use garde::Validate;
use serde::{Deserialize, Serialize};

use super::Time;
use super::id::{OptionId, OrderId, PaymentId, ProductId, RefundId};
use super::money::Won;

/// Lines of one order at most.
pub const LINES_MAX: usize = 20;
/// Units of one line at most.
pub const QUANTITY_MAX: i64 = 100;
/// Characters of a text at most.
const TEXT_MAX: usize = 255;

/// Where an order stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "pg", derive(sqlx::Type), sqlx(type_name = "text", rename_all = "camelCase"))]
#[serde(rename_all = "camelCase")]
pub enum OrderState {
    /// Accepted; the stock has not answered.
    Received,
    /// Units are held until `expiresAt`.
    Reserved,
    /// The stock said no.
    Rejected,
    /// A payment is being confirmed.
    Paying,
    /// Paid.
    Paid,
    /// Not paid in time.
    Expired,
    /// Cancelled by the buyer.
    Cancelled,
    /// The stock never answered.
    Failed,
    /// Money goes back.
    RefundPending,
    /// All money went back.
    Refunded,
    /// Some money went back.
    PartiallyRefunded,
}

/// What a shopper wants: `POST /api/orders`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Validate)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PlaceOrder {
    /// 1 to [`LINES_MAX`] lines.
    #[garde(length(min = 1, max = LINES_MAX), dive)]
    pub lines: Vec<WantedLine>,
    /// At most 255 characters; the account's when absent.
    #[garde(inner(length(chars, max = TEXT_MAX), custom(storable)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shipping_address: Option<String>,
    /// At most 255 characters.
    #[garde(inner(length(chars, max = TEXT_MAX), custom(storable)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memo: Option<String>,
}

/// One wanted line. Prices are the shop's: a client cannot send one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Validate)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct WantedLine {
    /// The product.
    #[garde(skip)]
    pub product_id: ProductId,
    /// One of its options.
    #[garde(skip)]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub option_id: Option<OptionId>,
    /// 1 to [`QUANTITY_MAX`].
    #[garde(range(min = 1, max = QUANTITY_MAX))]
    pub quantity: i64,
}

/// PostgreSQL cannot keep the character NUL.
///
/// # Errors
/// When the text has one.
pub fn storable(text: &str, (): &()) -> garde::Result {
    if text.contains('\0') { Err(garde::Error::new("holds the character NUL")) } else { Ok(()) }
}

/// An order as its owner sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct OrderView {
    /// The order.
    pub order_id: OrderId,
    /// Where it stands.
    pub state: OrderState,
    /// Its lines with the shop's prices.
    pub lines: Vec<LineView>,
    /// Sum of the lines.
    pub total_price: Won,
    /// Until when a `reserved` order can be paid.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Time>,
    /// Why it was rejected, or ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Where it goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shipping_address: Option<String>,
    /// The shopper's note.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memo: Option<String>,
    /// When it was accepted.
    pub created_at: Time,
    /// When it last changed.
    pub updated_at: Time,
}

/// One line of an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct LineView {
    /// The product.
    pub product_id: ProductId,
    /// Its name when the order was placed.
    pub product_name: String,
    /// The option.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub option_id: Option<OptionId>,
    /// Units.
    pub quantity: u32,
    /// Price of one unit, option included.
    pub unit_price: Won,
}

/// `POST /api/orders/{id}/payment`: nothing before the provider's page, what it gave after it.
#[derive(Debug, Default, Serialize, Deserialize, Validate)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PayOrder {
    /// 1 to 200 visible ASCII characters.
    #[garde(inner(length(min = 1, max = 200), custom(visible)))]
    pub payment_key: Option<String>,
    /// What the page said is to be paid.
    #[garde(inner(range(min = 0)))]
    pub amount: Option<i64>,
}

fn visible(text: &str, (): &()) -> garde::Result {
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    if visible { Ok(()) } else { Err(garde::Error::new("visible ASCII characters only")) }
}

/// What the payment provider's page needs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct CheckoutView {
    /// Public key of the shop at the provider.
    pub client_key: String,
    /// What to pay.
    pub amount: Won,
    /// Shown to the shopper.
    pub order_name: String,
    /// Who pays, for the provider; no personal data.
    pub customer_key: String,
    /// Where the provider sends the shopper after success.
    pub success_url: String,
    /// Where it sends the shopper after failure.
    pub fail_url: String,
}

/// Answer to a confirmed payment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct PaymentView {
    /// The order.
    pub order_id: OrderId,
    /// `paid`, or `paying` while the provider's answer is unknown.
    pub state: OrderState,
    /// The attempt.
    pub payment_id: PaymentId,
}

/// What a refund gives back, and why: `POST /api/orders/{id}/refunds`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Validate)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AskRefund {
    /// Won, at least 1; everything that is left of the payment when absent.
    #[garde(inner(range(min = 1)))]
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub amount: Option<i64>,
    /// 1 to [`REFUND_REASON_MAX`] characters; the provider is told.
    #[garde(length(chars, min = 1, max = REFUND_REASON_MAX), custom(storable))]
    pub reason: String,
}

/// Characters of a refund's reason at most: what Toss Payments takes.
pub const REFUND_REASON_MAX: usize = 200;

/// Answer to a refund.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RefundView {
    /// The refund.
    pub refund_id: RefundId,
    /// The order.
    pub order_id: OrderId,
    /// `refunded` or `partiallyRefunded`, or `refundPending` while the provider's answer is unknown.
    pub state: OrderState,
    /// What goes back.
    pub amount: Won,
}
