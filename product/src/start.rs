//! What stands around the service while it starts and runs: the door that answers before the API is there, the
//! writers' pool, the outbox's figures.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use common::clock::Clock;
use common::http::observe::{Ready, operations};
use common::http::problem::Failure;
use common::outbox;
use common::stop::Stop;
use http::StatusCode;
use prometheus::Registry;
use sqlx::postgres::{PgPool, PgPoolOptions};
use tower::ServiceExt as _;
use uuid::Uuid;

use crate::metrics::Metrics;

/// Connections of the stock stage: one per partition that a replica can get (4), one to begin with.
const WRITERS_MAX: u32 = 5;
/// Between two looks at the outbox.
const LOOK: Duration = Duration::from_secs(1);

/// Answers from the first moment: the operator's endpoints at once, the API when it is there.
#[derive(Debug, Clone, Default)]
pub struct Door(Arc<OnceLock<Router>>);

impl Door {
    /// What the listener serves.
    pub fn router(&self, registry: &Registry, ready: &Ready) -> Router {
        let inner = Arc::clone(&self.0);
        operations(registry, ready).fallback(move |request: Request| pass(Arc::clone(&inner), request))
    }

    /// The API is there.
    pub fn open(&self, api: Router) {
        self.0.set(api).ok();
    }
}

async fn pass(inner: Arc<OnceLock<Router>>, request: Request) -> Response {
    match inner.get() {
        Some(api) => api.clone().oneshot(request).await.into_response(),
        None => {
            // Outside the layer that writes problem bodies, so it is written here.
            let (headers, body) =
                Failure::unavailable("starting", 1, None).render(&Uuid::now_v7().to_string());
            (StatusCode::SERVICE_UNAVAILABLE, headers, body).into_response()
        }
    }
}

/// A pool for the stock stage alone: however busy requests are, a batch finds its connection.
#[must_use]
pub fn writer_pool(pg: &PgPool) -> PgPool {
    let options = pg.connect_options();
    PgPoolOptions::new()
        .max_connections(WRITERS_MAX)
        .acquire_timeout(Duration::from_secs(2))
        .connect_lazy_with((*options).clone())
}

/// Keeps the outbox's figures up to date.
pub async fn watch_outbox(pg: PgPool, clock: Clock, metrics: Metrics, stop: Stop) {
    while stop.pause(LOOK).await {
        match outbox::backlog(&pg, clock.now()).await {
            Ok((rows, age_s)) => {
                metrics.outbox_rows.set(rows);
                metrics
                    .outbox_age_ms
                    .set(Duration::from_secs_f64(age_s).as_millis().try_into().unwrap_or(i64::MAX));
            }
            Err(error) => tracing::debug!(%error, "outbox not counted"),
        }
    }
}
