//! Payments, and what may happen to them.

use std::collections::HashMap;
use std::time::Duration;

use axum::http::StatusCode;
use chrono::{FixedOffset, SecondsFormat};
use common::wire::Time;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::Uuid;

use super::http::Answer;

/// After the shopper agreed, the shop has this long to confirm, at the provider's own pace.
const CONFIRM_WITHIN: Duration = Duration::from_secs(600);
/// An open page ends after this long, at the provider's own pace.
const PAGE_OPEN: Duration = Duration::from_secs(1_800);
/// A card pays at least this much, in won.
const AMOUNT_MIN: i64 = 100;
const REASON_MAX_CHARS: usize = 200;
const REJECTED: &str = "REJECT_CARD_PAYMENT";

/// Everything the provider knows.
#[derive(Debug)]
pub(super) struct Shop {
    /// How many times faster than the real provider's its clocks run.
    pace: f64,
    /// Payments whose state changed and of which the shop was not told yet.
    pub(super) changed: Vec<Payment>,
    /// In the order of their making.
    payments: Vec<Payment>,
    by_key: HashMap<String, usize>,
    by_order: HashMap<String, Vec<usize>>,
    /// By idempotency key, and method with path.
    pub(super) replays: HashMap<(String, String), Replay>,
}

/// An answer that was given, or will be at `due`.
#[derive(Debug)]
pub(super) struct Replay {
    pub(super) due: Instant,
    pub(super) answer: Answer,
}

/// What the shopper does on the provider's page.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Outcome {
    /// Agrees; the card will pay.
    #[default]
    Approve,
    /// Agrees; the card will not pay.
    Decline,
    /// Closes the page.
    Close,
}

/// Body of `POST /sandbox/checkouts`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Checkout {
    pub(super) order_id: String,
    pub(super) amount: i64,
    #[serde(default)]
    pub(super) outcome: Outcome,
    #[serde(default)]
    pub(super) order_name: Option<String>,
}

/// Body of `POST /v1/payments/confirm`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Confirm {
    payment_key: String,
    order_id: String,
    amount: i64,
}

/// Body of `POST /v1/payments/{paymentKey}/cancel`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Cancel {
    cancel_reason: String,
    /// All that is left, when absent.
    #[serde(default)]
    cancel_amount: Option<i64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
enum Status {
    Ready,
    InProgress,
    Done,
    PartialCanceled,
    Canceled,
    Aborted,
    Expired,
}

/// A payment as the provider shows it.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Payment {
    m_id: &'static str,
    version: &'static str,
    last_transaction_key: Option<String>,
    payment_key: String,
    order_id: String,
    order_name: String,
    #[serde(rename = "type")]
    kind: &'static str,
    method: &'static str,
    status: Status,
    currency: &'static str,
    country: &'static str,
    total_amount: i64,
    balance_amount: i64,
    is_partial_cancelable: bool,
    requested_at: String,
    approved_at: Option<String>,
    cancels: Option<Vec<Cancelled>>,
    failure: Option<Value>,
    #[serde(skip)]
    outcome: Outcome,
    #[serde(skip)]
    opened_at: Time,
}

/// Money that went back.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Cancelled {
    cancel_reason: String,
    canceled_at: String,
    cancel_amount: i64,
    tax_free_amount: i64,
    tax_exemption_amount: i64,
    /// What can still go back after this.
    refundable_amount: i64,
    transaction_key: String,
    cancel_status: &'static str,
}

/// Why the provider says no.
#[derive(Debug)]
pub(super) struct Refused {
    pub(super) status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refused {
    /// `status` is one of the HTTP statuses.
    pub(super) fn new(status: u16, code: &'static str, message: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(status).expect("an HTTP status");
        Self { status, code, message: message.into() }
    }

    fn invalid(message: &str) -> Self {
        Self::new(400, "INVALID_REQUEST", message)
    }

    pub(super) fn body(&self) -> Value {
        json!({"code": self.code, "message": self.message})
    }
}

impl Shop {
    pub(super) fn new(pace: f64) -> Self {
        Self {
            pace,
            changed: Vec::new(),
            payments: Vec::new(),
            by_key: HashMap::new(),
            by_order: HashMap::new(),
            replays: HashMap::new(),
        }
    }

    /// The shopper was on the page; returns the key of the payment.
    pub(super) fn check_out(&mut self, wish: Checkout, now: Time) -> Result<String, Refused> {
        let name = wish.order_id.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_'));
        if !name || !(6..=64).contains(&wish.order_id.len()) {
            return Err(Refused::invalid("orderId: 6 to 64 of A-Z, a-z, 0-9, - and _"));
        }
        if wish.amount < AMOUNT_MIN {
            return Err(Refused::new(400, "BELOW_MINIMUM_AMOUNT", "a card pays at least 100 won"));
        }
        let (payment, place) = (Payment::open(wish, now), self.payments.len());
        let payment_key = payment.payment_key.clone();
        self.by_key.insert(payment_key.clone(), place);
        self.by_order.entry(payment.order_id.clone()).or_default().push(place);
        self.payments.push(payment);
        Ok(payment_key)
    }

    /// The shop takes the money.
    pub(super) fn confirm(&mut self, wish: Confirm, now: Time) -> Result<Payment, Refused> {
        let session = || Refused::new(404, "NOT_FOUND_PAYMENT_SESSION", "no agreed payment waits for this");
        let place = self.place(&wish.payment_key, now)?;
        let others = self.by_order.get(&self.payments[place].order_id).into_iter().flatten();
        let paid = others.filter(|other| **other != place).any(|other| self.payments[*other].is_paid());
        let payment = &mut self.payments[place];
        if payment.order_id != wish.order_id {
            return Err(session());
        }
        match payment.status {
            Status::InProgress => {}
            Status::Aborted => return Err(rejected()),
            Status::Ready | Status::Expired => return Err(session()),
            Status::Done | Status::PartialCanceled | Status::Canceled => {
                return Err(Refused::new(
                    400,
                    "ALREADY_PROCESSED_PAYMENT",
                    "the payment was processed before",
                ));
            }
        }
        if payment.total_amount != wish.amount {
            return Err(Refused::invalid("amount: not what the shopper agreed to"));
        }
        if paid {
            return Err(Refused::new(400, "DUPLICATED_ORDER_ID", "another payment paid this order"));
        }
        if payment.outcome == Outcome::Decline {
            payment.status = Status::Aborted;
            payment.failure = Some(rejected().body());
            self.changed.push(payment.clone());
            return Err(rejected());
        }
        payment.status = Status::Done;
        payment.approved_at = Some(moment(now));
        payment.balance_amount = payment.total_amount;
        payment.is_partial_cancelable = true;
        payment.last_transaction_key = Some(transaction_key());
        self.changed.push(payment.clone());
        Ok(payment.clone())
    }

    /// The shop gives money back.
    pub(super) fn cancel(&mut self, payment_key: &str, wish: Cancel, now: Time) -> Result<Payment, Refused> {
        let place = self.place(payment_key, now)?;
        let payment = &mut self.payments[place];
        let reason = wish.cancel_reason.chars().count();
        if !(1..=REASON_MAX_CHARS).contains(&reason) {
            return Err(Refused::invalid("cancelReason: 1 to 200 characters"));
        }
        match payment.status {
            Status::Done | Status::PartialCanceled => {}
            Status::Canceled => {
                return Err(Refused::new(400, "ALREADY_CANCELED_PAYMENT", "all money went back before"));
            }
            _ => return Err(Refused::new(403, "NOT_CANCELABLE_PAYMENT", "there is nothing to give back")),
        }
        let amount = wish.cancel_amount.unwrap_or(payment.balance_amount);
        if amount <= 0 {
            return Err(Refused::invalid("cancelAmount: at least 1"));
        }
        if amount > payment.balance_amount {
            return Err(Refused::new(403, "NOT_CANCELABLE_AMOUNT", "that much is not left"));
        }
        let transaction_key = transaction_key();
        payment.last_transaction_key = Some(transaction_key.clone());
        payment.balance_amount -= amount;
        payment.cancels.get_or_insert_default().push(Cancelled {
            cancel_reason: wish.cancel_reason,
            canceled_at: moment(now),
            cancel_amount: amount,
            tax_free_amount: 0,
            tax_exemption_amount: 0,
            refundable_amount: payment.balance_amount,
            transaction_key,
            cancel_status: "DONE",
        });
        payment.status = if payment.balance_amount == 0 { Status::Canceled } else { Status::PartialCanceled };
        payment.is_partial_cancelable = payment.balance_amount > 0;
        self.changed.push(payment.clone());
        Ok(payment.clone())
    }

    /// One payment.
    pub(super) fn by_key(&mut self, payment_key: &str, now: Time) -> Result<Payment, Refused> {
        let place = self.place(payment_key, now)?;
        Ok(self.payments[place].clone())
    }

    /// The payment that paid the order, or else its latest.
    pub(super) fn by_order(&mut self, order_id: &str, now: Time) -> Result<Payment, Refused> {
        let places = self.by_order.get(order_id).ok_or_else(unknown)?;
        let paid = places.iter().find(|place| self.payments[**place].is_paid());
        let place = *paid.or(places.last()).ok_or_else(unknown)?;
        self.age(place, now);
        Ok(self.payments[place].clone())
    }

    /// Every payment, oldest first.
    pub(super) fn all(&mut self, now: Time) -> &[Payment] {
        for place in 0..self.payments.len() {
            self.age(place, now);
        }
        &self.payments
    }

    /// Ends what was not confirmed in time; seen when somebody asks.
    fn age(&mut self, place: usize, now: Time) {
        let payment = &mut self.payments[place];
        let limit = match payment.status {
            Status::Ready => PAGE_OPEN,
            Status::InProgress => CONFIRM_WITHIN,
            _ => return,
        };
        if now >= payment.opened_at + limit.div_f64(self.pace) {
            payment.status = Status::Expired;
            self.changed.push(payment.clone());
        }
    }

    fn place(&mut self, payment_key: &str, now: Time) -> Result<usize, Refused> {
        let place = *self.by_key.get(payment_key).ok_or_else(unknown)?;
        self.age(place, now);
        Ok(place)
    }
}

impl Payment {
    fn open(wish: Checkout, now: Time) -> Self {
        let closed = wish.outcome == Outcome::Close;
        Self {
            m_id: "astraphe-sandbox",
            version: "2022-11-16",
            last_transaction_key: None,
            payment_key: format!("sandbox_{}", Uuid::new_v4().simple()),
            order_name: wish.order_name.unwrap_or_else(|| wish.order_id.clone()),
            order_id: wish.order_id,
            kind: "NORMAL",
            method: "카드",
            status: if closed { Status::Ready } else { Status::InProgress },
            currency: "KRW",
            country: "KR",
            total_amount: wish.amount,
            balance_amount: wish.amount,
            is_partial_cancelable: false,
            requested_at: moment(now),
            approved_at: None,
            cancels: None,
            failure: None,
            outcome: wish.outcome,
            opened_at: now,
        }
    }

    /// Money was taken, whether or not it went back since.
    fn is_paid(&self) -> bool {
        matches!(self.status, Status::Done | Status::PartialCanceled | Status::Canceled)
    }
}

fn unknown() -> Refused {
    Refused::new(404, "NOT_FOUND_PAYMENT", "there is no such payment")
}

fn rejected() -> Refused {
    Refused::new(403, REJECTED, "the card company refused: limit or balance")
}

/// Korean time, as the provider writes it: `2026-11-21T10:39:13+09:00`.
fn moment(now: Time) -> String {
    let korea = FixedOffset::east_opt(9 * 3_600).expect("nine hours are an offset");
    now.with_timezone(&korea).to_rfc3339_opts(SecondsFormat::Secs, false)
}

fn transaction_key() -> String {
    Uuid::new_v4().simple().to_string().to_uppercase()
}
