//! Every URL of the service.

use axum::Router;
use axum::routing::{get, post};

use crate::app::App;
use crate::{order, payment, refund};

/// The service's API.
pub fn routes(app: App) -> Router {
    Router::new()
        // Buyer with an access token per product, idempotent; the owner's list.
        .route("/api/orders", post(order::http::place).get(order::http::list))
        // Owner, ADMIN.
        .route("/api/orders/{id}", get(order::http::show))
        // Owner, ADMIN; an event stream.
        .route("/api/orders/{id}/live", get(order::live::live))
        // Owner, idempotent.
        .route("/api/orders/{id}/cancel", post(order::http::cancel))
        // Owner; idempotent once it carries a payment.
        .route("/api/orders/{id}/payment", post(payment::http::pay))
        // Owner, ADMIN, idempotent.
        .route("/api/orders/{id}/refunds", post(refund::http::ask))
        // The provider; nothing in it is believed.
        .route("/api/payments/webhooks/{provider}", post(payment::webhook::receive))
        .with_state(app)
}
