//! Versions as entity tags: who changes something says which version it was made from, and a lost update is refused.

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use common::http::problem::Failure;
use http::request::Parts;
use http::{HeaderValue, header};
use serde::Serialize;

use crate::error::Error;

/// What a request's `If-Match` demands of the version that it changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum IfMatch {
    /// Nothing: the header is absent, or `*`.
    Any,
    /// To be one of these.
    Versions(Vec<i64>),
}

impl IfMatch {
    /// Refuses a change of another version than the client has seen.
    ///
    /// # Errors
    /// [`Error::Outdated`].
    pub fn check(&self, version: i64) -> Result<(), Error> {
        match self {
            Self::Versions(seen) if !seen.contains(&version) => Err(Error::Outdated),
            _ => Ok(()),
        }
    }

    /// Tags that are none of ours, weak ones among them, match no version.
    fn read(text: &str) -> Option<Self> {
        if text.trim() == "*" {
            return Some(Self::Any);
        }
        let tag = |tag: &str| {
            let opaque = tag.trim().trim_start_matches("W/").strip_prefix('"')?.strip_suffix('"')?;
            Some(opaque.parse().ok().filter(|_| !tag.trim().starts_with("W/")).unwrap_or(0))
        };
        text.split(',').map(tag).collect::<Option<_>>().map(Self::Versions)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let Some(value) = parts.headers.get(header::IF_MATCH) else { return Ok(Self::Any) };
        let read = value.to_str().ok().and_then(Self::read);
        read.ok_or_else(|| Failure::field("If-Match", "* or entity tags, as an ETag gave them"))
    }
}

/// A body with the version that it shows as its `ETag`.
#[derive(Debug)]
pub struct Tagged<T> {
    /// Rises with every change.
    pub version: i64,
    /// What is shown.
    pub body: T,
}

/// A version as an entity tag.
#[must_use]
pub fn tag(version: i64) -> HeaderValue {
    HeaderValue::from_str(&format!("\"{version}\"")).expect("digits in quotes are a header value")
}

impl<T: Serialize> IntoResponse for Tagged<T> {
    fn into_response(self) -> Response {
        ([(header::ETAG, tag(self.version))], axum::Json(self.body)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_strong_tags_of_the_version_match() {
        let passes = |text: &str| IfMatch::read(text).map(|tags| tags.check(3).is_ok());
        for (text, expected) in [
            ("*", Some(true)),
            ("\"3\"", Some(true)),
            ("\"2\", \"3\"", Some(true)),
            ("\"2\"", Some(false)),
            ("W/\"3\"", Some(false)),
            ("\"x\"", Some(false)),
            ("3", None),
            ("", None),
        ] {
            assert_eq!(passes(text), expected, "{text}");
        }
    }
}
