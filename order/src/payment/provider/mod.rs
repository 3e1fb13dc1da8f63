//! The payment provider, as the rest of the service sees it. [`toss`] is the one there is; another one implements
//! [`Provider`] and gets its own name in the table.
//!
//! Nothing is guessed: what the provider has not clearly said is unknown, and is asked for later.

pub mod toss;

use std::future::Future;
use std::time::Duration;

use axum::http::HeaderMap;
use common::http::problem::Failure;
use serde_json::Value;

use super::Attempt;
use crate::refund::Refund;

/// The provider's name in the table.
pub const NAME: &str = "toss";
/// A call takes at most this long; the shopper waits meanwhile, and what takes longer is asked for later.
pub const CALL_MAX: Duration = Duration::from_secs(4);
/// Making a connection takes at most this long.
const CONNECT_MAX: Duration = Duration::from_secs(1);

/// What became of a payment.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The money is taken; with the provider's record.
    Approved(Value),
    /// It is not, and will not be.
    Declined {
        /// The provider's code.
        code: String,
        /// Its words, for the shopper.
        message: String,
    },
    /// Nobody has confirmed it yet: it can be confirmed again with the same key.
    Pending,
    /// Not known; the text says why, for the log.
    Unknown(String),
}

/// What became of a refund.
#[derive(Debug, Clone, PartialEq)]
pub enum Returned {
    /// The money went back; with the provider's record.
    Done(Value),
    /// It did not, and nobody refused it: it can be asked for again with the same key.
    Open,
    /// It does not go back.
    Refused {
        /// The provider's code.
        code: String,
        /// Its words.
        message: String,
    },
    /// Not known; the text says why, for the log.
    Unknown(String),
}

/// What a provider's message is about. It may be forged, late or repeated: the provider is asked what is true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hint {
    /// The message: a repeat has the same.
    pub transmission: String,
    /// The payment.
    pub payment_key: String,
}

/// A payment provider.
pub trait Provider {
    /// Takes the money, once per attempt however often it is called.
    fn confirm(&self, attempt: &Attempt) -> impl Future<Output = Outcome> + Send;
    /// What became of the attempt.
    fn find(&self, attempt: &Attempt) -> impl Future<Output = Outcome> + Send;
    /// Makes sure that the attempt takes no money, and gives back what it took: never approved afterwards.
    fn void(&self, attempt: &Attempt) -> impl Future<Output = Outcome> + Send;
    /// Gives money back, once per refund however often it is called.
    fn give_back(&self, refund: &Refund) -> impl Future<Output = Returned> + Send;
    /// What became of the refund.
    fn find_refund(&self, refund: &Refund) -> impl Future<Output = Returned> + Send;
    /// Reads a message of the provider.
    ///
    /// # Errors
    /// 400 when it is none.
    fn hint(&self, headers: &HeaderMap, body: &[u8]) -> Result<Hint, Failure>;
}
