//! Takes out of a request what no client may say, before anybody reads its headers.

use std::task::{Context, Poll};

use http::header::{self, HeaderMap, HeaderName};
use http::{Request, Response, Version};
use tower::Service;

use super::{Next, Pending, refused};
use crate::body::{Body, Upload};
use crate::call::Call;
use crate::error::Error;
use crate::headers::drop_hop_by_hop;
use crate::tunnel;

/// Starts of names that only the gateway may write: who the caller is, and where a request came from.
const OURS: &[&str] = &["x-user", "x-identity", "x-forwarded", "x-original", "x-rewrite", "x-http-method"];
/// Names that only the gateway may write.
const OUR_NAMES: &[&str] = &["forwarded", "x-real-ip", "x-request-id", "x-method-override", "traceparent"];

/// The layer.
#[derive(Debug, Clone)]
pub struct Hygiene<S> {
    inner: S,
}

impl<S> Hygiene<S> {
    /// Around `inner`.
    pub fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S: Next<Call>> Service<Call> for Hygiene<S> {
    type Response = Response<Body>;
    type Error = Error;
    type Future = Pending;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, mut call: Call) -> Pending {
        if let Err(error) = unambiguous(&call.request) {
            return refused(error);
        }
        tunnel::sift(&mut call.request, call.target.route.is_stream());
        let headers = call.request.headers_mut();
        drop_hop_by_hop(headers);
        clean(headers);
        if !call.trace.continued {
            headers.remove("tracestate");
        }
        self.inner.call(call)
    }
}

/// One host, one login.
fn unambiguous(request: &Request<Upload>) -> Result<(), Error> {
    let headers = request.headers();
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() || (host.is_none() && request.version() != Version::HTTP_10) {
        return Err(Error::BadHeader("needs exactly one Host"));
    }
    let named = request.uri().authority().map(|authority| authority.as_str().as_bytes());
    if named.is_some_and(|named| !host.is_some_and(|host| host.as_bytes().eq_ignore_ascii_case(named))) {
        return Err(Error::BadHeader("names one host in its first line and another in its headers"));
    }
    if headers.get_all(header::AUTHORIZATION).iter().nth(1).is_some() {
        return Err(Error::InvalidToken("there is more than one Authorization header"));
    }
    Ok(())
}

fn clean(headers: &mut HeaderMap) {
    let foreign: Vec<HeaderName> = headers.keys().filter(|name| is_ours(name.as_str())).cloned().collect();
    for name in foreign {
        headers.remove(name);
    }
}

/// Programs that turn names into variables read `X_User_Id` and `X.User.Id` as `X-User-Id`: names with anything but
/// letters, digits and dashes are nobody's.
fn is_ours(name: &str) -> bool {
    let look_alike = !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    look_alike || OURS.iter().any(|start| name.starts_with(start)) || OUR_NAMES.contains(&name)
}
