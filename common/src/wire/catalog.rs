//! What sellers ask of the product service, and what it lists.

use garde::Validate;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Time;
use super::id::{CompanyId, ProductId};
use super::money::Won;
use super::problem::FieldError;
use super::product::{ProductSummary, QueuePolicy, SaleState};

/// What a seller says of a product.
///
/// `companyId` belongs to the registration alone, `stock` to the time before the product is published. What has a
/// default at registration keeps its value when a change does not name it.
#[derive(Debug, Clone, Deserialize, Validate)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct ProductWish {
    /// The seller's company.
    pub company_id: Option<CompanyId>,
    /// 1 to 50 characters.
    pub product_name: String,
    /// At most 1,000 characters.
    pub description: Option<String>,
    /// Price before the discount.
    pub original_price: Won,
    /// Price of a unit without options.
    pub discounted_price: Won,
    /// Units, 0 to 10,000,000.
    pub stock: Option<i64>,
    /// At most 50.
    pub product_options: Option<Vec<OptionWish>>,
    /// A category.
    pub category_code: i32,
    /// May be in the past: then the sale is open at once. RFC 3339, or a local time of `saleZone` without offset.
    pub sale_start_time: String,
    /// In the future, after the start.
    pub sale_end_time: String,
    /// The IANA zone of local times: `Asia/Seoul`.
    pub sale_zone: Option<String>,
    /// Not published yet; false by default, and once false always.
    pub draft: Option<bool>,
    /// Units per shopper, 1 to 100; 1 by default.
    pub purchase_limit: Option<i64>,
    /// Keys of at most 10 pictures.
    pub images: Option<Vec<String>>,
    /// How the room lets people in.
    pub queue: Option<QueuePolicy>,
}

/// An option as a seller names it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OptionWish {
    /// What is chosen, 1 to 20 characters.
    pub option_name: String,
    /// The choice, 1 to 100 characters.
    pub option_value: String,
    /// Added to the price; may be negative.
    pub option_price: Won,
}

/// What ADMIN says of a category. A change replaces all of it.
#[derive(Debug, Clone, Deserialize, Validate)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct CategoryWish {
    /// 1 to 999,999,999; at registration alone.
    pub category_code: Option<i32>,
    /// 1 to 20 characters, of no other category.
    pub category_name: String,
    /// The category that it belongs to; none at the top.
    pub parent_code: Option<i32>,
}

/// What a seller says of a company. A change replaces all of it.
#[derive(Debug, Clone, Deserialize, Validate)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct CompanyWish {
    /// 1 to 20 characters.
    pub company_name: String,
    /// At most 1,000 characters.
    #[serde(default)]
    pub description: String,
    /// At most 255 characters.
    #[serde(default)]
    pub address: String,
}

/// Units to add, or to take.
#[derive(Debug, Deserialize, Validate)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct StockWish {
    /// Positive adds, negative takes; not 0.
    pub delta: i64,
}

/// The adjustment on its way.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AdjustmentView {
    /// The adjustment.
    pub adjustment_id: Uuid,
    /// The product.
    pub product_id: ProductId,
    /// Units that it adds.
    pub delta: i64,
}

/// A row that became no product.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct RowRejection {
    /// Its number, from 1, without the head of a file.
    pub row: i64,
    /// What its seller calls it, where it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// The rules that it breaks.
    pub errors: Vec<FieldError>,
}

/// Where an import stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub enum ImportState {
    /// Rows wait, or pages are to come.
    Running,
    /// Every row was dealt with.
    Done,
    /// Pages are missing; the rows that came were dealt with.
    Failed,
}

/// How far an import is.
#[derive(Debug, Clone, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct ImportView {
    /// The import.
    pub import_id: Uuid,
    /// For which company.
    pub company_id: CompanyId,
    /// Where it stands.
    pub state: ImportState,
    /// Rows that were read.
    pub read: i64,
    /// Rows that became products.
    pub stored: i64,
    /// Rows whose `externalId` the company had already.
    pub known: i64,
    /// Rows that became nothing.
    pub rejected: i64,
    /// The first 1,000 of these.
    pub rejections: Vec<RowRejection>,
    /// Why no further page came.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub failure: Option<String>,
    /// When it was asked for.
    pub created_at: Time,
    /// When the last row was dealt with.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<Time>,
}

/// Where rows come from.
#[derive(Debug, Deserialize, Validate)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct ImportWish {
    /// For which company.
    pub company_id: CompanyId,
    /// The first page, at a host that the operator allows.
    pub url: String,
}

/// `GET /api/products`.
#[derive(Debug, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SearchView {
    /// What was found, in the order asked for.
    pub items: Vec<ProductSummary>,
    /// How many there are, counted to 200; of pages alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<i64>,
    /// False where there are more than `total`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total_is_exact: Option<bool>,
    /// `cursor` of what comes next, where there is more.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
    /// The words that were taken for those asked for, of which nothing was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meant: Option<String>,
}

/// `GET /api/products/popular`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct PopularView {
    /// Those liked most first.
    pub items: Vec<Liked>,
}

/// A product and how many like it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Liked {
    /// How many.
    pub likes: i64,
    /// The product.
    #[serde(flatten)]
    pub product: ProductSummary,
}

/// Where a sale's units are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Units {
    /// Ever given to the sale.
    pub total: i64,
    /// Can be ordered.
    pub available: i64,
    /// Held by orders that are not paid.
    pub reserved: i64,
    /// Paid.
    pub sold: i64,
}

/// A product in its seller's list.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct OwnView {
    /// The product.
    pub product_id: ProductId,
    /// Its company.
    pub company_id: CompanyId,
    /// Its name.
    pub product_name: String,
    /// Price.
    pub discounted_price: Won,
    /// Where its sale stands; drafts are in the list.
    pub state: SaleState,
    /// Its units.
    pub units: Units,
    /// First moment of the sale.
    pub sale_start_time: Time,
    /// First moment after it.
    pub sale_end_time: Time,
    /// What it was imported as.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_id: Option<String>,
    /// When it was last changed.
    pub updated_at: Time,
}

/// A sale as it runs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SaleView {
    /// The product.
    pub product_id: ProductId,
    /// Where the sale stands.
    pub state: SaleState,
    /// Its units.
    pub units: Units,
    /// Tickets made.
    pub joined: i64,
    /// Admissions that began.
    pub let_in: i64,
    /// Of these, the share that ordered, 0 to 1; absent while nobody was let in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversion: Option<f64>,
    /// People in the line now; absent while queue-server does not answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waiting: Option<u64>,
    /// People inside now, and not ordered yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inside: Option<u64>,
}
