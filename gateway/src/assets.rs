//! The static pages: files of the web folder with validators and the headers that keep foreign scripts out.

use std::io::ErrorKind;
use std::path::Path;

use http::header::{self, HeaderName, HeaderValue};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use tower_http::services::ServeDir;

use crate::body::{Body, Upload};
use crate::error::Error;

/// Pages load from here only, are shown in nobody's frame and say nothing about where a click came from.
const SECURITY: [(HeaderName, &str); 4] = [
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'",
    ),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "same-origin"),
];

/// Serves files.
#[derive(Debug, Clone)]
pub struct Assets(ServeDir);

impl Assets {
    /// The files under `root`.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self(ServeDir::new(root))
    }

    /// The file at the request's path, or 304 when the client has it.
    ///
    /// # Errors
    /// [`Error::NoSuchRoute`] when there is none.
    pub async fn serve(&self, request: Request<Upload>) -> Result<Response<Body>, Error> {
        let answer = self.0.clone().try_call(request).await.map_err(|error| match error.kind() {
            ErrorKind::NotFound | ErrorKind::NotADirectory | ErrorKind::InvalidFilename => Error::NoSuchRoute,
            _ => Error::Internal(error.into()),
        })?;
        if answer.status() == StatusCode::NOT_FOUND {
            return Err(Error::NoSuchRoute);
        }
        let mut response = answer.map(|body| body.map_err(Into::into).boxed_unsync());
        let headers = response.headers_mut();
        // Names carry no version, so a copy is used only after asking whether it is still the same.
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
        for (name, value) in SECURITY {
            headers.insert(name, HeaderValue::from_static(value));
        }
        Ok(response)
    }
}
