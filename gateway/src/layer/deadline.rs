//! Ends the wait for a service that does not answer. Event streams have no deadline.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use http::Response;
use tokio::time::{Instant, sleep_until};
use tower::Service;

use super::{Next, Pending};
use crate::body::{Body, Progress};
use crate::call::Call;
use crate::error::Error;

/// The layer.
#[derive(Debug, Clone)]
pub struct Deadline<S> {
    inner: S,
    max: Duration,
    upload_max: Duration,
}

impl<S> Deadline<S> {
    /// Around `inner`: the route's deadline, at most `max`; bodies take at most `upload_max` of their own.
    pub fn new(inner: S, max: Duration, upload_max: Duration) -> Self {
        Self { inner, max, upload_max }
    }
}

impl<S: Next<Call>> Service<Call> for Deadline<S> {
    type Response = Response<Body>;
    type Error = Error;
    type Future = Pending;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, call: Call) -> Pending {
        let Some(deadline) = call.target.route.deadline.map(|deadline| deadline.min(self.max)) else {
            return self.inner.call(call);
        };
        let progress = call.request.body().progress();
        let upload_max = self.upload_max;
        let answer = self.inner.call(call);
        Box::pin(async move {
            tokio::select! {
                biased;
                answer = answer => answer,
                () = passed(deadline, upload_max, progress) => Err(Error::UpstreamTimeout),
            }
        })
    }
}

/// Completes when the deadline, counted from the end of the body, has passed. A service that does not even take the
/// body holds it up, so that its end is waited for only so long.
async fn passed(deadline: Duration, upload_max: Duration, progress: Option<Arc<Progress>>) {
    let started = Instant::now();
    let last = started + upload_max + deadline;
    let mut until = started + deadline;
    loop {
        sleep_until(until).await;
        let Some(progress) = &progress else { return };
        let from = progress.ended().unwrap_or_else(Instant::now);
        until = (from + deadline).min(last);
        if until <= Instant::now() {
            return;
        }
    }
}
