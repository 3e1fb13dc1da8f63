//! How often one account may ask, from wherever it does.

use std::sync::Arc;
use std::task::{Context, Poll};

use http::Response;
use tower::Service;

use super::{Next, Pending, refused};
use crate::body::Body;
use crate::call::Identified;
use crate::error::Error;
use crate::rate::Rates;

/// The layer.
#[derive(Debug, Clone)]
pub struct RateAccount<S> {
    inner: S,
    rates: Arc<Rates>,
}

impl<S> RateAccount<S> {
    /// Around `inner`.
    pub fn new(inner: S, rates: Arc<Rates>) -> Self {
        Self { inner, rates }
    }
}

impl<S: Next<Identified>> Service<Identified> for RateAccount<S> {
    type Response = Response<Body>;
    type Error = Error;
    type Future = Pending;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, identified: Identified) -> Pending {
        let Some(login) = &identified.login else { return self.inner.call(identified) };
        let (rate, address) = (identified.call.target.route.rate, identified.call.client.address);
        let shared = match self.rates.take_account(rate, login.claims.sub, address) {
            Ok(None) => return self.inner.call(identified),
            Ok(shared) => shared,
            Err(error) => return refused(error),
        };
        let (mut inner, rates) = (self.inner.clone(), Arc::clone(&self.rates));
        Box::pin(async move {
            rates.take_shared(shared).await?;
            inner.call(identified).await
        })
    }
}
