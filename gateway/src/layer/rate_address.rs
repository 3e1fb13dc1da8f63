//! How often one address may ask: before anything is verified, as a signature costs more than a look at a bucket.

use std::sync::Arc;
use std::task::{Context, Poll};

use http::Response;
use tower::Service;

use super::{Next, Pending, refused};
use crate::body::Body;
use crate::call::Call;
use crate::error::Error;
use crate::rate::Rates;

/// The layer.
#[derive(Debug, Clone)]
pub struct RateAddress<S> {
    inner: S,
    rates: Arc<Rates>,
}

impl<S> RateAddress<S> {
    /// Around `inner`.
    pub fn new(inner: S, rates: Arc<Rates>) -> Self {
        Self { inner, rates }
    }
}

impl<S: Next<Call>> Service<Call> for RateAddress<S> {
    type Response = Response<Body>;
    type Error = Error;
    type Future = Pending;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, call: Call) -> Pending {
        let shared = match self.rates.take_address(call.target.route.rate, call.client.address) {
            Ok(None) => return self.inner.call(call),
            Ok(shared) => shared,
            Err(error) => return refused(error),
        };
        let (mut inner, rates) = (self.inner.clone(), Arc::clone(&self.rates));
        Box::pin(async move {
            rates.take_shared(shared).await?;
            inner.call(call).await
        })
    }
}
