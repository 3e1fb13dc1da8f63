//! Every URL of the service.

use axum::Router;
use axum::routing::{delete, get, patch, post};

use crate::app::App;
use crate::{account, notice, session, subscription};

pub(crate) fn routes(app: App) -> Router {
    Router::new()
        .route("/api/auth/signup", post(account::http::sign_up)) // anyone
        .route("/api/auth/login", post(session::http::log_in)) // anyone
        .route("/api/auth/refresh", post(session::http::refresh)) // holder of a refresh token
        .route("/api/auth/refresh", get(session::http::refresh_for_page)) // the same, a page without a script
        .route("/api/auth/logout", post(session::http::log_out)) // anyone
        .route("/api/auth/sessions", get(session::http::sessions)) // self
        .route("/api/auth/sessions/{sid}", delete(session::http::log_out_one)) // self
        .route("/api/auth/password", post(session::http::change_password)) // self
        .route("/login", post(session::http::log_in_by_form)) // anyone, from a page without a script
        .route("/api/users/me", get(account::http::me)) // self
        .route("/api/users/me", patch(account::http::change_me)) // self
        .route("/api/users/me", delete(account::http::delete_me)) // self
        .route("/api/users", get(account::admin::list)) // ADMIN
        .route("/api/users/{id}", get(account::admin::show)) // ADMIN
        .route("/api/users/{id}", patch(account::admin::change)) // ADMIN
        .route("/api/users/{id}", delete(account::admin::delete)) // ADMIN
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
