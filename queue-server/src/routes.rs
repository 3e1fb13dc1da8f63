//! Every URL of the service.

use axum::Router;
use axum::routing::{get, post, put};

use crate::app::App;
use crate::room::http;

pub(crate) fn routes(app: App) -> Router {
    let place = get(http::show).post(http::join).delete(http::leave);
    let schedule = put(http::start).delete(http::stop);
    Router::new()
        .route("/api/queue/{product}", place) // shopper
        .route("/api/queue/{product}/token", post(http::token)) // shopper who was let in
        .route("/api/queue/{product}/admissions", post(http::admit)) // ADMIN, MANAGER
        .route("/api/queue/{product}/schedule", schedule) // owner of the product, ADMIN, MANAGER
        .route("/.well-known/jwks.json", get(http::keys)) // anyone
        .with_state(app)
}
