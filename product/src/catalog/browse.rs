//! What everybody sees of products, what only holders of a right see, and what other services ask for.

use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use common::auth::Caller;
use common::http::extract::Path;
use common::http::problem::Failure;
use common::wire::id::ProductId;
use common::wire::product::ProductSnapshot;
use common::wire::token::Role;
use http::{HeaderName, HeaderValue, header};

use super::store;
use crate::app::{App, acts_for};
use crate::error::Error;
use crate::etag::tag;

const JSON: (HeaderName, HeaderValue) = (header::CONTENT_TYPE, HeaderValue::from_static("application/json"));

/// `GET /api/products/{id}/summary`: anyone, before the queue.
///
/// # Errors
/// `unknown-product`.
pub async fn summarise(State(app): State<App>, Path(product): Path<ProductId>) -> Result<Response, Failure> {
    let now = app.clock.now();
    let page = app.pages.get(&app.pg, product, now).await?;
    if page.product.fields.draft {
        return Err(Error::UnknownProduct.into());
    }
    Ok(([JSON], page.summary(now)).into_response())
}

/// `GET /api/products/{id}`: whoever was let in; its owner and ADMIN without, drafts too. Its stock figure is at most a
/// second old.
///
/// # Errors
/// `access-token-required`, `unknown-product`.
pub async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(product): Path<ProductId>,
) -> Result<Response, Failure> {
    let now = app.clock.now();
    let page = app.pages.get(&app.pg, product, now).await?;
    let is_own = acts_for(&caller, page.product.seller_id);
    if page.product.fields.draft && !is_own {
        return Err(Error::UnknownProduct.into());
    }
    if caller.right(product).is_none() && !is_own {
        return Err(Error::AccessTokenRequired.into());
    }
    Ok(([JSON, (header::ETAG, tag(page.product.version))], page.view(now)).into_response())
}

/// `GET /internal/products/{id}/snapshot`: other services, withdrawn products too, drafts not.
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
    let found = store::find(&mut db, product).await?.filter(|found| !found.fields.draft);
    let found = found.ok_or(Error::UnknownProduct)?;
    Ok(axum::Json(found.snapshot()))
}
