//! What sellers do with products: register, change, withdraw.

use axum::extract::State;
use common::auth::Caller;
use common::http::extract::{Json, Path};
use common::wire::id::ProductId;
use common::wire::product::ProductView;
use http::StatusCode;
use sqlx::PgConnection;

use super::store::Stamp;
use super::{Product, Wish, rules, store};
use crate::app::{App, must_act_for, must_sell};
use crate::company;
use crate::error::Error;
use crate::sale::announce::announce;

/// `POST /api/products` → 201 with the product page: a SELLER who owns the company, ADMIN.
///
/// # Errors
/// `validation-failed`, `forbidden`, `unknown-company`, `unknown-category`.
pub async fn register(
    State(app): State<App>,
    caller: Caller,
    Json(wish): Json<Wish>,
) -> Result<(StatusCode, axum::Json<ProductView>), Error> {
    must_sell(&caller)?;
    let stamp = Stamp { by: caller.user, at: app.clock.now() };
    let new = rules::registration(wish, stamp.at)?;
    let mut tx = app.pg.begin().await?;
    let company = company::store::hold(&mut tx, new.company_id).await?.ok_or(Error::UnknownCompany)?;
    must_act_for(&caller, company.user_id)?;
    let product = store::insert(&mut tx, &new, stamp).await?;
    let product = told(&mut tx, product, stamp).await?;
    tx.commit().await?;
    app.nudge.now();
    Ok((StatusCode::CREATED, axum::Json(product.view(stamp.at))))
}

/// `PUT /api/products/{id}`: its owner, ADMIN. Before the sale's start everything but the company and the stock;
/// after it the end, the texts and the room.
///
/// # Errors
/// `validation-failed`, `forbidden`, `unknown-product`, `unknown-category`, `sale-started`.
pub async fn change(
    State(app): State<App>,
    caller: Caller,
    Path(product): Path<ProductId>,
    Json(wish): Json<Wish>,
) -> Result<axum::Json<ProductView>, Error> {
    must_sell(&caller)?;
    let stamp = Stamp { by: caller.user, at: app.clock.now() };
    let mut tx = app.pg.begin().await?;
    let was = store::lock(&mut tx, product).await?;
    must_act_for(&caller, was.seller_id)?;
    let change = rules::change(wish, &was.fields, stamp.at)?;
    store::update(&mut tx, product, &change, stamp).await?;
    let product = told(&mut tx, product, stamp).await?;
    tx.commit().await?;
    app.nudge.now();
    Ok(axum::Json(product.view(stamp.at)))
}

/// `DELETE /api/products/{id}` → 204: its owner, ADMIN. The sale closes now; orders that hold units are still paid.
///
/// # Errors
/// `forbidden`, `unknown-product`.
pub async fn withdraw(
    State(app): State<App>,
    caller: Caller,
    Path(product): Path<ProductId>,
) -> Result<StatusCode, Error> {
    must_sell(&caller)?;
    let stamp = Stamp { by: caller.user, at: app.clock.now() };
    let mut tx = app.pg.begin().await?;
    let was = store::lock(&mut tx, product).await?;
    must_act_for(&caller, was.seller_id)?;
    store::withdraw(&mut tx, product, stamp).await?;
    told(&mut tx, product, stamp).await?;
    tx.commit().await?;
    app.nudge.now();
    Ok(StatusCode::NO_CONTENT)
}

/// The product as the transaction leaves it, announced.
async fn told(tx: &mut PgConnection, product: ProductId, stamp: Stamp) -> Result<Product, Error> {
    let product = store::find(tx, product).await?.ok_or(Error::UnknownProduct)?;
    announce(tx, &product, stamp.at).await?;
    Ok(product)
}
