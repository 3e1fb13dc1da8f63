//! Every URL of the service.

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post, put};

use crate::app::App;
use crate::room::{http, operate};
use crate::{limits, live, plain};

pub(crate) fn routes(app: App) -> Router {
    let joins = from_fn_with_state(app.clone(), limits::join);
    let polls = from_fn_with_state(app.clone(), limits::poll);
    let place = get(live::http::show).delete(http::leave).route_layer(polls.clone());
    let place = place.merge(post(http::join).route_layer(joins));
    let page = from_fn_with_state(app.clone(), limits::page);
    let schedule = put(http::start).delete(http::stop);
    Router::new()
        .route("/api/queue/{product}", place) // shopper
        .route("/api/queue/{product}/live", get(live::http::live).route_layer(polls.clone())) // shopper
        .route("/api/queue/{product}/token", post(http::token).route_layer(polls)) // shopper who was let in
        .route("/api/queue/{product}/admissions", post(http::admit)) // ADMIN, MANAGER
        .route("/api/queue/{product}/schedule", schedule) // owner of the product, ADMIN, MANAGER
        .route("/api/queue/{product}/waiting", get(operate::waiting)) // these too
        .route("/api/queue/{product}/stats", get(operate::stats))
        .route("/api/queue/{product}/admitted", get(operate::admitted))
        .route("/api/queue/{product}/hold", post(operate::hold))
        .route("/api/queue/{product}/resume", post(operate::resume))
        .route("/api/queue/{product}/message", post(operate::message))
        .route("/api/queue/{product}/capacity", put(operate::capacity))
        .route("/api/queue/{product}/revoke", post(operate::revoke))
        .route("/api/queue", get(operate::rooms)) // ADMIN, MANAGER
        .route("/api/queue/{product}/draw", get(operate::draw)) // anyone
        .route("/queue/{product}/plain", get(plain::show).post(plain::act).route_layer(page)) // anyone
        .route("/.well-known/jwks.json", get(http::keys)) // anyone
        .with_state(app)
}
