//! Requests over kept-alive HTTP/1.1 connections from many loopback addresses, so that limits per address see
//! a crowd and not one machine.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use common::wire::problem::Problem;
use common::wire::token::PASS_HEADER;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, RETRY_AFTER};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

/// A person who sees nothing for this long tries again.
const ANSWER_MAX: Duration = Duration::from_secs(10);
const CONNECT_MAX: Duration = Duration::from_secs(3);
const IDLE_MAX: Duration = Duration::from_secs(20);
/// Source addresses at most.
const SOURCES_MAX: usize = 1_000;
/// Open files that are no shopper's connections: stores, topics, standard streams.
const FILES_KEPT: usize = 200;
/// Assumed where the process's limit of open files cannot be read.
const FILES_DEFAULT: usize = 1_024;

/// Clients, one per source address.
#[derive(Debug, Clone)]
pub(crate) struct Net(Arc<[Agent]>);

impl Net {
    /// As many source addresses as shoppers, up to [`SOURCES_MAX`].
    pub(crate) fn new(shoppers: usize) -> Self {
        // Half of the files are for requests in flight, half for connections that wait for the next one.
        let half = (files_max().saturating_sub(FILES_KEPT) / 2).max(16);
        let sources = shoppers.clamp(1, SOURCES_MAX.min(half));
        let slots = Arc::new(Semaphore::new(half));
        Self((0..sources).map(|number| Agent::new(number, half / sources, Arc::clone(&slots))).collect())
    }

    /// The client of one shopper.
    pub(crate) fn agent(&self, number: usize) -> &Agent {
        &self.0[number % self.0.len()]
    }
}

/// Sends requests from one source address.
#[derive(Debug, Clone)]
pub(crate) struct Agent {
    client: Client<HttpConnector, Full<Bytes>>,
    slots: Arc<Semaphore>,
}

impl Agent {
    fn new(number: usize, idle_max: usize, slots: Arc<Semaphore>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_MAX));
        connector.set_local_address(Some(source(number)));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(idle_max)
            .build(connector);
        Self { client, slots }
    }

    /// Sends a request and reads the whole answer. `Err` only where there was none.
    pub(crate) async fn send(&self, call: &Call) -> Result<Answer, NoAnswer> {
        let request = call.request().map_err(|error| NoAnswer(format!("{error:#}")))?;
        let _slot = self.slots.acquire().await.map_err(|_| NoAnswer("the run is over".into()))?;
        let exchange = async {
            let answer = self.client.request(request).await.map_err(|error| NoAnswer(cause(&error)))?;
            let (head, body) = answer.into_parts();
            let body = body.collect().await.map_err(|error| NoAnswer(cause(&error)))?.to_bytes();
            let retry_after =
                head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
            Ok(Answer { status: head.status, retry_after: retry_after.map(Duration::from_secs), body })
        };
        tokio::time::timeout(ANSWER_MAX, exchange).await.unwrap_or_else(|_| Err(NoAnswer("timeout".into())))
    }
}

/// A loopback address of its own for each number: 127.0.1.1, 127.0.1.2, ….
fn source(number: usize) -> IpAddr {
    let part = |value: usize| u8::try_from(value % 250).expect("below 250") + 1;
    IpAddr::V4(Ipv4Addr::new(127, 0, part(number / 250), part(number)))
}

/// The soft limit of open files.
fn files_max() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(FILES_DEFAULT)
}

/// The innermost cause: the outer ones only say that a request failed.
fn cause(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(source) = inner.source() {
        inner = source;
    }
    inner.to_string()
}

/// A request to be sent, perhaps several times.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    method: Method,
    url: String,
    headers: Vec<(HeaderName, String)>,
    body: Bytes,
}

impl Call {
    /// `GET url`.
    pub(crate) fn get(url: impl Into<String>) -> Self {
        Self { method: Method::GET, url: url.into(), headers: Vec::new(), body: Bytes::new() }
    }

    /// `POST url` without a body.
    pub(crate) fn post(url: impl Into<String>) -> Self {
        Self { method: Method::POST, ..Self::get(url) }
    }

    /// `PUT url`.
    pub(crate) fn put(url: impl Into<String>) -> Self {
        Self { method: Method::PUT, ..Self::get(url) }
    }

    /// `DELETE url`.
    pub(crate) fn delete(url: impl Into<String>) -> Self {
        Self { method: Method::DELETE, ..Self::get(url) }
    }

    /// With a JSON body.
    pub(crate) fn json(mut self, body: &impl Serialize) -> Self {
        self.body = serde_json::to_vec(body).expect("plain data always becomes JSON").into();
        self.with(CONTENT_TYPE, "application/json".into())
    }

    /// With a CSV file.
    pub(crate) fn csv(mut self, file: &str) -> Self {
        self.body = Bytes::copy_from_slice(file.as_bytes());
        self.with(CONTENT_TYPE, "text/csv".into())
    }

    /// As the holder of this identity token.
    pub(crate) fn bearer(self, token: &str) -> Self {
        self.with(AUTHORIZATION, format!("Bearer {token}"))
    }

    /// With this access token.
    pub(crate) fn pass(self, token: &str) -> Self {
        self.with(HeaderName::from_static(PASS_HEADER), token.to_owned())
    }

    /// With this `Idempotency-Key`.
    pub(crate) fn key(self, key: uuid::Uuid) -> Self {
        self.with(HeaderName::from_static("idempotency-key"), key.to_string())
    }

    fn with(mut self, name: HeaderName, value: String) -> Self {
        self.headers.push((name, value));
        self
    }

    fn request(&self) -> Result<Request<Full<Bytes>>, http::Error> {
        let mut request = Request::builder().method(&self.method).uri(&self.url);
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        request.body(Full::new(self.body.clone()))
    }
}

/// A whole answer.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    /// Its status.
    pub(crate) status: StatusCode,
    /// When another try makes sense.
    pub(crate) retry_after: Option<Duration>,
    body: Bytes,
}

impl Answer {
    /// The body as `T`.
    pub(crate) fn read<T: DeserializeOwned>(&self) -> anyhow::Result<T> {
        serde_json::from_slice(&self.body).with_context(|| format!("body of a {} answer", self.status))
    }

    /// The problem's code, or nothing.
    pub(crate) fn code(&self) -> String {
        self.read::<Problem>().map(|problem| problem.code).unwrap_or_default()
    }

    /// Status and problem code, for people.
    pub(crate) fn outcome(&self) -> String {
        format!("{} {}", self.status.as_u16(), self.code()).trim_end().to_owned()
    }

    /// The body of a successful answer; otherwise an error with what stood in the problem.
    pub(crate) fn success<T: DeserializeOwned>(&self, what: &str) -> anyhow::Result<T> {
        if !self.status.is_success() {
            let detail = self.read::<Problem>().map(|problem| problem.detail).unwrap_or_default();
            bail!("{what}: {} {detail}", self.outcome());
        }
        self.read().with_context(|| what.to_owned())
    }
}

/// Why there was no answer.
#[derive(Debug)]
pub(crate) struct NoAnswer(pub(crate) String);

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoAnswer {}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_source_address_is_another_loopback_address() {
        let seen: HashSet<_> = (0..SOURCES_MAX).map(source).collect();
        assert_eq!(seen.len(), SOURCES_MAX);
        assert!(seen.iter().all(IpAddr::is_loopback));
    }
}
