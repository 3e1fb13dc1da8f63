//! Holds bodies to their route's size and to the time that a body may take: by `Content-Length` before a byte of it
//! is read, and while it streams.

use std::task::{Context, Poll};
use std::time::Duration;

use http::Response;
use hyper::body::Body as _;
use tower::Service;

use super::{Next, Pending, refused};
use crate::body::{Body, Fault};
use crate::call::Call;
use crate::error::Error;

/// The layer.
#[derive(Debug, Clone)]
pub struct BodyLimit<S> {
    inner: S,
    time: Duration,
}

impl<S> BodyLimit<S> {
    /// Around `inner`, for bodies that arrive within `time`.
    pub fn new(inner: S, time: Duration) -> Self {
        Self { inner, time }
    }
}

impl<S: Next<Call>> Service<Call> for BodyLimit<S> {
    type Response = Response<Body>;
    type Error = Error;
    type Future = Pending;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut call: Call) -> Pending {
        let max = call.target.route.body_max;
        let body = call.request.body_mut();
        if body.size_hint().lower() > max {
            return refused(Error::BodyTooLarge { max });
        }
        let Some(progress) = body.limit(max, self.time) else {
            return self.inner.call(call);
        };
        let answer = self.inner.call(call);
        Box::pin(async move {
            // A body that breaks off makes the call to the service fail; the reason is the body.
            answer.await.map_err(|error| match progress.fault() {
                Some(Fault::TooLarge) => Error::BodyTooLarge { max },
                Some(Fault::TooSlow) => Error::BodyTooSlow,
                Some(Fault::GaveWay) => Error::UpstreamBusy,
                Some(Fault::Unreadable) => Error::BodyUnreadable,
                None => error,
            })
        })
    }
}
