//! Everything that can go wrong here, and what a client sees of it.

use std::time::Duration;

use axum::response::{IntoResponse, Response};
use common::http::problem::Failure;
use http::StatusCode;

/// Why a request fails. The text is for the client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Another account, deleted or not, has it.
    #[error("the login id is taken")]
    LoginIdTaken,
    /// One answer for every reason, so that it does not tell which login ids exist.
    #[error("the login id or the password is wrong")]
    WrongCredentials,
    /// Never given, used up, or of a login that has ended.
    #[error("the refresh token counts no longer: log in again")]
    InvalidRefreshToken,
    /// Of somebody who is logged in: who holds the session is not asked to log in again.
    #[error("currentPassword: not the account's password")]
    WrongPassword,
    /// The caller has no such login.
    #[error("there is no such login")]
    UnknownSession,
    /// No such account, or it was deleted.
    #[error("there is no such user")]
    UnknownUser,
    /// No such product, or it was withdrawn.
    #[error("there is no such product")]
    UnknownProduct,
    /// Nothing will ever be told of it.
    #[error("the sale is over")]
    SaleClosed,
    /// Somebody has asked to be told of very much.
    #[error("at most {} subscriptions per account", crate::subscription::PER_ACCOUNT_MAX)]
    TooManySubscriptions,
    /// The product service cannot be asked now.
    #[error("not able to answer now; try again soon")]
    ProductUnavailable(#[source] anyhow::Error),
    /// Somebody has to be left who can give roles.
    #[error("the shop's last ADMIN can neither lose the role nor be deleted")]
    LastAdmin,
    /// For an ADMIN only.
    #[error("this is for an ADMIN")]
    Forbidden,
    /// Too many failures of this account or this address.
    #[error("too many failed attempts; try again in {} s", .wait.as_secs().max(1))]
    TooManyAttempts { wait: Duration },
    /// Too many passwords wait to be hashed.
    #[error("too many logins at once; try again soon")]
    Busy,
    /// The database cannot answer now.
    #[error("the store cannot be reached; try again soon")]
    Unavailable(#[source] sqlx::Error),
    /// Our fault; the cause goes to the log only.
    #[error("internal error")]
    Internal(#[from] anyhow::Error),
}

impl Error {
    fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            Self::LoginIdTaken => (StatusCode::CONFLICT, "login-id-taken"),
            Self::WrongCredentials => (StatusCode::UNAUTHORIZED, "wrong-credentials"),
            Self::InvalidRefreshToken => (StatusCode::UNAUTHORIZED, "invalid-refresh-token"),
            Self::WrongPassword => (StatusCode::FORBIDDEN, "wrong-password"),
            Self::UnknownSession => (StatusCode::NOT_FOUND, "unknown-session"),
            Self::UnknownUser => (StatusCode::NOT_FOUND, "unknown-user"),
            Self::UnknownProduct => (StatusCode::NOT_FOUND, "unknown-product"),
            Self::SaleClosed => (StatusCode::CONFLICT, "sale-closed"),
            Self::TooManySubscriptions => (StatusCode::CONFLICT, "too-many-subscriptions"),
            Self::ProductUnavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "product-unavailable"),
            Self::LastAdmin => (StatusCode::CONFLICT, "last-admin"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
            Self::TooManyAttempts { .. } => (StatusCode::TOO_MANY_REQUESTS, "too-many-attempts"),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Self::Unavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "store-unavailable"),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal-error"),
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if common::pg::is_passing(&error) { Self::Unavailable(error) } else { Self::Internal(error.into()) }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (status, code) = error.kind();
        match &error {
            Error::Internal(cause) => Self::internal(cause),
            Error::Busy => Self::unavailable(code, 1, None),
            Error::ProductUnavailable(cause) => Self::unavailable(code, 1, Some(format!("{cause:#}"))),
            Error::Unavailable(cause) => Self::unavailable(code, 1, Some(cause.to_string())),
            Error::TooManyAttempts { wait } => {
                let retry_after_s = Some(wait.as_secs() + 1);
                Self { retry_after_s, ..Self::new(status, code, error.to_string()) }
            }
            _ => Self::new(status, code, error.to_string()),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        Failure::from(self).into_response()
    }
}
