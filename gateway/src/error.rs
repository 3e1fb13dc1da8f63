//! Everything the gateway refuses or fails at, and the one place that says with which status and code.

use std::time::Duration;

use common::auth::Refused;
use common::http::problem::Failure;
use common::wire::id::ProductId;
use http::StatusCode;

/// Why a request gets no answer from a service. `Display` is for the client.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A path that two programs could read in two ways.
    #[error("the path {0}")]
    BadPath(&'static str),
    /// Headers that contradict each other.
    #[error("the request {0}")]
    BadHeader(&'static str),
    /// A request head that is no HTTP/1.
    #[error("the request's first line and headers are not HTTP/1.1, or say in two ways where the body ends")]
    HeadUnreadable,
    /// More head than fits.
    #[error("the request's first line and headers are more than 32 KiB, or more than 100 headers")]
    HeadTooLarge,
    /// A head that began and did not end in time.
    #[error("the request's headers took too long to arrive")]
    HeadTooSlow,
    /// One connection more than the gateway, or one address, may have.
    #[error("too many connections at once")]
    TooManyConnections,
    /// Not in the route table.
    #[error("there is nothing at this path")]
    NoSuchRoute,
    /// In the route table with other methods.
    #[error("this path takes {allow}")]
    MethodNotAllowed {
        /// The methods it takes.
        allow: String,
    },
    /// The route needs a login and none was sent.
    #[error("a login is needed: Authorization: Bearer <token>, or the cookie of a login")]
    LoginRequired,
    /// What was sent as a login is none.
    #[error("{0}")]
    InvalidToken(&'static str),
    /// What was sent as a login did not verify.
    #[error("{0}")]
    RefusedToken(Refused),
    /// A browser sent it from a page that is not ours, or something that is no browser sent a browser's cookie.
    #[error("the Origin header must name this shop: scheme, host and port")]
    ForeignOrigin,
    /// An issuer's keys could not be fetched yet.
    #[error("tokens cannot be checked yet; try again soon")]
    KeysUnknown,
    /// The account's role may not use the route.
    #[error("this account may not do that")]
    Forbidden,
    /// The route needs an access token.
    #[error("{}", access_token_hint(*.product))]
    AccessTokenRequired {
        /// The product it must be for, when the path names one.
        product: Option<ProductId>,
    },
    /// What was sent as an access token did not verify, or was revoked.
    #[error("{0}")]
    InvalidAccessToken(Refused),
    /// More body than the route takes.
    #[error("the body is larger than the {max} bytes that this path takes")]
    BodyTooLarge {
        /// The route's limit in bytes.
        max: u64,
    },
    /// The body took too long to arrive.
    #[error("the body took too long to arrive")]
    BodyTooSlow,
    /// The body broke off, or its framing is wrong.
    #[error("the body could not be read to its end")]
    BodyUnreadable,
    /// The gateway has as much to do as it can carry.
    #[error("too many requests at once; try again soon")]
    Overloaded,
    /// A service has as much to do as it can carry.
    #[error("too many requests for this part of the shop at once; try again soon")]
    UpstreamBusy,
    /// This account or this address asked too often.
    #[error("too often: try again in {} s", .wait.as_secs() + 1)]
    TooManyRequests {
        /// When it may ask again.
        wait: Duration,
    },
    /// How often this address asked is not known.
    #[error("not able to do this now; try again soon")]
    LimitsUnknown,
    /// All replicas of the service failed a moment ago.
    #[error("this part of the shop is down; try again soon")]
    UpstreamDown {
        /// When one of them is tried again.
        rest: Duration,
    },
    /// The service did not answer in time.
    #[error("no answer in time; the request may still be carried out")]
    UpstreamTimeout,
    /// No connection to the service.
    #[error("this part of the shop cannot be reached now")]
    UpstreamUnreachable(#[source] anyhow::Error),
    /// The service's answer is none.
    #[error("this part of the shop gave no proper answer")]
    BadUpstreamAnswer(#[source] anyhow::Error),
    /// A bug, or a machine in trouble.
    #[error("something went wrong here; the request's id finds it in the log")]
    Internal(#[from] anyhow::Error),
}

fn access_token_hint(product: Option<ProductId>) -> String {
    let queue = product.map_or_else(|| "{productId}".to_owned(), |id| id.to_string());
    format!("an access token is needed: join the queue with POST /api/queue/{queue}")
}

impl Error {
    fn kind(&self) -> (StatusCode, &'static str) {
        match self {
            Self::BadPath(_) => (StatusCode::BAD_REQUEST, "bad-path"),
            Self::BadHeader(_) => (StatusCode::BAD_REQUEST, "bad-header"),
            Self::HeadUnreadable => (StatusCode::BAD_REQUEST, "head-unreadable"),
            Self::HeadTooLarge => (StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE, "head-too-large"),
            Self::HeadTooSlow => (StatusCode::REQUEST_TIMEOUT, "head-too-slow"),
            Self::NoSuchRoute => (StatusCode::NOT_FOUND, "no-such-route"),
            Self::MethodNotAllowed { .. } => (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed"),
            Self::LoginRequired => (StatusCode::UNAUTHORIZED, "login-required"),
            Self::InvalidToken(_) | Self::RefusedToken(_) => (StatusCode::UNAUTHORIZED, "invalid-token"),
            Self::KeysUnknown => (StatusCode::SERVICE_UNAVAILABLE, "keys-unknown"),
            Self::ForeignOrigin => (StatusCode::FORBIDDEN, "foreign-origin"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden"),
            Self::AccessTokenRequired { .. } => (StatusCode::FORBIDDEN, "access-token-required"),
            Self::InvalidAccessToken(Refused::Revoked) => (StatusCode::FORBIDDEN, "access-token-revoked"),
            Self::InvalidAccessToken(_) => (StatusCode::FORBIDDEN, "invalid-access-token"),
            Self::BodyTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "body-too-large"),
            Self::BodyTooSlow => (StatusCode::REQUEST_TIMEOUT, "body-too-slow"),
            Self::BodyUnreadable => (StatusCode::BAD_REQUEST, "body-unreadable"),
            Self::Overloaded | Self::TooManyConnections => (StatusCode::SERVICE_UNAVAILABLE, "overloaded"),
            Self::UpstreamBusy => (StatusCode::SERVICE_UNAVAILABLE, "upstream-busy"),
            Self::TooManyRequests { .. } => (StatusCode::TOO_MANY_REQUESTS, "too-many-requests"),
            Self::LimitsUnknown => (StatusCode::SERVICE_UNAVAILABLE, "limits-unknown"),
            Self::UpstreamDown { .. } => (StatusCode::SERVICE_UNAVAILABLE, "upstream-down"),
            Self::UpstreamTimeout => (StatusCode::GATEWAY_TIMEOUT, "upstream-timeout"),
            Self::UpstreamUnreachable(_) => (StatusCode::BAD_GATEWAY, "upstream-unreachable"),
            Self::BadUpstreamAnswer(_) => (StatusCode::BAD_GATEWAY, "bad-upstream-answer"),
            Self::Internal(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal-error"),
        }
    }

    /// Whether a service failed here, and not the client or the gateway.
    #[must_use]
    pub fn is_upstreams(&self) -> bool {
        matches!(
            self,
            Self::UpstreamBusy
                | Self::UpstreamDown { .. }
                | Self::UpstreamTimeout
                | Self::UpstreamUnreachable(_)
                | Self::BadUpstreamAnswer(_)
        )
    }

    /// Whether this is one request too many. To turn it away is the gateway's work and nobody's failure: it is counted, but
    /// a line for each would be more work, and a flood in the log, when there is too much already.
    #[must_use]
    pub fn is_load(&self) -> bool {
        matches!(self, Self::Overloaded | Self::TooManyConnections | Self::UpstreamBusy)
    }

    /// Whether the rest of the request may still be on the wire, so that the connection cannot be used again.
    #[must_use]
    pub fn ends_connection(&self) -> bool {
        matches!(self, Self::BodyTooLarge { .. } | Self::BodyTooSlow | Self::BodyUnreadable)
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let (status, code) = error.kind();
        let failure = Self::new(status, code, error.to_string());
        match error {
            Error::AccessTokenRequired { product: Some(product) } => {
                Self { queue: Some(format!("/api/queue/{product}")), ..failure }
            }
            Error::MethodNotAllowed { allow } => Self { allow: Some(allow), ..failure },
            Error::UpstreamUnreachable(cause) | Error::BadUpstreamAnswer(cause) | Error::Internal(cause) => {
                failure.caused_by(format!("{cause:#}"))
            }
            Error::TooManyRequests { wait } | Error::UpstreamDown { rest: wait } => {
                Self { retry_after_s: Some(wait.as_secs() + 1), ..failure }
            }
            _ if status == StatusCode::SERVICE_UNAVAILABLE => Self { retry_after_s: Some(1), ..failure },
            _ => failure,
        }
    }
}
