//! What sellers do with products: register, change, withdraw.

use axum::extract::State;
use common::auth::Caller;
use common::http::extract::{Json, Path};
use common::wire::id::ProductId;
use common::wire::product::ProductView;
use http::StatusCode;
use sqlx::PgConnection;

use super::store::Stamp;
use super::{Product, Wish, pages, rules, store};
use crate::app::{App, must_act_for, must_sell};
use crate::error::Error;
use crate::etag::{IfMatch, Tagged};
use crate::sale::announce::announce;
use crate::{category, company, image, search};

/// `POST /api/products` → 201 with the product page: a SELLER who owns the company, ADMIN.
///
/// # Errors
/// `validation-failed`, `forbidden`, `unknown-company`, `unknown-category`.
pub async fn register(
    State(app): State<App>,
    caller: Caller,
    Json(wish): Json<Wish>,
) -> Result<(StatusCode, Tagged<ProductView>), Error> {
    must_sell(&caller)?;
    let stamp = Stamp { by: caller.user, at: app.clock.now() };
    let new = rules::registration(wish, stamp.at)?;
    let mut tx = app.pg.begin().await?;
    let company = company::store::hold(&mut tx, new.company_id).await?.ok_or(Error::UnknownCompany)?;
    must_act_for(&caller, company.user_id)?;
    category::store::hold(&mut tx, new.fields.category_code).await?;
    image::store::want(&mut tx, &new.fields.images, &[], stamp.at).await?;
    let product = store::insert(&mut tx, &new, stamp).await?;
    search::store::learn(&mut tx, &[product.0]).await?;
    let product = told(&mut tx, product, stamp).await?;
    tx.commit().await?;
    app.nudge.now();
    Ok((StatusCode::CREATED, Tagged { version: product.version, body: product.view(stamp.at) }))
}

/// `PUT /api/products/{id}`: its owner, ADMIN. Before the sale's start everything but the company and the stock;
/// after it the end, the texts and the room. A draft changes as a whole; `draft: false` publishes it.
///
/// # Errors
/// `validation-failed`, `forbidden`, `unknown-product`, `unknown-category`, `sale-started`, `outdated`.
pub async fn change(
    State(app): State<App>,
    caller: Caller,
    Path(product): Path<ProductId>,
    seen: IfMatch,
    Json(wish): Json<Wish>,
) -> Result<Tagged<ProductView>, Error> {
    must_sell(&caller)?;
    let stamp = Stamp { by: caller.user, at: app.clock.now() };
    let mut tx = app.pg.begin().await?;
    let was = store::lock(&mut tx, product).await?;
    must_act_for(&caller, was.seller_id)?;
    seen.check(was.version)?;
    let change = rules::change(wish, &was.fields, stamp.at)?;
    if change.fields.category_code != was.fields.category_code {
        category::store::hold(&mut tx, change.fields.category_code).await?;
    }
    image::store::want(&mut tx, &change.fields.images, &was.fields.images, stamp.at).await?;
    store::update(&mut tx, &was, &change, stamp).await?;
    search::store::learn(&mut tx, &[product.0]).await?;
    let product = told(&mut tx, product, stamp).await?;
    pages::changed(&mut tx, product.product_id).await?;
    tx.commit().await?;
    app.pages.drop(product.product_id).await;
    app.nudge.now();
    Ok(Tagged { version: product.version, body: product.view(stamp.at) })
}

/// `DELETE /api/products/{id}` → 204: its owner, ADMIN. The sale closes now; orders that hold units are still paid.
///
/// # Errors
/// `forbidden`, `unknown-product`, `outdated`.
pub async fn withdraw(
    State(app): State<App>,
    caller: Caller,
    Path(product): Path<ProductId>,
    seen: IfMatch,
) -> Result<StatusCode, Error> {
    must_sell(&caller)?;
    let stamp = Stamp { by: caller.user, at: app.clock.now() };
    let mut tx = app.pg.begin().await?;
    let was = store::lock(&mut tx, product).await?;
    must_act_for(&caller, was.seller_id)?;
    seen.check(was.version)?;
    store::withdraw(&mut tx, product, stamp).await?;
    told(&mut tx, product, stamp).await?;
    pages::changed(&mut tx, product).await?;
    tx.commit().await?;
    app.pages.drop(product).await;
    app.nudge.now();
    Ok(StatusCode::NO_CONTENT)
}

/// The product as the transaction leaves it, announced.
async fn told(tx: &mut PgConnection, product: ProductId, stamp: Stamp) -> Result<Product, Error> {
    let product = store::find(tx, product).await?.ok_or(Error::UnknownProduct)?;
    announce(tx, [&product], stamp.at).await?;
    Ok(product)
}
