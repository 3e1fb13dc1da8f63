//! Liking a product.

use axum::extract::State;
use common::auth::Caller;
use common::http::extract::Path;
use common::wire::id::ProductId;
use common::wire::product::LikeView;

use super::counts::Wish;
use super::store;
use crate::app::App;
use crate::error::Error;

/// `POST /api/products/{id}/like` → 200; twice is once.
///
/// # Errors
/// 404 `unknown-product`, 503 `store-unavailable`.
pub async fn like(
    State(app): State<App>,
    caller: Caller,
    Path(product): Path<ProductId>,
) -> Result<axum::Json<LikeView>, Error> {
    wish(&app, &caller, product, Wish::Like).await
}

/// `DELETE /api/products/{id}/like` → 200, also where there was none.
///
/// # Errors
/// As [`like`].
pub async fn unlike(
    State(app): State<App>,
    caller: Caller,
    Path(product): Path<ProductId>,
) -> Result<axum::Json<LikeView>, Error> {
    wish(&app, &caller, product, Wish::Unlike).await
}

/// `GET /api/products/{id}/like` → 200.
///
/// # Errors
/// As [`like`].
pub async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(product): Path<ProductId>,
) -> Result<axum::Json<LikeView>, Error> {
    wish(&app, &caller, product, Wish::Ask).await
}

async fn wish(
    app: &App,
    caller: &Caller,
    product: ProductId,
    wish: Wish,
) -> Result<axum::Json<LikeView>, Error> {
    let view = |(likes, liked)| axum::Json(LikeView { product_id: product, liked, likes });
    if let Some(found) = app.likes.wish(product, caller.user, wish).await.map_err(Error::LikesUnavailable)? {
        return Ok(view(found));
    }
    let likers = store::likers(&app.pg, product).await?.ok_or(Error::UnknownProduct)?;
    let found = app.likes.load_and_wish(product, likers, caller.user, wish).await;
    found.map(view).map_err(Error::LikesUnavailable)
}
