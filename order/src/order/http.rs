//! Place, list, show, cancel.

use axum::Json as Body;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use common::auth::Caller;
use common::http::extract::{IdempotencyKey, Json, Path, Query};
use common::wire::id::{OrderId, ProductId};
use common::wire::list::Page;
use common::wire::order::{OrderState, OrderView, PlaceOrder, storable};
use common::wire::token::Role;
use garde::Validate;
use serde::Deserialize;

use super::batch::Wanted;
use super::draft::{self, Draft};
use super::place::Placed;
use super::rules::Trigger;
use super::view;
use super::{By, store};
use crate::app::App;
use crate::error::Error;
use crate::idempotency::{self, Answer, Claim};
use crate::product;
use crate::refund::{self, http::Wish};

/// `POST /api/orders`: 202 with the order in state `received`; the stock decides afterwards.
///
/// # Errors
/// 400 `validation-failed`, 403 `access-token-required` `access-token-revoked`, 404 `unknown-product`
/// `unknown-option`, 409 `sale-not-open`
/// `sale-closed` `purchase-limit-exceeded` `ticket-used` `request-in-progress`, 422 `idempotency-key-reused`.
pub async fn place(
    State(app): State<App>,
    caller: Caller,
    key: IdempotencyKey,
    Json(wish): Json<PlaceOrder>,
) -> Result<Response, Error> {
    if caller.role == Role::Service {
        return Err(Error::Forbidden);
    }
    let claim = Claim::new(caller.user, "/api/orders", key, &wish);
    let draft = match prepare(&app, &caller, &wish).await {
        Ok(draft) => draft,
        // A repeat gets its answer also when the pass has ended or the sale has closed since.
        Err(refused) => {
            let mut connection = app.pg.acquire().await?;
            return idempotency::store::find(&mut connection, &claim).await?.ok_or(refused)?.replayed();
        }
    };
    let answer = Answer::new(StatusCode::ACCEPTED, &draft.view);
    match app.placer.place(Wanted { draft, claim, answer, refused: None }).await? {
        Placed::Now(answer) => answer.first(),
        Placed::Before(answer) => answer.replayed(),
    }
}

async fn prepare(app: &App, caller: &Caller, wish: &PlaceOrder) -> Result<Draft, Error> {
    // The gateway looked too, but what it says of a caller may be a minute old.
    for right in &caller.passes {
        app.revoked.check(right).await.map_err(|_| Error::PassRevoked)?;
    }
    let tickets = draft::tickets(caller, &wish.lines)?;
    let ids: Vec<ProductId> = tickets.keys().copied().collect();
    let products = product::find(app, &ids).await?;
    draft::draft(caller.user, wish, &tickets, &products, app.clock.now())
}

/// Which orders to list.
#[derive(Debug, Deserialize, Validate)]
pub struct ListQuery {
    /// How many, 1 to 100.
    #[garde(range(min = 1, max = 100))]
    #[serde(default = "limit_default")]
    limit: i64,
    /// `next` of the page before.
    #[garde(skip)]
    cursor: Option<OrderId>,
    /// Only orders in this state.
    #[garde(skip)]
    state: Option<OrderState>,
    /// Only orders with a product whose name contains this: 1 to 100 characters.
    #[garde(inner(length(chars, min = 1, max = 100), custom(storable)))]
    #[serde(rename = "productName")]
    product_name: Option<String>,
}

fn limit_default() -> i64 {
    20
}

/// `GET /api/orders`: the caller's orders.
///
/// # Errors
/// 400 `validation-failed`.
pub async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Body<Page<OrderView, OrderId>>, Error> {
    let ListQuery { limit, cursor, state, product_name } = query;
    let mut connection = app.pg.acquire().await?;
    // One more than asked for tells whether there is a next page.
    let wanted = view::Wanted { user: caller.user, before: cursor, state, product_name, max: limit + 1 };
    let orders = view::list(&mut connection, wanted).await?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    Ok(Body(Page::of(orders, limit, |order| order.order_id)))
}

/// `GET /api/orders/{id}`: for its owner and ADMIN.
///
/// # Errors
/// 403 `forbidden`, 404 `unknown-order`.
pub async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<OrderId>,
) -> Result<Body<OrderView>, Error> {
    let mut connection = app.pg.acquire().await?;
    let (owner, view) = view::one(&mut connection, id).await?.ok_or(Error::UnknownOrder)?;
    if owner != caller.user && caller.role != Role::Admin {
        return Err(Error::Forbidden);
    }
    Ok(Body(view))
}

/// `POST /api/orders/{id}/cancel`: 200 with the order in state `cancelled`; its units go back. A paid order's money goes
/// back: 200 `refunded`, or 202 `refundPending` while the provider's answer is unknown.
///
/// # Errors
/// 403 `forbidden`, 404 `unknown-order`, 409 `order-not-cancellable` `refund-refused` `request-in-progress`.
pub async fn cancel(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<OrderId>,
    key: IdempotencyKey,
) -> Result<Response, Error> {
    let now = app.clock.now();
    let claim = Claim::new(caller.user, format!("/api/orders/{id}/cancel"), key, &());
    let mut tx = app.pg.begin().await?;
    if let Some(stored) = idempotency::store::claim(&mut tx, &claim, now).await? {
        return stored.replayed();
    }
    let mut order = store::lock_one(&mut tx, id).await?.ok_or(Error::UnknownOrder)?;
    if order.user != caller.user {
        return Err(Error::Forbidden);
    }
    if matches!(order.state, OrderState::Paid | OrderState::PartiallyRefunded) {
        let wish = Wish { amount: None, reason: "cancelled by the buyer", partly: false, cancels: true };
        let (refund, step) = refund::http::begin(&mut tx, (&mut order, wish), &claim, now).await?;
        tx.commit().await?;
        app.committed(&[step]);
        return refund::settle::carry_out(&app, &refund).await?.first();
    }
    let step = order.take(Trigger::Cancelled, By::User(caller.user), now);
    let steps = [step.map_err(|_| Error::NotCancellable)?];
    store::advance(&mut tx, &steps, now).await?;
    let (_, view) = view::one(&mut tx, id).await?.ok_or(Error::UnknownOrder)?;
    let answer = Answer::new(StatusCode::OK, &view);
    idempotency::store::answer(&mut tx, claim.name(), &answer).await?;
    tx.commit().await?;
    app.committed(&steps);
    answer.first()
}
