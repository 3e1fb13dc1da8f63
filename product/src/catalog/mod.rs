//! The catalogue: products with their options, and the categories they are in.
//!
//! - [`rules`]: which fields a product may have, and which of them a running sale may change.
//! - [`store`]: SQL. [`http`]: what sellers do. [`browse`]: what everybody sees.

pub mod browse;
pub mod http;
pub mod rules;
pub mod store;

use common::wire::Time;
use common::wire::event::Terms;
use common::wire::id::{CompanyId, ProductId, UserId};
use common::wire::money::Won;
use common::wire::product::{OptionView, ProductSnapshot, ProductSummary, ProductView, QueuePolicy};
use garde::Validate;
use serde::Deserialize;

use crate::sale;

/// What a seller says of a product.
///
/// `companyId` and `stock` belong to the registration alone. What has a default at registration keeps its value when
/// a change does not name it.
#[derive(Debug, Clone, Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct Wish {
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
    /// A seeded category.
    pub category_code: i32,
    /// May be in the past: then the sale is open at once.
    pub sale_start_time: Time,
    /// In the future, after the start.
    pub sale_end_time: Time,
    /// Units per shopper, 1 to 100; 1 by default.
    pub purchase_limit: Option<i64>,
    /// Keys of at most 10 pictures.
    pub images: Option<Vec<String>>,
    /// How the room lets people in.
    pub queue: Option<QueuePolicy>,
}

/// An option as a seller names it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct OptionWish {
    /// What is chosen, 1 to 20 characters.
    pub option_name: String,
    /// The choice, 1 to 100 characters.
    pub option_value: String,
    /// Added to the price; may be negative.
    pub option_price: Won,
}

/// The fields of a product that its seller sets, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Fields {
    /// Its name.
    pub product_name: String,
    /// What it is.
    pub description: String,
    /// Price before the discount.
    pub original_price: Won,
    /// Price of a unit without options.
    pub discounted_price: Won,
    /// Its options.
    pub options: Vec<OptionWish>,
    /// Its category.
    pub category_code: i32,
    /// First moment of the sale.
    pub sale_start_time: Time,
    /// First moment after it.
    pub sale_end_time: Time,
    /// Units per shopper.
    pub purchase_limit: u32,
    /// Keys of its pictures.
    pub images: Vec<String>,
    /// How its room lets people in.
    pub queue: QueuePolicy,
}

/// A product as stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Product {
    /// The product.
    pub product_id: ProductId,
    /// Its company.
    pub company_id: CompanyId,
    /// The company's name.
    pub company_name: String,
    /// The company's owner.
    pub seller_id: UserId,
    /// What its seller set.
    pub fields: Fields,
    /// Its options with their ids.
    pub options: Vec<OptionView>,
    /// Units at registration.
    pub initial_stock: i64,
    /// Units that can be ordered now.
    pub available: i64,
    /// Rises with every change.
    pub version: i64,
    /// Rises with every change of a price.
    pub price_version: i64,
    /// When it was registered.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
    /// By whom.
    pub updated_by: UserId,
    /// When it was withdrawn.
    pub deleted_at: Option<Time>,
}

impl Product {
    /// What everybody may see.
    #[must_use]
    pub fn summary(&self, now: Time) -> ProductSummary {
        let Fields { sale_start_time, sale_end_time, .. } = self.fields;
        ProductSummary {
            product_id: self.product_id,
            company_id: self.company_id,
            company_name: self.company_name.clone(),
            product_name: self.fields.product_name.clone(),
            original_price: self.fields.original_price,
            discounted_price: self.fields.discounted_price,
            category_code: self.fields.category_code,
            images: self.fields.images.clone(),
            sale_start_time,
            sale_end_time,
            state: sale::rules::state(now, sale_start_time, sale_end_time, self.available),
        }
    }

    /// The product page.
    #[must_use]
    pub fn view(&self, now: Time) -> ProductView {
        ProductView {
            summary: self.summary(now),
            description: self.fields.description.clone(),
            product_options: self.options.clone(),
            stock: self.available,
            purchase_limit: self.fields.purchase_limit,
            queue: self.fields.queue.clone(),
            created_at: self.created_at,
            updated_at: self.updated_at,
        }
    }

    /// What other services keep of it.
    #[must_use]
    pub fn snapshot(&self) -> ProductSnapshot {
        ProductSnapshot {
            product_id: self.product_id,
            version: self.version,
            price_version: self.price_version,
            company_id: self.company_id,
            seller_id: self.seller_id,
            product_name: self.fields.product_name.clone(),
            original_price: self.fields.original_price,
            discounted_price: self.fields.discounted_price,
            product_options: self.options.clone(),
            sale_start_time: self.fields.sale_start_time,
            sale_end_time: self.fields.sale_end_time,
            purchase_limit: self.fields.purchase_limit,
            queue: self.fields.queue.clone(),
            deleted: self.deleted_at.is_some(),
            changed_by: self.updated_by,
        }
    }

    /// What the stock stage measures reserves against. A withdrawn product's sale closes when it was withdrawn.
    #[must_use]
    pub fn terms(&self) -> Terms {
        let end = self.fields.sale_end_time;
        Terms {
            product_id: self.product_id,
            version: self.version,
            price_version: self.price_version,
            purchase_limit: self.fields.purchase_limit,
            opens_at: self.fields.sale_start_time,
            closes_at: self.deleted_at.map_or(end, |at| at.min(end)),
            stock: self.initial_stock,
            by: self.updated_by,
        }
    }
}
