//! Subscribing to products.

use axum::extract::State;
use common::auth::Caller;
use common::http::extract::{Path, Query};
use common::wire::id::ProductId;
use common::wire::list::Page;
use common::wire::notice::SubscriptionView;
use http::StatusCode;

use super::store;
use crate::app::App;
use crate::error::Error;
use crate::notice::sales::{self, Sale};
use crate::page::Asked;

/// `POST /api/products/{id}/subscription` → 201, or 200 where it was there; 404 `unknown-product`, 409 `sale-closed`,
/// `too-many-subscriptions`.
pub(crate) async fn subscribe(
    State(app): State<App>,
    caller: Caller,
    Path(product): Path<ProductId>,
) -> Result<(StatusCode, axum::Json<SubscriptionView>), Error> {
    let (sale, now) = (sales::find(&app, product).await?, app.clock.now());
    if sale.ends_at <= now {
        return Err(Error::SaleClosed);
    }
    let is_new = store::subscribe(&app.pg, caller.user, product, now).await?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, axum::Json(view(&app, &caller, sale).await?)))
}

/// `DELETE /api/products/{id}/subscription` → 204, also when repeated.
pub(crate) async fn unsubscribe(
    State(app): State<App>,
    caller: Caller,
    Path(product): Path<ProductId>,
) -> Result<StatusCode, Error> {
    store::unsubscribe(&app.pg, caller.user, product).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// `GET /api/products/{id}/subscription` → 200, without `subscribedAt` where there is none; 404 `unknown-product`.
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(product): Path<ProductId>,
) -> Result<axum::Json<SubscriptionView>, Error> {
    let sale = sales::find(&app, product).await?;
    Ok(axum::Json(view(&app, &caller, sale).await?))
}

/// `GET /api/subscriptions`: the caller's, those to the newest products first, without withdrawn ones.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Result<axum::Json<Page<SubscriptionView, i64>>, Error> {
    let rows = store::list(&app.pg, caller.user, asked.cursor, asked.rows()).await?;
    Ok(axum::Json(asked.page(rows, |subscription| subscription.product_id.0)))
}

async fn view(app: &App, caller: &Caller, sale: Sale) -> Result<SubscriptionView, Error> {
    Ok(SubscriptionView {
        product_id: sale.product,
        product_name: sale.name,
        sale_start_time: sale.starts_at,
        sale_end_time: sale.ends_at,
        subscribed_at: store::since(&app.pg, caller.user, sale.product).await?,
    })
}
