//! Refuses what is more than the gateway can carry: at once, instead of letting everybody wait.

use std::sync::Arc;
use std::task::{Context, Poll};

use http::Response;
use tokio::sync::Semaphore;
use tower::Service;

use super::{Next, Pending, refused};
use crate::body::Body;
use crate::call::Call;
use crate::error::Error;

/// The layer.
#[derive(Debug, Clone)]
pub struct Shed<S> {
    inner: S,
    slots: Arc<Semaphore>,
}

impl<S> Shed<S> {
    /// Around `inner`, for requests that hold a slot of `slots` until the head of their answer.
    pub fn new(inner: S, slots: Arc<Semaphore>) -> Self {
        Self { inner, slots }
    }
}

impl<S: Next<Call>> Service<Call> for Shed<S> {
    type Response = Response<Body>;
    type Error = Error;
    type Future = Pending;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, call: Call) -> Pending {
        let Ok(slot) = Arc::clone(&self.slots).try_acquire_owned() else {
            return refused(Error::Overloaded);
        };
        let answer = self.inner.call(call);
        Box::pin(async move {
            let answer = answer.await;
            drop(slot);
            answer
        })
    }
}
