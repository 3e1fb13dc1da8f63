//! Everything that can go wrong here, and what a client sees of it.

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
    /// Another's room, or a stop by somebody who outranks the caller.
    #[error("{0}")]
    Forbidden(&'static str),
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
            Self::Forbidden(_) => (StatusCode::FORBIDDEN, "forbidden"),
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
            _ => Self::new(status, code, error.to_string()),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        Failure::from(self).into_response()
    }
}
