//! Every URL of the service.

use axum::Router;
use axum::routing::{get, post};

use crate::app::App;
use crate::{account, notice, session, subscription};

pub(crate) fn routes(app: App) -> Router {
    Router::new()
        .route("/api/auth/signup", post(account::http::sign_up)) // anyone
        .route("/api/auth/login", post(session::http::log_in)) // anyone
        .route("/api/auth/logout", post(session::http::log_out)) // anyone
        .route("/login", post(session::http::log_in_by_form)) // anyone, from a page without a script
        .route("/api/users/me", get(account::http::me)) // self
        .route("/.well-known/jwks.json", get(session::http::keys)) // anyone
        .route(
            "/api/products/{id}/subscription",
            post(subscription::http::subscribe)
                .delete(subscription::http::unsubscribe)
                .get(subscription::http::show), // self
        )
        .route("/api/subscriptions", get(subscription::http::list)) // self
        .route("/api/notifications", get(notice::http::list)) // self
        .route("/api/notifications/live", get(notice::live::live)) // self
        .route("/api/notifications/read", post(notice::http::read)) // self
        .with_state(app)
}
