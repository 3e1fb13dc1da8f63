//! Calls from one service to another: a deadline, an assertion of who calls, problems decoded.

use std::time::Duration;

use anyhow::Context as _;
use http::{Method, StatusCode};
use serde::de::DeserializeOwned;

use crate::auth::{Caller, Verifier};
use crate::wire::problem::Problem;
use crate::wire::token::ASSERTION_HEADER;

/// A call takes at most this long.
const CALL_MAX: Duration = Duration::from_secs(2);

/// The service answered, and with a problem.
#[derive(Debug, thiserror::Error)]
#[error("{url}: {status} {code}")]
pub struct Refused {
    url: String,
    status: StatusCode,
    /// The problem's code; empty where the answer has none.
    pub code: String,
}

/// Calls one service on behalf of this one.
#[derive(Debug, Clone)]
pub struct Client {
    base: String,
    http: reqwest::Client,
    verifier: Verifier,
}

impl Client {
    /// A client of the service at `base`, for example `http://127.0.0.1:8082`.
    ///
    /// # Errors
    /// When the address is not a URL.
    pub fn new(base: &str, verifier: Verifier) -> anyhow::Result<Self> {
        reqwest::Url::parse(base).with_context(|| format!("service address {base}"))?;
        let http = reqwest::Client::builder().timeout(CALL_MAX).no_proxy().build()?;
        Ok(Self { base: base.trim_end_matches('/').to_owned(), http, verifier })
    }

    /// `GET path`; `None` when there is no such thing.
    ///
    /// # Errors
    /// When the service cannot be reached; [`Refused`] when it answers with another problem.
    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> anyhow::Result<Option<T>> {
        self.send(Method::GET, path, self.verifier.assert_service()?).await
    }

    /// Passes a request without a body on in the caller's name; `None` when there is no such thing.
    ///
    /// # Errors
    /// When the service cannot be reached; [`Refused`] when it answers with another problem.
    pub async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        caller: &Caller,
    ) -> anyhow::Result<Option<T>> {
        self.send(method, path, self.verifier.assert_caller(caller)?).await
    }

    async fn send<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        assertion: String,
    ) -> anyhow::Result<Option<T>> {
        let url = format!("{}{path}", self.base);
        let request = self.http.request(method, &url).header(ASSERTION_HEADER, assertion);
        let answer = request.send().await.with_context(|| url.clone())?;
        match answer.status() {
            StatusCode::NOT_FOUND => Ok(None),
            status if status.is_success() => Ok(Some(answer.json().await.context(url)?)),
            status => {
                let code = answer.json::<Problem>().await.map(|problem| problem.code).unwrap_or_default();
                Err(Refused { url, status, code }.into())
            }
        }
    }
}
