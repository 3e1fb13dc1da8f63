//! The public keys of all token issuers, in one set.

use common::auth::jwks::KeySet;
use common::wire::token::Jwks;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, Response};

use crate::body::{Body, full};
use crate::error::Error;

/// The issuers' key sets.
#[derive(Debug, Clone)]
pub struct Published {
    identity: KeySet,
    pass: KeySet,
}

impl Published {
    /// Of these issuers.
    #[must_use]
    pub fn new(identity: KeySet, pass: KeySet) -> Self {
        Self { identity, pass }
    }

    /// `GET /.well-known/jwks.json`. Copies are kept for a minute, a set that still lacks an issuer not at all.
    ///
    /// # Errors
    /// [`Error::KeysUnknown`] before any key was fetched.
    pub async fn serve(&self) -> Result<Response<Body>, Error> {
        let (identity, pass) = (self.identity.jwks().await, self.pass.jwks().await);
        let whole = !identity.keys.is_empty() && !pass.keys.is_empty();
        let jwks = Jwks { keys: identity.keys.into_iter().chain(pass.keys).collect() };
        if jwks.keys.is_empty() {
            return Err(Error::KeysUnknown);
        }
        let mut response = Response::new(full(serde_json::to_vec(&jwks).map_err(anyhow::Error::from)?));
        let caching = if whole { "public, max-age=60" } else { "no-store" };
        response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static(caching));
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Ok(response)
    }
}
