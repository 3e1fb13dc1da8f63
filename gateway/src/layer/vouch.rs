//! Says to the services what was verified: one signed assertion, and nothing else about the caller.

use std::sync::Arc;
use std::task::{Context, Poll};

use common::wire::token::{ASSERTION_HEADER, PASS_HEADER};
use http::{Response, header};
use tower::Service;

use super::{Next, Pending, refused};
use crate::body::Body;
use crate::call::{Cleared, Vouched};
use crate::error::Error;
use crate::tokens::Tokens;

/// The layer.
#[derive(Debug, Clone)]
pub struct Vouch<S> {
    inner: S,
    tokens: Arc<Tokens>,
}

impl<S> Vouch<S> {
    /// Around `inner`.
    pub fn new(inner: S, tokens: Arc<Tokens>) -> Self {
        Self { inner, tokens }
    }
}

impl<S: Next<Vouched>> Service<Cleared> for Vouch<S> {
    type Response = Response<Body>;
    type Error = Error;
    type Future = Pending;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, Cleared { mut call, login, passes }: Cleared) -> Pending {
        let assertion = login.map(|login| self.tokens.vouch(&login, &passes)).transpose();
        let assertion = match assertion {
            Ok(assertion) => assertion,
            Err(error) => return refused(Error::Internal(error)),
        };
        let headers = call.request.headers_mut();
        // The tokens themselves stay here: nobody behind needs them, and what is not passed on cannot leak.
        headers.remove(header::AUTHORIZATION);
        headers.remove(header::COOKIE);
        headers.remove(PASS_HEADER);
        headers.remove(ASSERTION_HEADER);
        if let Some(assertion) = assertion {
            headers.insert(ASSERTION_HEADER, assertion);
        }
        self.inner.call(Vouched(call))
    }
}
