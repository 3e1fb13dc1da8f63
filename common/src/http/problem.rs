//! Failures as answers. A handler's error becomes a [`Failure`]; the outermost layer ([`super::observe`]) gives it
//! the request's id, logs its cause once and writes the body.

use axum::response::{IntoResponse, Response};
use http::{HeaderMap, HeaderValue, StatusCode, header};

use crate::wire::problem::{FieldError, Problem};

/// Media type of problem bodies.
pub const PROBLEM_JSON: &str = "application/problem+json";

/// A failure on its way out.
#[derive(Debug, Clone)]
pub struct Failure {
    /// HTTP status.
    pub status: StatusCode,
    /// Kebab-case code of docs/API.md.
    pub code: &'static str,
    /// For the client.
    pub detail: String,
    /// Fields that broke a rule.
    pub errors: Vec<FieldError>,
    /// Seconds until another try makes sense.
    pub retry_after_s: Option<u64>,
    /// Path of the queue that leads to what was asked for.
    pub queue: Option<String>,
    /// `Allow`, for 405.
    pub allow: Option<String>,
    /// For the log only: the whole chain of causes.
    pub cause: Option<String>,
}

impl Failure {
    /// A failure that the client can do something about.
    #[must_use]
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self {
            status,
            code,
            detail: detail.into(),
            errors: Vec::new(),
            retry_after_s: None,
            queue: None,
            allow: None,
            cause: None,
        }
    }

    /// 400 `validation-failed` with the fields that broke a rule.
    #[must_use]
    pub fn invalid(errors: Vec<FieldError>) -> Self {
        let detail = match errors.as_slice() {
            [one] => format!("{}: {}", one.field, one.message),
            many => format!("{} fields break a rule", many.len()),
        };
        Self { errors, ..Self::new(StatusCode::BAD_REQUEST, "validation-failed", detail) }
    }

    /// 400 `validation-failed` for one field.
    #[must_use]
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::invalid(vec![FieldError { field: field.into(), message: message.into() }])
    }

    /// 401 `login-required`.
    #[must_use]
    pub fn login_required(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "login-required", detail)
    }

    /// 403 `forbidden`.
    #[must_use]
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }

    /// 500 `internal-error`; the cause goes to the log only.
    #[must_use]
    pub fn internal(cause: &anyhow::Error) -> Self {
        let shown = "something went wrong here; the request's id finds it in the log";
        Self {
            cause: Some(format!("{cause:#}")),
            ..Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal-error", shown)
        }
    }

    /// 503 with `Retry-After`; the cause goes to the log only.
    #[must_use]
    pub fn unavailable(code: &'static str, retry_after_s: u64, cause: Option<String>) -> Self {
        let shown = "not able to answer now; try again soon";
        Self {
            retry_after_s: Some(retry_after_s),
            cause,
            ..Self::new(StatusCode::SERVICE_UNAVAILABLE, code, shown)
        }
    }

    /// The failure with its cause, for the log.
    #[must_use]
    pub fn caused_by(self, cause: impl Into<String>) -> Self {
        Self { cause: Some(cause.into()), ..self }
    }

    /// The body as the client sees it.
    #[must_use]
    pub fn problem(&self, request_id: &str) -> Problem {
        Problem {
            kind: format!("/problems/{}", self.code),
            title: self.status.canonical_reason().unwrap_or("Error").into(),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            code: self.code.into(),
            request_id: request_id.into(),
            errors: self.errors.clone(),
            queue: self.queue.clone(),
        }
    }

    /// The headers and body bytes that carry it.
    #[must_use]
    pub fn render(&self, request_id: &str) -> (HeaderMap, Vec<u8>) {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_JSON));
        if let Some(seconds) = self.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(allow) = self.allow.as_ref().and_then(|methods| HeaderValue::from_str(methods).ok()) {
            headers.insert(header::ALLOW, allow);
        }
        let body = serde_json::to_vec(&self.problem(request_id)).expect("plain data always becomes JSON");
        (headers, body)
    }
}

impl IntoResponse for Failure {
    /// The status with the failure as an extension; [`super::observe`] writes the body.
    fn into_response(self) -> Response {
        let mut response = self.status.into_response();
        response.extensions_mut().insert(self);
        response
    }
}
