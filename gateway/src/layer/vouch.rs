//! Says to the services what was verified: one signed assertion, and nothing else about the caller.

use std::sync::Arc;
use std::task::{Context, Poll};

use common::http::cookie::{DEVICE_COOKIE, REFRESH_COOKIE, values};
use common::wire::token::{ASSERTION_HEADER, PASS_HEADER};
use http::{HeaderMap, HeaderValue, Response, header};
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
        let of_login = call.target.route.of_login;
        let assertion = match &login {
            Some(login) => self.tokens.vouch(login, &passes).map(Some),
            None => of_login.then(|| self.tokens.word()).transpose(),
        };
        let assertion = match assertion {
            Ok(assertion) => assertion,
            Err(error) => return refused(Error::Internal(error)),
        };
        let headers = call.request.headers_mut();
        let cookies = of_login.then(|| login_cookies(headers)).flatten();
        // The tokens themselves stay here: nobody behind needs them, and what is not passed on cannot leak.
        headers.remove(header::AUTHORIZATION);
        headers.remove(header::COOKIE);
        headers.remove(PASS_HEADER);
        headers.remove(ASSERTION_HEADER);
        if let Some(assertion) = assertion {
            headers.insert(ASSERTION_HEADER, assertion);
        }
        if let Some(cookies) = cookies {
            headers.insert(header::COOKIE, cookies);
        }
        self.inner.call(Vouched(call))
    }
}

/// Those of a request's cookies that only the user service reads.
fn login_cookies(headers: &HeaderMap) -> Option<HeaderValue> {
    let of = |name| values(headers, name).map(move |value| format!("{name}={value}"));
    let lines: Vec<String> = of(REFRESH_COOKIE).chain(of(DEVICE_COOKIE)).collect();
    let mut cookies = HeaderValue::try_from(lines.join("; ")).ok().filter(|_| !lines.is_empty())?;
    cookies.set_sensitive(true);
    Some(cookies)
}
