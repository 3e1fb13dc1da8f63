//! Same key, same body, same answer.
//!
//! - [`store`]: the rows: who claimed which key with which body, and what was answered.
//! - [`forget`]: removes rows after a day.
//!
//! A row is written in the transaction of what it protects, so a key is used up exactly when the effect is there;
//! refusals leave none. A concurrent request with the same key waits on the row's index.

pub mod forget;
pub mod store;

use std::sync::Arc;

use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};
use common::http::extract::IdempotencyKey;
use common::wire::id::UserId;
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use crate::error::Error;

/// Says that an answer was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotent-replayed");

/// One key's use: by whom, where, for which body.
#[derive(Debug, Clone)]
pub struct Claim {
    user: UserId,
    route: String,
    key: String,
    fingerprint: Vec<u8>,
}

impl Claim {
    /// A claim for a body, whose spelling does not matter: it is written out again before it is hashed.
    pub fn new(user: UserId, route: impl Into<String>, key: IdempotencyKey, body: &impl Serialize) -> Self {
        let canonical = serde_json::to_vec(body).expect("plain data always becomes JSON");
        Self { user, route: route.into(), key: key.0, fingerprint: Sha256::digest(canonical).to_vec() }
    }
}

/// An answer as it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// Body, as JSON; of a declined payment or refund only the provider's word.
    pub body: Arc<str>,
}

impl Answer {
    /// An answer with a body.
    pub fn new(status: StatusCode, body: &impl Serialize) -> Self {
        Self { status, body: serde_json::to_string(body).expect("plain data always becomes JSON").into() }
    }

    /// Given for the first time.
    ///
    /// # Errors
    /// The stored refusal: [`Error::Declined`], [`Error::RefundRefused`].
    pub fn first(self) -> Result<Response, Error> {
        let said = || serde_json::from_str(&self.body).unwrap_or_default();
        match self.status {
            StatusCode::PAYMENT_REQUIRED => Err(Error::Declined(said())),
            StatusCode::CONFLICT => Err(Error::RefundRefused(said())),
            status => {
                let json = [(CONTENT_TYPE, HeaderValue::from_static("application/json"))];
                Ok((status, json, String::from(&*self.body)).into_response())
            }
        }
    }

    /// Given again.
    ///
    /// # Errors
    /// The stored refusal: [`Error::Declined`], [`Error::RefundRefused`].
    pub fn replayed(self) -> Result<Response, Error> {
        let mut response = self.first()?;
        response.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
        Ok(response)
    }
}
