//! Toss Payments, or the sandbox that speaks its API.
//! Codes: <https://docs.tosspayments.com/reference/error-codes>.

use axum::http::HeaderMap;
use common::http::extract;
use common::http::problem::Failure;
use common::wire::id::OrderId;
use common::wire::money::Won;
use garde::Validate;
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use serde_json::{Value, json};

use super::{CALL_MAX, CONNECT_MAX, Hint, Outcome, Provider, Returned};
use crate::config::Config;
use crate::payment::Attempt;
use crate::refund::Refund;

/// Says which of the provider's messages this is; the same one however often it is sent.
const TRANSMISSION: &str = "tosspayments-webhook-transmission-id";
/// Characters of a name that the provider gives.
const NAME_MAX: usize = 200;
/// Why a payment that was unknown for too long is cancelled.
const VOID_REASON: &str = "not confirmed in time";

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

/// Codes after which a refund will not be made, whoever asks and however often.
const NOT_RETURNED: &[&str] = &[
    "INVALID_REQUEST",
    "NOT_CANCELABLE_AMOUNT",
    "NOT_CANCELABLE_PAYMENT",
    "NOT_MATCHES_REFUNDABLE_AMOUNT",
    "EXCEED_MAX_REFUND_DUE",
    "NOT_ALLOWED_PARTIAL_REFUND",
    "NOT_FOUND_PAYMENT",
];

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
    /// What has not gone back.
    #[serde(default)]
    balance_amount: Won,
}

/// `PAYMENT_STATUS_CHANGED`, as far as it is read. Its signature does not exist: nothing in it is believed.
#[derive(Deserialize, Validate)]
#[serde(rename_all = "camelCase")]
struct Message {
    #[garde(dive)]
    data: About,
}

#[derive(Deserialize, Validate)]
#[serde(rename_all = "camelCase")]
struct About {
    #[garde(length(min = 1, max = NAME_MAX))]
    payment_key: String,
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
    fn url(&self, last: &[&str]) -> Url {
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(["v1", "payments"]).extend(last);
        }
        url
    }

    fn post(&self, path: &[&str], idempotency_key: &str, body: &Value) -> RequestBuilder {
        let (user, password) = self.key();
        let request = self.http.post(self.url(path)).basic_auth(user, password).json(body);
        request.header("Idempotency-Key", idempotency_key)
    }

    fn get(&self, payment_key: &str) -> RequestBuilder {
        let (user, password) = self.key();
        self.http.get(self.url(&[payment_key])).basic_auth(user, password)
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
        match self.post(&["confirm"], &attempt.idempotency_key, &body).send().await {
            Ok(answer) if answer.status().is_success() => record(attempt, answer).await,
            Ok(answer) => refusal(answer, DECLINED).await,
            Err(error) => Outcome::Unknown(format!("{:#}", anyhow::Error::new(error))),
        }
    }

    async fn find(&self, attempt: &Attempt) -> Outcome {
        match self.get(&attempt.payment_key).send().await {
            Ok(answer) if answer.status().is_success() => record(attempt, answer).await,
            // Any other refusal is about the question, not about the payment.
            Ok(answer) => refusal(answer, &["NOT_FOUND_PAYMENT"]).await,
            Err(error) => Outcome::Unknown(format!("{:#}", anyhow::Error::new(error))),
        }
    }

    async fn void(&self, attempt: &Attempt) -> Outcome {
        let (path, key) = ([&*attempt.payment_key, "cancel"], format!("void:{}", attempt.id));
        let sent = self.post(&path, &key, &json!({"cancelReason": VOID_REASON})).send().await;
        match sent {
            Ok(answer) if answer.status().is_success() => record(attempt, answer).await,
            // Nothing was taken, or it went back before: the record says which, and is asked for.
            Ok(_) => match self.find(attempt).await {
                Outcome::Pending => Outcome::Declined { code: "VOIDED".into(), message: VOID_REASON.into() },
                Outcome::Approved(_) => Outcome::Unknown("the provider does not cancel it".into()),
                outcome => outcome,
            },
            Err(error) => Outcome::Unknown(format!("{:#}", anyhow::Error::new(error))),
        }
    }

    async fn give_back(&self, refund: &Refund) -> Returned {
        let path = [&*refund.payment_key, "cancel"];
        let body = json!({"cancelReason": refund.reason, "cancelAmount": refund.amount});
        match self.post(&path, &refund.idempotency_key, &body).send().await {
            Ok(answer) if answer.status().is_success() => returned(refund, answer).await,
            Ok(answer) => match refusal(answer, NOT_RETURNED).await {
                Outcome::Declined { code, message } => Returned::Refused { code, message },
                Outcome::Unknown(why) => Returned::Unknown(why),
                Outcome::Approved(_) | Outcome::Pending => Returned::Unknown("a refusal that is none".into()),
            },
            Err(error) => Returned::Unknown(format!("{:#}", anyhow::Error::new(error))),
        }
    }

    async fn find_refund(&self, refund: &Refund) -> Returned {
        match self.get(&refund.payment_key).send().await {
            Ok(answer) if answer.status().is_success() => returned(refund, answer).await,
            Ok(answer) => Returned::Unknown(answer.status().to_string()),
            Err(error) => Returned::Unknown(format!("{:#}", anyhow::Error::new(error))),
        }
    }

    fn hint(&self, headers: &HeaderMap, body: &[u8]) -> Result<Hint, Failure> {
        let transmission = headers.get(TRANSMISSION).and_then(|value| value.to_str().ok());
        let transmission = transmission.filter(|id| (1..=NAME_MAX).contains(&id.len()));
        let rule = "1 to 200 visible ASCII characters";
        let transmission = transmission.ok_or_else(|| Failure::field(TRANSMISSION, rule))?.to_owned();
        let message: Message = extract::read(body)?;
        Ok(Hint { transmission, payment_key: message.data.payment_key })
    }
}

async fn returned(refund: &Refund, answer: Response) -> Returned {
    match answer.json::<Value>().await {
        Ok(record) => judge_refund(refund, record),
        Err(error) => Returned::Unknown(format!("{:#}", anyhow::Error::new(error))),
    }
}

/// What the provider's record of a payment says about a refund of it. One refund at a time changes the balance, and
/// nobody but this service asks for any: so the balance tells.
fn judge_refund(refund: &Refund, record: Value) -> Returned {
    let payment: Payment = match Payment::deserialize(&record) {
        Ok(payment) => payment,
        Err(error) => return Returned::Unknown(format!("the provider's record cannot be read: {error}")),
    };
    let before = refund.left_after.checked_add(refund.amount);
    match (payment.status.as_str(), payment.balance_amount) {
        _ if payment.order_id != refund.order => {
            Returned::Unknown("the payment belongs to another order".into())
        }
        ("CANCELED" | "PARTIAL_CANCELED", balance) if balance == refund.left_after => Returned::Done(record),
        ("DONE" | "PARTIAL_CANCELED", balance) if Some(balance) == before => Returned::Open,
        (status, balance) => {
            Returned::Unknown(format!("the payment is {status}, {balance} won are left of it"))
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
            hints: 0,
            declined: false,
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
        let url = toss.url(&["../../sandbox/checkouts?x=#y"]);
        assert_eq!(url.as_str(), "http://127.0.0.1:1/v1/payments/..%2F..%2Fsandbox%2Fcheckouts%3Fx=%23y");
    }
}
