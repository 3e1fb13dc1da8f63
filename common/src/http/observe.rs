//! Around every handler: request id, one access-log line, figures, problem bodies; and beside the API the
//! operator's endpoints.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{DefaultBodyLimit, MatchedPath, Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::{HeaderValue, StatusCode, header};
use prometheus::Registry;

use super::problem::Failure;

/// Bodies larger than this are refused with 413, in bytes.
pub const BODY_MAX_BYTES: usize = 1 << 20;
/// Header of the request's id.
pub const REQUEST_ID: &str = "x-request-id";

crate::metrics! {
    /// What every service counts of its HTTP.
    pub struct HttpMetrics {
        /// Requests by route, method and status.
        requests_total: IntCounterVec["route", "method", "status"],
        /// Seconds from request to answer, by route.
        request_seconds: HistogramVec["route"],
        /// Requests that are being answered.
        in_flight: IntGauge,
    } namespace: "astraphe_http"
}

/// Whether a service can do its work; set by the service, read by `/readyz`.
#[derive(Debug, Clone, Default)]
pub struct Ready(Arc<AtomicBool>);

impl Ready {
    /// Says that the service can, or cannot, do its work.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Relaxed);
    }
}

/// Puts the API behind the body limit, ids, log and figures, and the operator's endpoints beside it.
///
/// # Errors
/// When the registry already holds the HTTP figures.
pub fn observed(api: Router, registry: &Registry, ready: &Ready) -> anyhow::Result<Router> {
    let metrics = HttpMetrics::register(registry)?;
    let api = api
        .fallback(no_such_route)
        .method_not_allowed_fallback(method_not_allowed)
        .layer(DefaultBodyLimit::max(BODY_MAX_BYTES))
        .layer(middleware::from_fn_with_state(metrics, around));
    Ok(api.merge(operations(registry, ready)))
}

/// `/livez`, `/readyz` and `/metrics`.
pub fn operations(registry: &Registry, ready: &Ready) -> Router {
    let (registry, ready) = (registry.clone(), ready.clone());
    Router::new()
        .route("/livez", get(|| async { "ok\n" }))
        .route(
            "/readyz",
            get(move || async move {
                if ready.0.load(Ordering::Relaxed) {
                    (StatusCode::OK, "ready\n")
                } else {
                    (StatusCode::SERVICE_UNAVAILABLE, "not ready\n")
                }
            }),
        )
        .route(
            "/metrics",
            get(move || async move {
                ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], crate::metrics::text(&registry))
            }),
        )
}

async fn no_such_route() -> Failure {
    Failure::new(StatusCode::NOT_FOUND, "no-such-route", "there is nothing at this path")
}

async fn method_not_allowed() -> Failure {
    Failure::new(StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "this path does not take that method")
}

async fn around(State(metrics): State<HttpMetrics>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let id = request_id(&request);
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().map_or("unmatched", MatchedPath::as_str).to_owned();
    metrics.in_flight.inc();
    let in_flight = InFlight(metrics.clone());
    let mut response = next.run(request).await;
    drop(in_flight);
    if let Some(failure) = response.extensions_mut().remove::<Failure>() {
        log_failure(&failure, &id, &route);
        response = answer(&failure, &id, &response);
    }
    if let Ok(value) = HeaderValue::from_str(&id) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    let (status, seconds) = (response.status(), started.elapsed().as_secs_f64());
    metrics.requests_total.with_label_values(&[&route, method.as_str(), status.as_str()]).inc();
    metrics.request_seconds.with_label_values(&[&route]).observe(seconds);
    tracing::debug!(%method, route, status = status.as_u16(), ms = seconds * 1e3, request.id = id, "request");
    response
}

/// Counts down also when the client goes away and the handler is dropped.
struct InFlight(HttpMetrics);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.dec();
    }
}

/// The id that came in, when it is one; else a new one.
fn request_id(request: &Request) -> String {
    let given = request.headers().get(REQUEST_ID).and_then(|value| value.to_str().ok());
    match given.filter(|id| {
        (8..=64).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    }) {
        Some(id) => id.to_owned(),
        None => uuid::Uuid::now_v7().to_string(),
    }
}

/// One line per failure, at the edge; what the client did wrong is not our error.
fn log_failure(failure: &Failure, id: &str, route: &str) {
    let cause = failure.cause.as_deref().unwrap_or(&failure.detail);
    if failure.status.is_server_error() {
        tracing::error!(route, code = failure.code, cause, request.id = id, "request failed");
    } else {
        tracing::debug!(route, code = failure.code, cause, request.id = id, "request refused");
    }
}

fn answer(failure: &Failure, id: &str, was: &Response) -> Response {
    let (mut headers, body) = failure.render(id);
    // axum's 405 knows the route's methods.
    if let Some(allow) = was.headers().get(header::ALLOW) {
        headers.insert(header::ALLOW, allow.clone());
    }
    let mut response = Body::from(body).into_response();
    *response.status_mut() = failure.status;
    *response.headers_mut() = headers;
    response
}
