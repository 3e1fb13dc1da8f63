//! An HTTP client for tests: JSON in, status and JSON out, tokens attached, expectations with the whole answer in
//! their message.

use std::time::Duration;

use reqwest::header::HeaderMap;
use reqwest::{Method, RequestBuilder};
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A connection that was idle this long is not used again.
const IDLE_MAX: Duration = Duration::from_secs(5);

/// Talks to one address as one caller. Clones are cheap: change a clone to become another caller.
#[derive(Debug, Clone)]
pub struct Http {
    base: String,
    http: reqwest::Client,
    headers: Vec<(String, String)>,
}

/// What came back.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// Header fields.
    pub headers: HeaderMap,
    /// JSON body; a string where it is no JSON, null where it is empty.
    pub body: Value,
    asked: String,
}

impl Http {
    /// A client of `base`, for example `http://127.0.0.1:8080`.
    ///
    /// # Panics
    /// When the TLS parts of the client cannot be made.
    #[must_use]
    pub fn new(base: impl Into<String>) -> Self {
        // Servers here close idle connections after 10 s or more; one that is just being closed must not be used.
        let http = reqwest::Client::builder().no_proxy().pool_idle_timeout(IDLE_MAX);
        let http = http.build().expect("a client without secrets");
        Self { base: base.into(), http, headers: Vec::new() }
    }

    /// The address that it talks to.
    #[must_use]
    pub fn base(&self) -> &str {
        &self.base
    }

    /// The same client with one more header on every request.
    #[must_use]
    pub fn with(&self, name: &str, value: impl Into<String>) -> Self {
        let mut other = self.clone();
        other.headers.push((name.to_owned(), value.into()));
        other
    }

    /// The same client as the bearer of an identity token.
    #[must_use]
    pub fn login(&self, token: &str) -> Self {
        self.with("authorization", format!("Bearer {token}"))
    }

    /// The same client holding an access token.
    #[must_use]
    pub fn pass(&self, token: &str) -> Self {
        self.with("x-access-token", token)
    }

    /// The same client with an `Idempotency-Key` on every request.
    #[must_use]
    pub fn key(&self, key: &str) -> Self {
        self.with("idempotency-key", key)
    }

    /// Starts a request, for what the shorter calls do not offer.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.http.request(method, format!("{}{path}", self.base));
        self.headers.iter().fold(request, |request, (name, value)| request.header(name, value))
    }

    /// `GET path`.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn get(&self, path: &str) -> anyhow::Result<Answer> {
        Self::send(format!("GET {path}"), self.request(Method::GET, path)).await
    }

    /// `DELETE path`.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn delete(&self, path: &str) -> anyhow::Result<Answer> {
        Self::send(format!("DELETE {path}"), self.request(Method::DELETE, path)).await
    }

    /// `POST path` with a JSON body.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        Self::send(format!("POST {path} {body}"), self.request(Method::POST, path).json(body)).await
    }

    /// `PUT path` with a JSON body.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn put(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        Self::send(format!("PUT {path} {body}"), self.request(Method::PUT, path).json(body)).await
    }

    /// `PATCH path` with a JSON body.
    ///
    /// # Errors
    /// When no answer came.
    pub async fn patch(&self, path: &str, body: &Value) -> anyhow::Result<Answer> {
        Self::send(format!("PATCH {path} {body}"), self.request(Method::PATCH, path).json(body)).await
    }

    /// Sends a request made by [`Http::request`].
    ///
    /// # Errors
    /// When no answer came.
    pub async fn send(asked: String, request: RequestBuilder) -> anyhow::Result<Answer> {
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await?;
        let body = match text.as_str() {
            "" => Value::Null,
            text => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)),
        };
        Ok(Answer { status, headers, body, asked })
    }
}

impl Answer {
    /// The answer itself, when it has this status.
    ///
    /// # Panics
    /// With the whole answer, when it has another.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{} answered {}", self.asked, self.body);
        self
    }

    /// Asserts a problem of this status and code, and returns it.
    ///
    /// # Panics
    /// With the whole answer, when it is something else.
    #[track_caller]
    pub fn problem(self, status: u16, code: &str) -> Value {
        let answer = self.expect(status);
        assert_eq!(answer.body["code"], code, "{} answered {}", answer.asked, answer.body);
        let kind = answer.headers.get("content-type").and_then(|value| value.to_str().ok());
        assert_eq!(kind, Some("application/problem+json"), "{}", answer.asked);
        assert!(answer.body["requestId"].as_str().is_some_and(|id| !id.is_empty()), "{}", answer.body);
        answer.body
    }

    /// The body as a type.
    ///
    /// # Panics
    /// With the whole answer, when it is no such thing.
    #[must_use]
    #[track_caller]
    pub fn body<T: DeserializeOwned>(self) -> T {
        let shown = self.body.to_string();
        serde_json::from_value(self.body)
            .unwrap_or_else(|error| panic!("{} answered {shown}: {error}", self.asked))
    }
}

/// A clock that stands at the present, in whole seconds, until the test moves it.
#[must_use]
pub fn clock() -> common::clock::Clock {
    use chrono::SubsecRound as _;
    common::clock::Clock::manual(common::clock::Clock::system().now().trunc_subsecs(0))
}
