//! What handlers ask for. Every refusal is a problem that names the field and the rule.

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRef, FromRequest, FromRequestParts, Request};
use garde::Validate;
use http::StatusCode;
use http::request::Parts;
use serde::de::DeserializeOwned;

use super::problem::Failure;
use crate::auth::{Caller, Refused, Verifier};
use crate::wire::problem::FieldError;
use crate::wire::token::{ASSERTION_HEADER, Identity, PASS_HEADER, Right};

/// A JSON body that keeps its rules: at most the router's body limit (1 MiB), the right types, valid fields.
#[derive(Debug)]
pub struct Json<T>(pub T);

impl<S, T> FromRequest<S> for Json<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Validate<Context = ()>,
{
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failure> {
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| unreadable(&rejection))?;
        read(&bytes).map(Self)
    }
}

/// A body that did not arrive whole: 413 `body-too-large` or 400 `body-unreadable`.
#[must_use]
pub fn unreadable(rejection: &BytesRejection) -> Failure {
    let status = rejection.status();
    let code = if status == StatusCode::PAYLOAD_TOO_LARGE { "body-too-large" } else { "body-unreadable" };
    Failure::new(status, code, "the body is too large or could not be read")
}

/// Reads and checks a JSON body.
///
/// # Errors
/// 400 `malformed-json` when it is no JSON; 400 `validation-failed` naming the fields otherwise.
pub fn read<T: DeserializeOwned + Validate<Context = ()>>(bytes: &[u8]) -> Result<T, Failure> {
    let value: T = serde_path_to_error::deserialize(&mut serde_json::Deserializer::from_slice(bytes))
        .map_err(|error| {
            let (path, inner) = (error.path().to_string(), error.into_inner());
            if inner.is_data() {
                let field = if path == "." { "body".to_owned() } else { path };
                return Failure::field(field, plain(&inner));
            }
            Failure::new(StatusCode::BAD_REQUEST, "malformed-json", format!("the body is not JSON: {inner}"))
        })?;
    value.validate().map_err(|report| invalid(&report))?;
    Ok(value)
}

/// 400 `validation-failed` with the fields as the client spelled them.
fn invalid(report: &garde::Report) -> Failure {
    let errors = report.iter().map(|(path, error)| FieldError {
        field: camel_case(&path.to_string()),
        message: error.message().to_owned(),
    });
    Failure::invalid(errors.collect())
}

/// serde's message without the position, which means nothing to a client that built the body from an object.
fn plain(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// `lines[0].unit_price` as the client spelled it: `lines[0].unitPrice`.
fn camel_case(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    let mut upper = false;
    for letter in path.chars() {
        match letter {
            '_' => upper = true,
            other if upper => {
                out.extend(other.to_uppercase());
                upper = false;
            }
            other => out.push(other),
        }
    }
    out
}

/// Path parameters.
#[derive(Debug)]
pub struct Path<T>(pub T);

impl<S, T> FromRequestParts<S> for Path<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Send,
{
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let path = axum::extract::Path::<T>::from_request_parts(parts, state).await;
        path.map(|axum::extract::Path(value)| Self(value))
            .map_err(|_| Failure::new(StatusCode::NOT_FOUND, "no-such-route", "the path names no such thing"))
    }
}

/// Query parameters.
#[derive(Debug)]
pub struct Query<T>(pub T);

impl<S, T> FromRequestParts<S> for Query<T>
where
    S: Send + Sync,
    T: DeserializeOwned + Validate<Context = ()>,
{
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let query = axum::extract::Query::<T>::from_request_parts(parts, state).await;
        let axum::extract::Query(value) = query.map_err(|rejection| misread(&rejection.body_text()))?;
        value.validate().map_err(|report| invalid(&report))?;
        Ok(Self(value))
    }
}

/// axum says `Failed to deserialize query string: priceMin: invalid digit …`, or the same without a parameter.
fn misread(text: &str) -> Failure {
    let rule = text.rsplit_once("query string: ").map_or(text, |(_, rule)| rule);
    match rule.split_once(": ") {
        Some((field, rule)) if !field.contains(' ') => Failure::field(field, rule),
        _ => Failure::field("query", rule),
    }
}

impl<S> FromRequestParts<S> for Caller
where
    S: Send + Sync,
    Verifier: FromRef<S>,
{
    type Rejection = Failure;

    /// By the gateway's assertion, or else by the tokens themselves; never by a bare header. A layer that asked before
    /// the handler may leave the answer among the request's extensions.
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        if let Some(caller) = parts.extensions.get::<Self>() {
            return Ok(caller.clone());
        }
        let verifier = Verifier::from_ref(state);
        if let Some(assertion) = one(parts, ASSERTION_HEADER)? {
            return verifier.assertion(assertion).map(Self::from).map_err(refusal);
        }
        let bearer = one(parts, "authorization")?.and_then(|value| value.strip_prefix("Bearer "));
        let token = bearer.ok_or_else(|| Failure::login_required("a login is needed"))?;
        let identity = verifier.identity(token).await.map_err(refusal)?;
        let passes = rights(parts, &verifier, &identity).await?;
        let Identity { sub: user, role, sid, exp: until, .. } = identity;
        Ok(Self { user, role, sid, passes, until })
    }
}

async fn rights(parts: &Parts, verifier: &Verifier, identity: &Identity) -> Result<Vec<Right>, Failure> {
    let mut rights = Vec::new();
    for value in parts.headers.get_all(PASS_HEADER) {
        let token = value.to_str().map_err(|_| pass_refusal(&Refused::Invalid))?;
        let pass = verifier.pass(token, identity).await.map_err(|refused| pass_refusal(&refused))?;
        rights.push(Right::from(&pass));
    }
    Ok(rights)
}

fn one<'a>(parts: &'a Parts, name: &str) -> Result<Option<&'a str>, Failure> {
    let mut values = parts.headers.get_all(name).iter();
    let Some(value) = values.next() else { return Ok(None) };
    let text = value.to_str().ok().filter(|_| values.next().is_none());
    text.map(Some).ok_or_else(|| refusal(Refused::Invalid))
}

/// 401 `invalid-token`, or 503 while the issuer's keys are unknown.
fn refusal(refused: Refused) -> Failure {
    match refused {
        Refused::NoKeys => Failure::unavailable("keys-unknown", 1, None),
        refused => Failure::new(StatusCode::UNAUTHORIZED, "invalid-token", refused.to_string()),
    }
}

/// 403 `invalid-access-token`, or 503 while the issuer's keys are unknown.
#[must_use]
pub fn pass_refusal(refused: &Refused) -> Failure {
    match refused {
        Refused::NoKeys => Failure::unavailable("keys-unknown", 1, None),
        refused => Failure::new(StatusCode::FORBIDDEN, "invalid-access-token", refused.to_string()),
    }
}

/// `Idempotency-Key`: 1 to 128 visible ASCII characters. Required where it is asked for as itself, optional as
/// `Option<IdempotencyKey>`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyKey(pub String);

impl IdempotencyKey {
    /// Reads the header.
    ///
    /// # Errors
    /// 400 `validation-failed` when it breaks the rule.
    pub fn read(parts: &Parts) -> Result<Option<Self>, Failure> {
        let Some(value) = parts.headers.get("idempotency-key") else { return Ok(None) };
        let text = value.to_str().unwrap_or_default();
        if text.is_empty() || text.len() > 128 || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(Failure::field("Idempotency-Key", "1 to 128 visible ASCII characters"));
        }
        Ok(Some(Self(text.to_owned())))
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IdempotencyKey {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        Self::read(parts)?.ok_or_else(|| {
            let detail = "this request needs an Idempotency-Key header";
            Failure::new(StatusCode::BAD_REQUEST, "idempotency-key-required", detail)
        })
    }
}

impl<S: Send + Sync> axum::extract::OptionalFromRequestParts<S> for IdempotencyKey {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Option<Self>, Failure> {
        Self::read(parts)
    }
}
