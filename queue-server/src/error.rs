//! Everything that can go wrong here, and what a client sees of it.

use std::time::Duration;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use common::http::problem::Failure;

/// Why a request fails. The text is for the client.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nobody sells it.
    #[error("there is no such product")]
    UnknownProduct,
    /// After the sale's end.
    #[error("the sale is over")]
    SaleClosed,
    /// Nothing more to gain by waiting.
    #[error("as many units as one shopper may buy are bought")]
    PurchaseLimitReached,
    /// A right that was given is not given back.
    #[error("already let in: there is no place to leave")]
    AlreadyAdmitted,
    /// Before one's turn, or after it.
    #[error("it is not this shopper's turn")]
    NotReady,
    /// Nothing to take back.
    #[error("the shopper holds no access token")]
    NotAdmitted,
    /// A line in the order of registration.
    #[error("this line is not drawn by lot")]
    NoDraw,
    /// A capacity cannot follow what nobody measures.
    #[error("no service is named whose load a capacity could follow (QUEUE_LOAD_URLS)")]
    NoLoad,
    /// Not an id that an event stream gave.
    #[error("Last-Event-ID is not an id of this stream")]
    InvalidLastEventId,
    /// Another's room, or a stop by somebody who outranks the caller.
    #[error("{0}")]
    Forbidden(&'static str),
    /// More often than one may ask.
    #[error("too many requests of this account or address")]
    TooManyRequests {
        /// Until the next one is taken.
        wait: Duration,
    },
    /// The rooms' store, or the product service, cannot be reached.
    #[error("the waiting room cannot be reached; try again soon")]
    Unavailable(#[source] anyhow::Error),
    /// Our fault; the cause goes to the log only.
    #[error("internal error")]
    Internal(#[from] anyhow::Error),
}

impl Error {
    fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            Self::UnknownProduct => (StatusCode::NOT_FOUND, "unknown-product"),
            Self::SaleClosed => (StatusCode::CONFLICT, "sale-closed"),
            Self::PurchaseLimitReached => (StatusCode::CONFLICT, "purchase-limit-reached"),
            Self::AlreadyAdmitted => (StatusCode::CONFLICT, "already-admitted"),
            Self::NotReady => (StatusCode::CONFLICT, "not-ready"),
            Self::NotAdmitted => (StatusCode::CONFLICT, "not-admitted"),
            Self::NoDraw => (StatusCode::NOT_FOUND, "no-draw"),
            Self::NoLoad => (StatusCode::CONFLICT, "no-load-figures"),
            Self::InvalidLastEventId => (StatusCode::BAD_REQUEST, "invalid-last-event-id"),
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, "forbidden"),
            Self::TooManyRequests { .. } => (StatusCode::TOO_MANY_REQUESTS, "too-many-requests"),
            Self::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "room-unavailable"),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal-error"),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (status, code) = error.kind();
        match &error {
            Error::Internal(cause) => Self::internal(cause),
            Error::Unavailable(cause) => Self::unavailable(code, 1, Some(format!("{cause:#}"))),
            Error::TooManyRequests { wait } => Self {
                // Rounded up: who comes back then finds the bucket filled.
                retry_after_s: Some(wait.as_secs() + 1),
                ..Self::new(status, code, error.to_string())
            },
            _ => Self::new(status, code, error.to_string()),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        Failure::from(self).into_response()
    }
}
