//! A service's door: open for the operator from the first moment, for everybody once the service has what it needs.

use std::future::Future;
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use prometheus::Registry;
use tokio::net::TcpListener;
use tower::ServiceExt as _;

use super::observe::{Ready, observed, operations};
use super::problem::Failure;
use crate::stop::Stop;

/// Serves `listener` until `stop`, then finishes the requests in flight and the tasks. `/livez` and `/metrics` answer
/// at once; the API, which `open` connects and returns, as soon as it is there, and 503 `starting` before.
///
/// # Errors
/// What `open` fails with, unless the stop came first.
pub async fn serve_when_open(
    listener: TcpListener,
    registry: &Registry,
    stop: &Stop,
    open: impl Future<Output = anyhow::Result<Router>>,
) -> anyhow::Result<()> {
    let (ready, api) = (Ready::default(), Arc::new(OnceLock::new()));
    let front = operations(registry, &ready).fallback({
        let api = Arc::clone(&api);
        async move |request: Request| enter(&api, request).await
    });
    stop.spawn("http", super::serve(listener, front, stop.clone()));
    let opened = match open.await {
        Ok(router) => observed(router, registry, &ready).map(|router| {
            api.get_or_init(|| router);
            ready.set(true);
            tracing::info!("ready");
        }),
        Err(error) => Err(error),
    };
    let failed = match opened {
        Ok(()) => {
            stop.stopped().await;
            None
        }
        // A stop while waiting for a server is no failure.
        Err(_) if stop.is_stopped() => None,
        Err(error) => Some(error),
    };
    ready.set(false);
    stop.stop();
    stop.drained().await;
    failed.map_or(Ok(()), Err)
}

async fn enter(api: &OnceLock<Router>, request: Request) -> Response {
    let Some(api) = api.get() else {
        // Outside the layer that writes problem bodies, so it is written here.
        let failure = Failure::unavailable("starting", 1, None);
        let (headers, body) = failure.render(&uuid::Uuid::now_v7().to_string());
        return (failure.status, headers, body).into_response();
    };
    match api.clone().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}
