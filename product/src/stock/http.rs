//! `/api/products/{id}/stock`: a seller adds or takes units. The stock stage decides; this only asks.

use axum::extract::State;
use common::auth::Caller;
use common::http::extract::{IdempotencyKey, Json, Path};
use common::outbox::Letters;
use common::wire::catalog::{AdjustmentView, StockWish};
use common::wire::event::{Adjust, StockCommand};
use common::wire::id::ProductId;
use http::StatusCode;
use uuid::Uuid;

use super::store::{self, AdjustmentRequest};
use crate::app::{App, SOURCE, must_act_for, must_sell};
use crate::catalog;
use crate::catalog::rules::STOCK_MAX;
use crate::error::Error;
use crate::field::Report;

/// `POST /api/products/{id}/stock` `{delta}` → 202: its owner, ADMIN. One that would take more than is available
/// changes nothing. With an `Idempotency-Key` a repeat is the same adjustment.
///
/// # Errors
/// `validation-failed`, `forbidden`, `unknown-product`, `product-is-draft`, `idempotency-key-reused`.
pub async fn adjust(
    State(app): State<App>,
    caller: Caller,
    Path(product): Path<ProductId>,
    key: Option<IdempotencyKey>,
    Json(wish): Json<StockWish>,
) -> Result<(StatusCode, axum::Json<AdjustmentView>), Error> {
    must_sell(&caller)?;
    let mut report = Report::default();
    report.number("delta", wish.delta, -STOCK_MAX..=STOCK_MAX);
    report.require(wish.delta != 0, "delta", "is not 0");
    report.verdict()?;
    let now = app.clock.now();
    let mut tx = app.pg.begin().await?;
    let locked = catalog::store::lock(&mut tx, product).await?;
    must_act_for(&caller, locked.seller_id)?;
    if locked.fields.draft {
        return Err(Error::IsDraft);
    }
    let mut request =
        AdjustmentRequest { product, user: caller.user, delta: wish.delta, adjustment_id: Uuid::now_v7() };
    let is_new = match key {
        Some(key) => store::request(&mut tx, &mut request, &key.0, now).await?,
        None => true,
    };
    if request.delta != wish.delta {
        return Err(Error::KeyReused);
    }
    if is_new {
        let (adjustment_id, delta) = (request.adjustment_id, request.delta);
        let command = Adjust { product_id: product, adjustment_id, delta, by: caller.user, at: now };
        // Of an imported product the stage may not have heard yet; terms that come again change nothing.
        let terms = (locked.state_version == 0).then(|| StockCommand::Terms(locked.terms()));
        let commands: Vec<_> = terms.into_iter().chain([StockCommand::Adjust(command)]).collect();
        Letters::new(SOURCE, now).with(&commands).put(&mut tx).await?;
    }
    tx.commit().await?;
    app.nudge.now();
    let view =
        AdjustmentView { adjustment_id: request.adjustment_id, product_id: product, delta: request.delta };
    Ok((StatusCode::ACCEPTED, axum::Json(view)))
}
