//! Answers to those who never became a request: a connection too many, a head that is none. No HTTP library writes
//! these for us, or only without a body.

use bytes::Bytes;
use common::http::observe::REQUEST_ID;
use common::http::problem::Failure;
use uuid::Uuid;

use crate::error::Error;

/// A whole answer as it goes over the wire, after which the connection ends.
#[must_use]
pub fn refusal(error: Error) -> Bytes {
    let id = Uuid::now_v7().to_string();
    let failure = Failure::from(error);
    tracing::debug!(code = failure.code, cause = failure.detail, request.id = id, "connection refused");
    let (headers, body) = failure.render(&id);
    let mut wire = format!("HTTP/1.1 {}\r\n", failure.status).into_bytes();
    let length = body.len().to_string();
    let ours = [(REQUEST_ID, &*id), ("cache-control", "no-store"), ("connection", "close")];
    let ours = ours.into_iter().chain([("content-length", &*length)]);
    let named = headers.iter().map(|(name, value)| (name.as_str(), value.as_bytes()));
    for (name, value) in named.chain(ours.map(|(name, value)| (name, value.as_bytes()))) {
        for piece in [name.as_bytes(), b": ", value, b"\r\n"] {
            wire.extend_from_slice(piece);
        }
    }
    wire.extend_from_slice(b"\r\n");
    wire.extend_from_slice(&body);
    wire.into()
}

/// What a head is refused for, by the status line that hyper begins its empty answer with.
#[must_use]
pub fn of_head(answer: &[u8]) -> Error {
    match answer.get(9..12) {
        Some(b"431") => Error::HeadTooLarge,
        _ => Error::HeadUnreadable,
    }
}
