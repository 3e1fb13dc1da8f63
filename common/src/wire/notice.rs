//! Bodies of subscriptions and notices.

use garde::Validate;
use serde::{Deserialize, Serialize};

use super::Time;
use super::id::{OrderId, ProductId};
use super::list::Page;
use super::order::OrderState;

/// What somebody is told. A new kind is a new variant; clients pass over kinds that they do not know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Notice {
    /// A sale begins within five minutes.
    SaleOpensSoon {
        /// The product.
        product_id: ProductId,
        /// Its name.
        product_name: String,
        /// When the sale begins.
        sale_start_time: Time,
    },
    /// A sale has begun.
    SaleOpened {
        /// The product.
        product_id: ProductId,
        /// Its name.
        product_name: String,
        /// First moment after the sale.
        sale_end_time: Time,
    },
    /// A product that was sold out can be had again.
    BackInStock {
        /// The product.
        product_id: ProductId,
        /// Its name.
        product_name: String,
    },
    /// An order has reached a state that its buyer should know of.
    OrderChanged {
        /// The order.
        order_id: OrderId,
        /// The state.
        state: OrderState,
        /// Why.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
}

/// A notice in its reader's box.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct NoticeView {
    /// Later notices have higher ids.
    pub notice_id: i64,
    /// When it was put there.
    pub at: Time,
    /// Whether it was marked as read.
    pub read: bool,
    /// What it says.
    #[serde(flatten)]
    pub notice: Notice,
}

/// A box as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct BoxView {
    /// Notices that are not read; counted up to 1,000.
    pub unread: i64,
    /// Id of the newest notice.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<i64>,
}

/// What somebody asked to be told of a product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionView {
    /// The product.
    pub product_id: ProductId,
    /// Its name.
    pub product_name: String,
    /// When its sale begins.
    pub sale_start_time: Time,
    /// First moment after the sale.
    pub sale_end_time: Time,
    /// Since when; absent where nothing was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subscribed_at: Option<Time>,
}

/// A page of the box, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Notices {
    /// The notices.
    #[serde(flatten)]
    pub page: Page<NoticeView, i64>,
    /// Notices that are not read; counted up to 1,000.
    pub unread: i64,
}

/// Up to where the box was read: `POST /api/notifications/read`.
#[derive(Debug, Deserialize, Validate)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct MarkRead {
    /// A notice of the caller's: this one and all before it.
    #[garde(range(min = 1))]
    pub up_to: i64,
}
