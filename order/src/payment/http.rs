//! What the provider's page needs, and confirming what it gave.

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::response::{IntoResponse as _, Response};
use common::auth::Caller;
use common::http::extract::{IdempotencyKey, Path, read, unreadable};
use common::http::problem::Failure;
use common::pg::OnConstraint as _;
use common::wire::id::{OrderId, UserId};
use common::wire::money::Won;
use common::wire::order::{CheckoutView, OrderView, PayOrder};
use sha2::{Digest as _, Sha256};

use super::provider::Provider as _;
use super::settle::settle;
use super::{Attempt, route, rules, store};
use crate::app::App;
use crate::error::Error;
use crate::idempotency::{self, Answer, Claim};
use crate::order::rules::Trigger;
use crate::order::{self, By, view};

/// Characters of an order's name at the provider.
const ORDER_NAME_MAX: usize = 100;

/// `POST /api/orders/{id}/payment`: without a payment 200 with what the provider's page needs; with one 200 `paid`,
/// or 202 `paying` while the provider's answer is unknown.
///
/// # Errors
/// 402 `payment-declined`, 403 `forbidden`, 404 `unknown-order`, 409 `order-expired` `order-not-payable`
/// `payment-key-used` `request-in-progress`, 422 `amount-mismatch` `idempotency-key-reused`.
pub async fn pay(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<OrderId>,
    key: Option<IdempotencyKey>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Response> {
    let wish = wish(body).map_err(Failure::into_response)?;
    let answer = match (&wish.payment_key, wish.amount) {
        (None, None) => checkout(&app, caller.user, id).await.map(|view| Json(view).into_response()),
        (Some(payment_key), Some(amount)) => match key {
            Some(key) => {
                let claim = Claim::new(caller.user, route(id), key, &wish);
                confirm(&app, (caller.user, id), (payment_key, Won(amount)), claim).await
            }
            None => Err(Error::KeyRequired),
        },
        (Some(_), None) => return Err(Failure::field("amount", "needed beside paymentKey").into_response()),
        (None, Some(_)) => return Err(Failure::field("paymentKey", "needed beside amount").into_response()),
    };
    answer.map_err(Error::into_response)
}

fn wish(body: Result<Bytes, BytesRejection>) -> Result<PayOrder, Failure> {
    let bytes = body.map_err(|rejection| unreadable(&rejection))?;
    if bytes.is_empty() { Ok(PayOrder::default()) } else { read(&bytes) }
}

async fn checkout(app: &App, user: UserId, id: OrderId) -> Result<CheckoutView, Error> {
    let mut connection = app.pg.acquire().await?;
    let (owner, order) = view::one(&mut connection, id).await?.ok_or(Error::UnknownOrder)?;
    if owner != user {
        return Err(Error::Forbidden);
    }
    rules::payable(order.state, order.expires_at, app.clock.now())?;
    let back = format!("{}/order.html?order={id}&payment=", app.config.public_url.trim_end_matches('/'));
    Ok(CheckoutView {
        client_key: app.config.payment_client_key.clone(),
        amount: order.total_price,
        order_name: order_name(&order),
        customer_key: customer_key(&app.config.payment_secret_key.0, user),
        success_url: format!("{back}success"),
        fail_url: format!("{back}fail"),
    })
}

fn order_name(order: &OrderView) -> String {
    let first = order.lines.first().map_or("order", |line| line.product_name.as_str());
    let more = match order.lines.len() {
        0 | 1 => String::new(),
        lines => format!(" and {} more", lines - 1),
    };
    let room = ORDER_NAME_MAX - more.len();
    first.chars().take(room).chain(more.chars()).collect()
}

/// Always the same for one account, and tells nobody outside which one.
fn customer_key(secret: &str, user: UserId) -> String {
    let digest = Sha256::digest(format!("{secret}:customer:{user}"));
    hex::encode(&digest[..16])
}

async fn confirm(
    app: &App,
    (user, id): (UserId, OrderId),
    (payment_key, amount): (&str, Won),
    claim: Claim,
) -> Result<Response, Error> {
    match start(app, (user, id), (payment_key, amount), &claim).await? {
        Started::Before(answer) => answer.replayed(),
        Started::Now(attempt) => {
            let outcome = app.provider.confirm(&attempt).await;
            settle(app, &attempt, &outcome, By::User(user)).await?.first()
        }
    }
}

enum Started {
    Now(Attempt),
    Before(Answer),
}

/// The order is `paying` and the attempt is written before the provider is called, or nothing is.
async fn start(
    app: &App,
    (user, id): (UserId, OrderId),
    (payment_key, amount): (&str, Won),
    claim: &Claim,
) -> Result<Started, Error> {
    let now = app.clock.now();
    let mut tx = app.pg.begin().await?;
    if let Some(stored) = idempotency::store::claim(&mut tx, claim, now).await? {
        return Ok(Started::Before(stored));
    }
    let mut order = order::store::lock_one(&mut tx, id).await?.ok_or(Error::UnknownOrder)?;
    if order.user != user {
        return Err(Error::Forbidden);
    }
    if order.total != amount {
        return Err(Error::AmountMismatch);
    }
    rules::payable(order.state, order.expires_at, now)?;
    let step = order.take(Trigger::PaymentStarted, By::User(user), now).map_err(|_| Error::NotPayable)?;
    let (_, _, key) = claim.name();
    let attempt = store::insert(&mut tx, (id, user, amount), payment_key.to_owned(), key.to_owned(), now)
        .await
        .on_constraint("payment_key_used", || Error::PaymentUsed)?;
    let steps = [step];
    order::store::advance(&mut tx, &steps, now).await?;
    tx.commit().await?;
    app.committed(&steps);
    Ok(Started::Now(attempt))
}
