//! Asking for money back.

use axum::extract::State;
use axum::response::Response;
use common::auth::Caller;
use common::http::extract::{IdempotencyKey, Json, Path};
use common::wire::Time;
use common::wire::id::OrderId;
use common::wire::money::Won;
use common::wire::order::{AskRefund, OrderState};
use common::wire::token::Role;
use sqlx::PgConnection;

use super::{Asker, Refund, settle, store};
use crate::app::App;
use crate::error::Error;
use crate::idempotency::{self, Claim};
use crate::order::rules::Trigger;
use crate::order::{self, By, Order, Step};

/// What somebody wants back.
#[derive(Debug)]
pub struct Wish<'a> {
    /// Everything that is left when absent.
    pub amount: Option<Won>,
    /// Why.
    pub reason: &'a str,
    /// A part may be asked for.
    pub partly: bool,
    /// It is the order's cancel.
    pub cancels: bool,
}

/// `POST /api/orders/{id}/refunds`: 200 once the money went back, 202 while the provider's answer is unknown. The
/// buyer gets back everything that is left, ADMIN also gives back a part.
///
/// # Errors
/// 400 `validation-failed`, 403 `forbidden` `whole-refund-only`, 404 `unknown-order`, 409 `order-not-refundable`
/// `refund-refused` `request-in-progress`, 422 `refund-too-large` `idempotency-key-reused`.
pub async fn ask(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<OrderId>,
    key: IdempotencyKey,
    Json(wish): Json<AskRefund>,
) -> Result<Response, Error> {
    let now = app.clock.now();
    let claim = Claim::new(caller.user, format!("/api/orders/{id}/refunds"), key, &wish);
    let mut tx = app.pg.begin().await?;
    if let Some(stored) = idempotency::store::claim(&mut tx, &claim, now).await? {
        return stored.replayed();
    }
    let mut order = order::store::lock_one(&mut tx, id).await?.ok_or(Error::UnknownOrder)?;
    let admin = caller.role == Role::Admin;
    if order.user != caller.user && !admin {
        return Err(Error::Forbidden);
    }
    let wish = Wish { amount: wish.amount.map(Won), reason: &wish.reason, partly: admin, cancels: false };
    let (refund, step) = begin(&mut tx, (&mut order, wish), &claim, now).await?;
    tx.commit().await?;
    app.committed(&[step]);
    settle::carry_out(&app, &refund).await?.first()
}

/// The order is `refundPending` and the refund is written before the provider is called, or nothing is.
///
/// # Errors
/// [`Error::NotRefundable`], [`Error::RefundTooLarge`], [`Error::WholeRefundOnly`], or the database's.
pub async fn begin(
    tx: &mut PgConnection,
    (order, wish): (&mut Order, Wish<'_>),
    claim: &Claim,
    now: Time,
) -> Result<(Refund, Step), Error> {
    if !matches!(order.state, OrderState::Paid | OrderState::PartiallyRefunded) {
        return Err(Error::NotRefundable);
    }
    let paid = store::paid_for(tx, order.id).await?.ok_or(Error::NotRefundable)?;
    let left = paid.left();
    let amount = wish.amount.unwrap_or(left);
    if amount > left {
        return Err(Error::RefundTooLarge { left });
    }
    if amount < left && !wish.partly {
        return Err(Error::WholeRefundOnly { left });
    }
    let (user, route, key) = claim.name();
    let user = common::wire::id::UserId(user);
    let asker = Asker { user, route: route.to_owned(), key: key.to_owned() };
    let refund = store::insert(tx, (paid, amount), (wish.reason, Some(asker)), now).await?;
    let step = order.take(Trigger::RefundAsked { cancels: wish.cancels }, By::User(user), now);
    let step = step.map_err(|_| Error::NotRefundable)?;
    order::store::advance(tx, std::slice::from_ref(&step), now).await?;
    Ok((refund, step))
}
