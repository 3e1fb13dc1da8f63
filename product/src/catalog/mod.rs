//! The catalogue: products with their options.
//!
//! - [`rules`]: which fields a product may have, and which of them a running sale may change.
//! - [`store`]: SQL. [`http`]: what sellers do. [`browse`]: what everybody sees.
//! - [`pages`]: product pages of the last second.

pub mod browse;
pub mod http;
pub mod pages;
pub mod rules;
pub mod store;

pub use common::wire::catalog::{OptionWish, ProductWish as Wish};

use common::wire::Time;
use common::wire::event::Terms;
use common::wire::id::{CompanyId, ProductId, UserId};
use common::wire::money::Won;
use common::wire::product::{
    OptionView, ProductSnapshot, ProductSummary, ProductView, QueuePolicy, SaleState,
};

use crate::sale;

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
    /// IANA zone in which the window was entered.
    pub sale_zone: Option<String>,
    /// Not published yet.
    pub draft: bool,
    /// Units per shopper.
    pub purchase_limit: u32,
    /// Keys of its pictures.
    pub images: Vec<String>,
    /// How its room lets people in.
    pub queue: QueuePolicy,
}

impl Fields {
    /// Where a sale with this window stands at `now`, with so many units available.
    #[must_use]
    pub fn state(&self, now: Time, available: i64) -> SaleState {
        if self.draft {
            return SaleState::Draft;
        }
        sale::rules::state(now, self.sale_start_time, self.sale_end_time, available)
    }

    /// When the clock will change that state next.
    #[must_use]
    pub fn turns_at(&self, now: Time) -> Option<Time> {
        if self.draft {
            return None;
        }
        sale::rules::turn(now, self.sale_start_time, self.sale_end_time)
    }
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
    /// Rises with every change: the product's entity tag.
    pub version: i64,
    /// The state that was told last.
    pub told: SaleState,
    /// Rises with every state that is told.
    pub state_version: i64,
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
    /// Where its sale stands.
    #[must_use]
    pub fn state(&self, now: Time) -> SaleState {
        self.fields.state(now, self.available)
    }

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
            state: self.state(now),
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
            sale_zone: self.fields.sale_zone.clone(),
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
            state: Some(self.told),
            state_version: self.state_version,
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
