//! Every URL of the service.

use axum::Router;
use axum::routing::{get, post, put};

use crate::app::App;
use crate::{catalog, company, stock};

/// The API. Who may call what stands beside each route.
pub fn routes(app: App) -> Router {
    Router::new()
        .route("/api/companies", post(company::http::register).get(company::http::list)) // SELLER, ADMIN; anyone
        .route(
            "/api/companies/{id}",
            get(company::http::show) // anyone
                .put(company::http::change) // owner, ADMIN
                .delete(company::http::withdraw), // owner, ADMIN
        )
        .route("/api/categories", get(catalog::browse::categories)) // anyone
        .route("/api/products", post(catalog::http::register).get(catalog::browse::list)) // SELLER, ADMIN; anyone
        .route("/api/products/{id}/summary", get(catalog::browse::summarise)) // anyone
        .route(
            "/api/products/{id}",
            put(catalog::http::change) // owner, ADMIN
                .delete(catalog::http::withdraw) // owner, ADMIN
                .get(catalog::browse::show), // holders of a right; owner, ADMIN
        )
        .route("/api/products/{id}/stock", post(stock::http::adjust)) // owner, ADMIN
        .route("/internal/products/{id}/snapshot", get(catalog::browse::snapshot)) // SERVICE
        .with_state(app)
}
