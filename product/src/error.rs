//! Everything that can go wrong in a request, and what the client is told.

use axum::response::{IntoResponse, Response};
use common::http::problem::Failure;
use common::pg;
use common::wire::problem::FieldError;
use http::StatusCode;

/// A request's failure.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Fields break a rule.
    #[error("the body breaks a rule")]
    Invalid(Vec<FieldError>),
    /// No such company, or it was withdrawn.
    #[error("there is no such company")]
    UnknownCompany,
    /// No such category.
    #[error("there is no such category")]
    UnknownCategory,
    /// No such product, or it was withdrawn.
    #[error("there is no such product")]
    UnknownProduct,
    /// No such picture, or it was removed.
    #[error("there is no such image")]
    UnknownImage,
    /// Too many pictures wait to be read.
    #[error("too many images at once; try again soon")]
    Busy,
    /// The store of pictures cannot answer now.
    #[error("not able to answer now; try again soon")]
    ImageStore(#[source] anyhow::Error),
    /// Redis does not answer.
    #[error("not able to answer now; try again soon")]
    LikesUnavailable(#[source] common::redis::Error),
    /// It was changed since the client saw it.
    #[error("it was changed since the version that If-Match names; read it again")]
    Outdated,
    /// A category of this code exists, or did.
    #[error("a category of this code or name exists")]
    CategoryExists,
    /// A category in use cannot be withdrawn.
    #[error("the category still has products or categories below it")]
    CategoryInUse,
    /// A draft has no sale whose units could be moved.
    #[error("the product is a draft: change its stock by PUT")]
    IsDraft,
    /// No such import.
    #[error("there is no such import")]
    UnknownImport,
    /// A body of another kind than the route takes.
    #[error("the body is text/csv or application/json")]
    MediaType,
    /// The role may not, or the thing belongs to somebody else.
    #[error("this account may not do that")]
    Forbidden,
    /// The product page without a right to it.
    #[error("the product page needs an access token for this product")]
    AccessTokenRequired,
    /// A company with products cannot be withdrawn.
    #[error("the company still has products")]
    CompanyHasProducts,
    /// These fields cannot be changed once the sale has begun.
    #[error("the sale has begun; this can no longer be changed")]
    SaleStarted(Vec<FieldError>),
    /// The same key came with another body.
    #[error("the Idempotency-Key was used with another body")]
    KeyReused,
    /// The account has as many streams open as it may.
    #[error("10 streams of this account are open here")]
    TooManyStreams,
    /// The database's word, for the log.
    #[error("internal error")]
    Database(#[from] sqlx::Error),
}

impl Error {
    /// One field breaks a rule.
    #[must_use]
    pub fn field(field: impl Into<String>, message: impl Into<String>) -> Self {
        Self::Invalid(vec![FieldError { field: field.into(), message: message.into() }])
    }

    fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Invalid(_) => (StatusCode::BAD_REQUEST, "validation-failed"),
            Self::UnknownCompany => (StatusCode::NOT_FOUND, "unknown-company"),
            Self::UnknownCategory => (StatusCode::NOT_FOUND, "unknown-category"),
            Self::UnknownProduct => (StatusCode::NOT_FOUND, "unknown-product"),
            Self::UnknownImage => (StatusCode::NOT_FOUND, "unknown-image"),
            Self::Busy => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            Self::ImageStore(_) => (StatusCode::SERVICE_UNAVAILABLE, "image-store-unavailable"),
            Self::LikesUnavailable(_) => (StatusCode::SERVICE_UNAVAILABLE, "store-unavailable"),
            Self::Outdated => (StatusCode::PRECONDITION_FAILED, "outdated"),
            Self::CategoryExists => (StatusCode::CONFLICT, "category-exists"),
            Self::CategoryInUse => (StatusCode::CONFLICT, "category-in-use"),
            Self::IsDraft => (StatusCode::CONFLICT, "product-is-draft"),
            Self::UnknownImport => (StatusCode::NOT_FOUND, "unknown-import"),
            Self::MediaType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
            Self::AccessTokenRequired => (StatusCode::FORBIDDEN, "access-token-required"),
            Self::CompanyHasProducts => (StatusCode::CONFLICT, "company-has-products"),
            Self::SaleStarted(_) => (StatusCode::CONFLICT, "sale-started"),
            Self::KeyReused => (StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key-reused"),
            Self::TooManyStreams => (StatusCode::TOO_MANY_REQUESTS, "too-many-streams"),
            Self::Database(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal-error"),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (status, code) = error.kind();
        match error {
            Error::Invalid(errors) => Self::invalid(errors),
            Error::SaleStarted(ref errors) => {
                Self { errors: errors.clone(), ..Self::new(status, code, error.to_string()) }
            }
            Error::Busy => Self::unavailable(code, 1, None),
            Error::LikesUnavailable(cause) => Self::unavailable(code, 1, Some(cause.to_string())),
            Error::ImageStore(cause) => Self::unavailable(code, 1, Some(format!("{cause:#}"))),
            Error::Database(cause) if pg::is_passing(&cause) => {
                Self::unavailable("database-unavailable", 1, Some(cause.to_string()))
            }
            Error::Database(cause) => Self::internal(&cause.into()),
            other => Self::new(status, code, other.to_string()),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        Failure::from(self).into_response()
    }
}
