//! Everything that can be answered instead of what was asked for.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use common::http::problem::Failure;
use common::pg;
use common::wire::id::ProductId;
use common::wire::money::Won;
use common::wire::problem::FieldError;

/// SQLSTATE `lock_not_available`: somebody held a row for longer than the transaction's `lock_timeout`.
pub const LOCK_TIMEOUT: &str = "55P03";

/// Why a request is refused. `Display` is for the client; causes go to the log only.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Fields break a rule that only the product's facts can tell.
    #[error("the order breaks a rule of the product")]
    Invalid(Vec<FieldError>),
    /// Another account's order, or a role that does not buy.
    #[error("this account may not do that")]
    Forbidden,
    /// No valid pass for the products in these fields.
    #[error("an access token for each product of the order is needed")]
    PassNeeded(Vec<FieldError>),
    /// A pass that was taken back.
    #[error("the access token was revoked")]
    PassRevoked,
    /// No such product.
    #[error("there is no product {0}")]
    UnknownProduct(ProductId),
    /// The product has no such option.
    #[error("product {0} has no such option")]
    UnknownOption(ProductId),
    /// No such order.
    #[error("there is no such order")]
    UnknownOrder,
    /// Before the sale.
    #[error("the sale of product {0} has not begun")]
    SaleNotOpen(ProductId),
    /// After the sale, or withdrawn.
    #[error("the sale of product {0} is over")]
    SaleClosed(ProductId),
    /// More units than one shopper may buy.
    #[error("at most {limit} of product {product} per shopper")]
    OverLimit {
        /// The product.
        product: ProductId,
        /// Its purchase limit.
        limit: u32,
    },
    /// The sum does not fit.
    #[error("the order's total is too large")]
    TotalTooLarge,
    /// The ticket has had its order.
    #[error("the access token's ticket has already been used for an order")]
    TicketUsed,
    /// The payment needs a key.
    #[error("this request needs an Idempotency-Key header")]
    KeyRequired,
    /// The same key is being worked on.
    #[error("a request with this Idempotency-Key is still running")]
    InProgress,
    /// The key was used with another body.
    #[error("this Idempotency-Key was used with another body")]
    KeyReused,
    /// Not `reserved`.
    #[error("the order cannot be cancelled in its state")]
    NotCancellable,
    /// Not the order's total.
    #[error("the amount is not the order's total")]
    AmountMismatch,
    /// The units went back.
    #[error("the time to pay this order is over")]
    Expired,
    /// Not `reserved`, or another payment is under way.
    #[error("the order cannot be paid in its state")]
    NotPayable,
    /// The payment was tried before.
    #[error("this payment was already used")]
    PaymentUsed,
    /// The provider said no.
    #[error("the payment was declined: {0}")]
    Declined(String),
    /// Not `paid` or `partiallyRefunded`.
    #[error("the order cannot be refunded in its state")]
    NotRefundable,
    /// More than is left of the payment.
    #[error("at most {left} won can go back")]
    RefundTooLarge {
        /// What is left.
        left: Won,
    },
    /// The buyer gets everything back or nothing.
    #[error("only all that is left, {left} won, can be asked for")]
    WholeRefundOnly {
        /// What is left.
        left: Won,
    },
    /// The provider does not give the money back.
    #[error("the refund was refused: {0}")]
    RefundRefused(String),
    /// No such payment provider.
    #[error("there is no such payment provider")]
    UnknownProvider,
    /// What is needed cannot be reached now.
    #[error("not able to answer now; try again soon")]
    Unavailable(&'static str, #[source] anyhow::Error),
    /// Our fault.
    #[error("internal error")]
    Internal(#[from] anyhow::Error),
}

impl Error {
    /// The failure of a read that several requests waited for, as one of them answers it.
    pub(crate) fn of_another(failed: &Self) -> Self {
        match failed {
            Self::UnknownProduct(id) => Self::UnknownProduct(*id),
            Self::Unavailable(code, cause) => Self::Unavailable(code, anyhow::anyhow!("{cause:#}")),
            other => Self::Internal(anyhow::anyhow!("{other:?}")),
        }
    }

    fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            Self::Invalid(_) | Self::TotalTooLarge => (StatusCode::BAD_REQUEST, "validation-failed"),
            Self::KeyRequired => (StatusCode::BAD_REQUEST, "idempotency-key-required"),
            Self::WholeRefundOnly { .. } => (StatusCode::FORBIDDEN, "whole-refund-only"),
            Self::UnknownProvider => (StatusCode::NOT_FOUND, "unknown-provider"),
            Self::NotRefundable => (StatusCode::CONFLICT, "order-not-refundable"),
            Self::RefundRefused(_) => (StatusCode::CONFLICT, "refund-refused"),
            Self::RefundTooLarge { .. } => (StatusCode::UNPROCESSABLE_ENTITY, "refund-too-large"),
            Self::Declined(_) => (StatusCode::PAYMENT_REQUIRED, "payment-declined"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
            Self::PassNeeded(_) => (StatusCode::FORBIDDEN, "access-token-required"),
            Self::PassRevoked => (StatusCode::FORBIDDEN, "access-token-revoked"),
            Self::UnknownProduct(_) => (StatusCode::NOT_FOUND, "unknown-product"),
            Self::UnknownOption(_) => (StatusCode::NOT_FOUND, "unknown-option"),
            Self::UnknownOrder => (StatusCode::NOT_FOUND, "unknown-order"),
            Self::SaleNotOpen(_) => (StatusCode::CONFLICT, "sale-not-open"),
            Self::SaleClosed(_) => (StatusCode::CONFLICT, "sale-closed"),
            Self::OverLimit { .. } => (StatusCode::CONFLICT, "purchase-limit-exceeded"),
            Self::TicketUsed => (StatusCode::CONFLICT, "ticket-used"),
            Self::InProgress => (StatusCode::CONFLICT, "request-in-progress"),
            Self::NotCancellable => (StatusCode::CONFLICT, "order-not-cancellable"),
            Self::Expired => (StatusCode::CONFLICT, "order-expired"),
            Self::NotPayable => (StatusCode::CONFLICT, "order-not-payable"),
            Self::PaymentUsed => (StatusCode::CONFLICT, "payment-key-used"),
            Self::KeyReused => (StatusCode::UNPROCESSABLE_ENTITY, "idempotency-key-reused"),
            Self::AmountMismatch => (StatusCode::UNPROCESSABLE_ENTITY, "amount-mismatch"),
            Self::Unavailable(code, _) => (StatusCode::SERVICE_UNAVAILABLE, code),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal-error"),
        }
    }
}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        if pg::code(&error) == Some(LOCK_TIMEOUT) {
            return Self::InProgress;
        }
        let passing = pg::is_passing(&error);
        let cause = anyhow::Error::new(error).context("database");
        if passing { Self::Unavailable("database-unavailable", cause) } else { Self::Internal(cause) }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (status, code) = error.kind();
        let detail = error.to_string();
        match error {
            Error::Internal(cause) => Self::internal(&cause),
            Error::Unavailable(code, cause) => Self::unavailable(code, 1, Some(format!("{cause:#}"))),
            Error::Invalid(errors) => Self::invalid(errors),
            Error::PassNeeded(errors) => Self { errors, ..Self::new(status, code, detail) },
            Error::InProgress => Self { retry_after_s: Some(1), ..Self::new(status, code, detail) },
            _ => Self::new(status, code, detail),
        }
    }
}

impl IntoResponse for Error {
    fn into_response(self) -> Response {
        Failure::from(self).into_response()
    }
}
