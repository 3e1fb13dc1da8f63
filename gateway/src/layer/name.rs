//! Gives every request its id and its place in a trace, and tells the id in every answer.

use std::convert::Infallible;
use std::task::{Context, Poll};

use common::http::observe::REQUEST_ID;
use futures::future::BoxFuture;
use http::{HeaderMap, HeaderValue, Response};
use tower::Service;
use uuid::Uuid;

use crate::body::Body;
use crate::call::{Arrived, Named, Trace};

/// The layer.
#[derive(Debug, Clone)]
pub struct Name<S> {
    inner: S,
}

impl<S> Name<S> {
    /// Around `inner`.
    pub fn new(inner: S) -> Self {
        Self { inner }
    }
}

impl<S, F> Service<Arrived> for Name<S>
where
    S: Service<Named, Response = Response<Body>, Error = Infallible, Future = F>,
    F: Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
{
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = BoxFuture<'static, Result<Response<Body>, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, arrived: Arrived) -> Self::Future {
        let trace = trace(arrived.request.headers());
        let id = trace.id.clone();
        let answer = self.inner.call(Named { arrived, trace });
        Box::pin(async move {
            let mut response = answer.await?;
            response.headers_mut().insert(REQUEST_ID, id);
            Ok(response)
        })
    }
}

fn trace(headers: &HeaderMap) -> Trace {
    let given = headers.get(REQUEST_ID).filter(|id| is_id(id.as_bytes())).cloned();
    let id = given.unwrap_or_else(|| ascii(Uuid::now_v7().to_string()));
    let hop = &Uuid::new_v4().simple().to_string()[16..];
    let mut parents = headers.get_all("traceparent").iter();
    let parent = parents.next().filter(|_| parents.next().is_none()).and_then(|value| value.to_str().ok());
    match parent.and_then(continued) {
        Some((trace_id, flags)) => {
            Trace { id, parent: ascii(format!("00-{trace_id}-{hop}-{flags}")), continued: true }
        }
        None => {
            let parent = ascii(format!("00-{}-{hop}-01", Uuid::new_v4().simple()));
            Trace { id, parent, continued: false }
        }
    }
}

fn ascii(text: String) -> HeaderValue {
    HeaderValue::try_from(text).expect("hex digits and dashes")
}

/// The same rule as in the services, so that one id stands in all logs.
fn is_id(id: &[u8]) -> bool {
    (8..=64).contains(&id.len()) && id.iter().all(|byte| byte.is_ascii_alphanumeric() || *byte == b'-')
}

/// Trace id and flags of a W3C `traceparent`, version 00.
fn continued(parent: &str) -> Option<(&str, &str)> {
    let mut parts = parent.split('-');
    let (version, trace_id, span, flags) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let hex = |text: &str, length: usize| {
        text.len() == length && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
    };
    let set = |text: &str| text.bytes().any(|byte| byte != b'0');
    let good = version == "00" && hex(trace_id, 32) && hex(span, 16) && hex(flags, 2);
    (good && set(trace_id) && set(span) && parts.next().is_none()).then_some((trace_id, flags))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_proper_trace_is_continued_and_any_other_started_anew() {
        let good = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
        assert_eq!(continued(good), Some(("4bf92f3577b34da6a3ce929d0e0e4736", "01")));
        for bad in [
            "",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7",
            "ff-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
            "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
            "00-4BF92F3577B34DA6A3CE929D0E0E4736-00f067aa0ba902b7-01",
            "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01-x",
        ] {
            assert_eq!(continued(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_id_that_could_forge_a_log_line_is_replaced() {
        let mut headers = HeaderMap::new();
        headers.insert(REQUEST_ID, HeaderValue::from_static("my-request-1"));
        assert_eq!(trace(&headers).id, "my-request-1");
        headers.insert(REQUEST_ID, HeaderValue::from_static("x level=error"));
        assert_eq!(trace(&headers).id.len(), 36);
    }
}
