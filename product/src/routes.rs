//! Every URL of the service.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post, put};

use crate::app::App;
use crate::{catalog, category, company, image, import, like, search, seller, stock};

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
        .route("/api/categories", get(category::http::list).post(category::http::register)) // anyone; ADMIN
        .route("/api/categories/{code}", put(category::http::change).delete(category::http::withdraw)) // ADMIN
        .route("/api/products", post(catalog::http::register).get(search::http::list)) // SELLER, ADMIN; anyone
        .route(
            "/api/products/import", // SELLER who owns the company, ADMIN
            post(import::http::start).layer(DefaultBodyLimit::max(import::http::BODY_MAX_BYTES)),
        )
        .route("/api/products/import/{id}", get(import::http::show)) // owner, ADMIN
        .route("/api/products/popular", get(like::popular::popular)) // anyone
        .route(
            "/api/products/{id}/like",
            post(like::http::like).delete(like::http::unlike).get(like::http::show), // logged in
        )
        .route("/api/products/{id}/summary", get(catalog::browse::summarise)) // anyone
        .route(
            "/api/products/{id}",
            put(catalog::http::change) // owner, ADMIN
                .delete(catalog::http::withdraw) // owner, ADMIN
                .get(catalog::browse::show), // holders of a right; owner, ADMIN
        )
        .route("/api/products/{id}/stock", post(stock::http::adjust)) // owner, ADMIN
        .route(
            "/api/images", // SELLER, ADMIN
            post(image::http::upload).layer(DefaultBodyLimit::max(image::picture::UPLOAD_MAX_BYTES)),
        )
        .route("/images/{key}", get(image::http::show)) // anyone
        .route("/internal/products/{id}/snapshot", get(catalog::browse::snapshot)) // SERVICE
        .route("/api/seller/products", get(seller::http::products)) // SELLER, ADMIN: own ones
        .route("/api/seller/products/{id}/sale", get(seller::http::sale)) // owner, ADMIN
        .route("/api/seller/products/{id}/sale/live", get(seller::http::watch)) // owner, ADMIN
        .route("/api/seller/products/{id}/sale/results.csv", get(seller::http::results)) // owner, ADMIN
        .with_state(app)
}
