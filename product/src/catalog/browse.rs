//! What everybody sees of products, what only holders of a right see, and what other services ask for.

use axum::extract::State;
use common::auth::Caller;
use common::http::extract::{Path, Query};
use common::wire::Time;
use common::wire::id::{CompanyId, ProductId};
use common::wire::product::{CategoryView, ProductSnapshot, ProductSummary, ProductView};
use common::wire::token::Role;
use garde::Validate;
use serde::Deserialize;

use super::Product;
use super::store::{self, Listed};
use crate::app::{App, acts_for};
use crate::error::Error;
use crate::field::Report;
use crate::page::{Listing, Page};
use crate::sale;

/// The orders of the list; the first is the default.
const SORTS: [&str; 8] = [
    "createdAt,desc",
    "createdAt",
    "updatedAt,desc",
    "updatedAt",
    "saleStartTime,desc",
    "saleStartTime",
    "discountedPrice,desc",
    "discountedPrice",
];

/// `GET /api/categories`.
///
/// # Errors
/// Only inner ones.
pub async fn categories(State(app): State<App>) -> Result<axum::Json<Vec<CategoryView>>, Error> {
    let mut db = app.pg.acquire().await?;
    Ok(axum::Json(store::categories(&mut db).await?))
}

/// What to list.
#[derive(Debug, Deserialize, Validate)]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
pub struct Filter {
    page: Option<i64>,
    size: Option<i64>,
    sort: Option<String>,
    company_id: Option<CompanyId>,
    category_code: Option<i32>,
    product_name: Option<String>,
}

/// `GET /api/products?page=&size=&sort=&companyId=&categoryCode=&productName=`: public summaries.
///
/// # Errors
/// `validation-failed`.
pub async fn list(
    State(app): State<App>,
    Query(asked): Query<Filter>,
) -> Result<axum::Json<Listing<ProductSummary>>, Error> {
    let mut report = Report::default();
    let page = Page::read(asked.page, asked.size, &mut report);
    let sort = asked.sort.as_deref().unwrap_or(SORTS[0]);
    report.require(SORTS.contains(&sort), "sort", format!("one of {}", SORTS.join(" ")));
    report.text("productName", asked.product_name.as_deref().unwrap_or_default(), 0..=50);
    report.verdict()?;
    let name = asked.product_name.as_deref();
    let filter = store::Filter { company: asked.company_id, category: asked.category_code, name, sort };
    let mut db = app.pg.acquire().await?;
    let (items, total) = store::page(&mut db, &filter, page.limit(), page.offset()).await?;
    let now = app.clock.now();
    Ok(axum::Json(Listing { items: items.into_iter().map(|row| summary(row, now)).collect(), total }))
}

fn summary(row: Listed, now: Time) -> ProductSummary {
    ProductSummary {
        product_id: row.product_id,
        company_id: row.company_id,
        company_name: row.company_name,
        product_name: row.product_name,
        original_price: row.original_price,
        discounted_price: row.discounted_price,
        category_code: row.category_code,
        images: row.images,
        sale_start_time: row.sale_start_time,
        sale_end_time: row.sale_end_time,
        state: sale::rules::state(now, row.sale_start_time, row.sale_end_time, row.available),
    }
}

async fn for_sale(app: &App, product: ProductId) -> Result<Product, Error> {
    let mut db = app.pg.acquire().await?;
    let found = store::find(&mut db, product).await?;
    found.filter(|product| product.deleted_at.is_none()).ok_or(Error::UnknownProduct)
}

/// `GET /api/products/{id}/summary`: anyone, before the queue.
///
/// # Errors
/// `unknown-product`.
pub async fn summarise(
    State(app): State<App>,
    Path(product): Path<ProductId>,
) -> Result<axum::Json<ProductSummary>, Error> {
    Ok(axum::Json(for_sale(&app, product).await?.summary(app.clock.now())))
}

/// `GET /api/products/{id}`: whoever was let in; its owner and ADMIN without.
///
/// # Errors
/// `access-token-required`, `unknown-product`.
pub async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(product): Path<ProductId>,
) -> Result<axum::Json<ProductView>, Error> {
    let product = for_sale(&app, product).await?;
    if caller.right(product.product_id).is_none() && !acts_for(&caller, product.seller_id) {
        return Err(Error::AccessTokenRequired);
    }
    Ok(axum::Json(product.view(app.clock.now())))
}

/// `GET /internal/products/{id}/snapshot`: other services, withdrawn products too.
///
/// # Errors
/// `forbidden`, `unknown-product`.
pub async fn snapshot(
    State(app): State<App>,
    caller: Caller,
    Path(product): Path<ProductId>,
) -> Result<axum::Json<ProductSnapshot>, Error> {
    if caller.role != Role::Service {
        return Err(Error::Forbidden);
    }
    let mut db = app.pg.acquire().await?;
    let found = store::find(&mut db, product).await?.ok_or(Error::UnknownProduct)?;
    Ok(axum::Json(found.snapshot()))
}
