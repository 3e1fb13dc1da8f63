//! The payment provider: Toss Payments, or the sandbox that speaks its API.
//!
//! Nothing is guessed: what the provider has not clearly said is [`Outcome::Unknown`], and is asked for later.
//! Codes: <https://docs.tosspayments.com/reference/error-codes>.

use std::future::Future;
use std::time::Duration;

use common::wire::id::OrderId;
use common::wire::money::Won;
use reqwest::{Client, Response, StatusCode, Url};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Attempt;
use crate::config::Config;

/// The provider's name in the table.
pub const NAME: &str = "toss";
/// A call takes at most this long; the shopper waits meanwhile, and what takes longer is asked for later.
pub const CALL_MAX: Duration = Duration::from_secs(4);
/// Making a connection takes at most this long.
const CONNECT_MAX: Duration = Duration::from_secs(1);

/// Codes after which the shopper was certainly not charged.
const DECLINED: &[&str] = &[
    "INVALID_REQUEST",
    "INVALID_API_KEY",
    "BELOW_MINIMUM_AMOUNT",
    "INVALID_CARD_EXPIRATION",
    "INVALID_STOPPED_CARD",
    "INVALID_CARD_LOST_OR_STOLEN",
    "EXCEED_MAX_CARD_INSTALLMENT_PLAN",
    "EXCEED_MAX_PAYMENT_AMOUNT",
    "INVALID_REJECT_CARD",
    "DUPLICATED_ORDER_ID",
    "INVALID_IDEMPOTENCY_KEY",
    "REJECT_CARD_PAYMENT",
    "REJECT_ACCOUNT_PAYMENT",
    "REJECT_CARD_COMPANY",
    "REJECT_TOSSPAY_INVALID_ACCOUNT",
    "EXCEED_MAX_AUTH_COUNT",
    "EXCEED_MAX_ONE_DAY_AMOUNT",
    "NOT_AVAILABLE_BANK",
    "FDS_ERROR",
    "FORBIDDEN_REQUEST",
    "INVALID_PASSWORD",
    "INCORRECT_BASIC_AUTH_FORMAT",
    "NOT_FOUND_PAYMENT",
    "NOT_FOUND_PAYMENT_SESSION",
];

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

/// A payment provider.
pub trait Provider {
    /// Takes the money, once per attempt however often it is called.
    fn confirm(&self, attempt: &Attempt) -> impl Future<Output = Outcome> + Send;
    /// What became of the attempt.
    fn find(&self, attempt: &Attempt) -> impl Future<Output = Outcome> + Send;
}

/// Toss Payments, API version 2022-11-16.
#[derive(Debug, Clone)]
pub struct Toss {
    base: Url,
    secret_key: common::config::Secret<String>,
    http: Client,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Payment {
    order_id: OrderId,
    status: String,
    total_amount: Won,
}

#[derive(Deserialize)]
struct Refusal {
    code: String,
    #[serde(default)]
    message: String,
}

impl Toss {
    /// A client of the provider named in the settings.
    ///
    /// # Errors
    /// When the address is not a URL.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let base: Url = config.payment_url.parse()?;
        anyhow::ensure!(!base.cannot_be_a_base(), "PAYMENT_URL={base} is not an address");
        let http = Client::builder().timeout(CALL_MAX).connect_timeout(CONNECT_MAX).no_proxy().build()?;
        Ok(Self { base, secret_key: config.payment_secret_key.clone(), http })
    }

    /// The key comes from a browser: as one segment of the path it cannot name anything else.
    fn url(&self, last: &str) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["v1", "payments", last]);
        }
        url
    }

    fn key(&self) -> (&str, Option<&str>) {
        // The password is empty, its colon is not.
        (&self.secret_key.0, Some(""))
    }
}

impl Provider for Toss {
    async fn confirm(&self, attempt: &Attempt) -> Outcome {
        let body = json!({
            "paymentKey": attempt.payment_key,
            "orderId": attempt.order,
            "amount": attempt.amount,
        });
        let (user, password) = self.key();
        let request = self.http.post(self.url("confirm")).basic_auth(user, password).json(&body);
        match request.header("Idempotency-Key", &attempt.idempotency_key).send().await {
            Ok(answer) if answer.status().is_success() => record(attempt, answer).await,
            Ok(answer) => refusal(answer, DECLINED).await,
            Err(error) => Outcome::Unknown(format!("{:#}", anyhow::Error::new(error))),
        }
    }

    async fn find(&self, attempt: &Attempt) -> Outcome {
        let (user, password) = self.key();
        let request = self.http.get(self.url(&attempt.payment_key)).basic_auth(user, password);
        match request.send().await {
            Ok(answer) if answer.status().is_success() => record(attempt, answer).await,
            // Any other refusal is about the question, not about the payment.
            Ok(answer) => refusal(answer, &["NOT_FOUND_PAYMENT"]).await,
            Err(error) => Outcome::Unknown(format!("{:#}", anyhow::Error::new(error))),
        }
    }
}

async fn record(attempt: &Attempt, answer: Response) -> Outcome {
    match answer.json::<Value>().await {
        Ok(record) => judge(attempt, record),
        Err(error) => Outcome::Unknown(format!("{:#}", anyhow::Error::new(error))),
    }
}

/// What the provider's record of a payment says about the attempt.
fn judge(attempt: &Attempt, record: Value) -> Outcome {
    let payment: Payment = match Payment::deserialize(&record) {
        Ok(payment) => payment,
        Err(error) => return Outcome::Unknown(format!("the provider's record cannot be read: {error}")),
    };
    if payment.order_id != attempt.order {
        let message = "the payment belongs to another order".to_owned();
        return Outcome::Declined { code: "OTHER_ORDER".into(), message };
    }
    match payment.status.as_str() {
        "DONE" if payment.total_amount == attempt.amount => Outcome::Approved(record),
        "DONE" => {
            let (order, paid) = (attempt.order, payment.total_amount);
            tracing::error!(order.id = %order, paid_won = paid.0, due_won = attempt.amount.0, "wrong amount was paid");
            Outcome::Unknown(format!("{paid} won were paid instead of {}", attempt.amount))
        }
        "READY" | "IN_PROGRESS" => Outcome::Pending,
        status @ ("ABORTED" | "EXPIRED" | "CANCELED") => {
            Outcome::Declined { code: status.into(), message: "the payment was not completed".into() }
        }
        status => Outcome::Unknown(format!("the payment is {status}")),
    }
}

async fn refusal(answer: Response, declined: &[&str]) -> Outcome {
    let status = answer.status();
    let Ok(refusal) = answer.json::<Refusal>().await else {
        return Outcome::Unknown(format!("{status} without a readable body"));
    };
    if status == StatusCode::UNAUTHORIZED {
        tracing::error!(code = refusal.code, "the payment provider does not accept PAYMENT_SECRET_KEY");
    }
    let Refusal { code, message } = refusal;
    if status.is_client_error() && declined.contains(&code.as_str()) {
        return Outcome::Declined { code, message };
    }
    Outcome::Unknown(format!("{status} {code}"))
}

#[cfg(test)]
mod tests {
    use common::wire::id::{PaymentId, UserId};

    use super::*;

    fn attempt() -> Attempt {
        Attempt {
            id: PaymentId::new(),
            order: OrderId::new(),
            payment_key: "key".into(),
            idempotency_key: "confirm".into(),
            amount: Won(1_000),
            user: UserId(7),
            user_key: "k".into(),
            checks: 0,
            created_at: common::wire::Time::UNIX_EPOCH,
        }
    }

    fn said(status: &str, amount: i64) -> Outcome {
        let attempt = attempt();
        let record = json!({"orderId": attempt.order, "status": status, "totalAmount": amount});
        judge(&attempt, record)
    }

    #[test]
    fn only_the_whole_amount_of_this_order_is_an_approval() {
        assert!(matches!(said("DONE", 1_000), Outcome::Approved(_)));
        assert!(matches!(said("DONE", 999), Outcome::Unknown(_)));
        let other = json!({"orderId": OrderId::new(), "status": "DONE", "totalAmount": 1_000});
        assert!(matches!(judge(&attempt(), other), Outcome::Declined { .. }));
        assert!(matches!(judge(&attempt(), json!({"status": "DONE"})), Outcome::Unknown(_)));
    }

    #[test]
    fn other_states_are_pending_declined_or_unknown() {
        for status in ["READY", "IN_PROGRESS"] {
            assert_eq!(said(status, 1_000), Outcome::Pending);
        }
        for status in ["ABORTED", "EXPIRED", "CANCELED"] {
            assert!(matches!(said(status, 1_000), Outcome::Declined { .. }));
        }
        for status in ["WAITING_FOR_DEPOSIT", "PARTIAL_CANCELED", "SOMETHING_NEW"] {
            assert!(matches!(said(status, 1_000), Outcome::Unknown(_)));
        }
    }

    #[test]
    fn unclear_codes_are_not_refusals() {
        for code in
            ["ALREADY_PROCESSED_PAYMENT", "PROVIDER_ERROR", "CARD_PROCESSING_ERROR", "UNAUTHORIZED_KEY"]
        {
            assert!(!DECLINED.contains(&code), "{code}");
        }
    }

    #[test]
    fn a_payment_key_stays_one_segment_of_the_path() {
        let base = "http://127.0.0.1:1/".parse().unwrap();
        let toss = Toss { base, secret_key: common::config::Secret("k".into()), http: Client::new() };
        let url = toss.url("../../sandbox/checkouts?x=#y");
        assert_eq!(url.as_str(), "http://127.0.0.1:1/v1/payments/..%2F..%2Fsandbox%2Fcheckouts%3Fx=%23y");
    }
}
