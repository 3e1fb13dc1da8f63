//! Finds the route, counts and logs whatever comes of the request, and writes every failure as a problem.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use common::http::problem::Failure;
use futures::future::BoxFuture;
use http::header::{self, CONNECTION, HeaderMap, HeaderValue};
use http::{Method, Request, Response};
use ipnet::IpNet;
use prometheus::IntGauge;
use tower::Service;

use super::{Next, refused};
use crate::body::{Body, Upload, full};
use crate::call::{Arrived, Call, Named};
use crate::client::Client;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::router::{Found, Router};

/// The layer.
#[derive(Debug, Clone)]
pub struct Observe<S> {
    inner: S,
    router: Arc<Router>,
    metrics: Metrics,
    proxies: Arc<[IpNet]>,
}

impl<S> Observe<S> {
    /// Around `inner`; `proxies` are believed when they say whom they heard from.
    pub fn new(inner: S, router: Arc<Router>, metrics: Metrics, proxies: Arc<[IpNet]>) -> Self {
        Self { inner, router, metrics, proxies }
    }
}

impl<S: Next<Call>> Service<Named> for Observe<S> {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, named: Named) -> Self::Future {
        let started = Instant::now();
        let Named { arrived: Arrived { request, peer }, trace } = named;
        let Found { label: route, target } = self.router.find(request.method(), request.uri().path());
        let client = Client::of(peer, request.headers(), &self.proxies);
        let seen = Seen { route, method: request.method().clone(), id: trace.id.clone(), started };
        let upstream = target.as_ref().ok().and_then(|target| target.route.to.service());
        let is_tls = client.is_tls;
        let in_flight = InFlight::new(&self.metrics.in_flight);
        let answer = match target {
            Ok(target) => {
                let request: Request<Upload> = request.map(Upload::new);
                self.inner.call(Call { request, client, trace, target })
            }
            Err(error) => refused(error),
        };
        let metrics = self.metrics.clone();
        Box::pin(async move {
            let mut response = match answer.await {
                Ok(response) => response,
                Err(error) => {
                    if let Some(upstream) = upstream.filter(|_| error.is_upstreams()) {
                        metrics.upstream_errors_total.with_label_values(&[upstream]).inc();
                    }
                    seen.problem(error)
                }
            };
            drop(in_flight);
            secure(response.headers_mut(), is_tls);
            seen.count(&metrics, &response);
            Ok(response)
        })
    }
}

/// What every answer says to browsers. What a service says of itself stays, but for the kind of a body, which nobody
/// guesses.
fn secure(headers: &mut HeaderMap, is_tls: bool) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    // What is someone's own, or of a moment, is kept by nobody unless its service says so.
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    if is_tls {
        let year = HeaderValue::from_static("max-age=31536000");
        headers.insert(header::STRICT_TRANSPORT_SECURITY, year);
    }
}

/// What is said of a request in logs and figures.
struct Seen {
    route: &'static str,
    method: Method,
    id: HeaderValue,
    started: Instant,
}

impl Seen {
    fn id(&self) -> &str {
        self.id.to_str().unwrap_or_default()
    }

    fn problem(&self, error: Error) -> Response<Body> {
        let (ends_connection, is_load) = (error.ends_connection(), error.is_load());
        let failure = Failure::from(error);
        let cause = failure.cause.as_deref().unwrap_or(&failure.detail);
        if failure.status.is_server_error() && !is_load {
            tracing::error!(
                route = self.route,
                code = failure.code,
                cause,
                request.id = self.id(),
                "request failed"
            );
        } else {
            tracing::debug!(
                route = self.route,
                code = failure.code,
                cause,
                request.id = self.id(),
                "request refused"
            );
        }
        let (headers, body) = failure.render(self.id());
        let mut response = Response::new(full(body));
        *response.status_mut() = failure.status;
        *response.headers_mut() = headers;
        if ends_connection || response_ends_it(&self.method) {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    fn count(&self, metrics: &Metrics, response: &Response<Body>) {
        let (status, seconds) = (response.status(), self.started.elapsed().as_secs_f64());
        metrics.requests_total.with_label_values(&[self.route, status.as_str()]).inc();
        metrics.request_seconds.with_label_values(&[self.route]).observe(seconds);
        tracing::debug!(
            method = %self.method,
            route = self.route,
            status = status.as_u16(),
            ms = seconds * 1e3,
            request.id = self.id(),
            "request"
        );
    }
}

/// What follows a refused CONNECT is not HTTP.
fn response_ends_it(method: &Method) -> bool {
    *method == Method::CONNECT
}

/// Counts down also when the client goes away and the request is dropped.
struct InFlight(IntGauge);

impl InFlight {
    fn new(gauge: &IntGauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.dec();
    }
}
