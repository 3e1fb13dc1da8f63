//! `/api/seller`.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use common::auth::Caller;
use common::http::extract::{Path, Query};
use common::http::problem::Failure;
use common::wire::id::ProductId;
use common::wire::list::Page;
use garde::Validate;
use http::header;
use serde::Deserialize;

use super::store::{self, Minute};
use super::{Own, SaleView, live};
use crate::app::{App, must_act_for, must_sell};
use crate::error::Error;
use crate::field::Report;

/// Which part of the list.
#[derive(Debug, Deserialize, Validate)]
#[garde(allow_unvalidated)]
pub struct Part {
    limit: Option<i64>,
    cursor: Option<String>,
}

/// `GET /api/seller/products?limit=&cursor=`: the caller's own, the newest first, drafts among them.
///
/// # Errors
/// `validation-failed`, `forbidden`.
pub async fn products(
    State(app): State<App>,
    caller: Caller,
    Query(part): Query<Part>,
) -> Result<axum::Json<Page<Own>>, Error> {
    must_sell(&caller)?;
    let mut report = Report::default();
    let limit = part.limit.unwrap_or(20);
    report.number("limit", limit, 1..=100);
    let before = part.cursor.map_or(Some(i64::MAX), |cursor| cursor.parse().ok());
    report.require(before.is_some(), "cursor", "as `next` of an answer gave it");
    report.verdict()?;
    let mut db = app.pg.acquire().await?;
    // One more says whether there is more.
    let before = before.unwrap_or_default();
    let own = store::own(&mut db, caller.user, before, limit + 1, app.clock.now()).await?;
    let limit = usize::try_from(limit).unwrap_or_default();
    Ok(axum::Json(Page::of(own, limit, |last| last.product_id.to_string())))
}

async fn owned(app: &App, caller: &Caller, product: ProductId) -> Result<(), Error> {
    must_sell(caller)?;
    let mut db = app.pg.acquire().await?;
    let seller = store::seller(&mut db, product).await?.ok_or(Error::UnknownProduct)?;
    must_act_for(caller, seller)
}

/// `GET /api/seller/products/{id}/sale`: its owner, ADMIN. At most a second old.
///
/// # Errors
/// `forbidden`, `unknown-product`.
pub async fn sale(
    State(app): State<App>,
    caller: Caller,
    Path(product): Path<ProductId>,
) -> Result<axum::Json<SaleView>, Failure> {
    owned(&app, &caller, product).await?;
    let view = app.sales.get(&app.pg, product, app.clock.now()).await?;
    Ok(axum::Json(SaleView::clone(&view)))
}

/// `GET /api/seller/products/{id}/sale/live`: the same as events.
///
/// # Errors
/// `forbidden`, `unknown-product`, `too-many-streams`.
pub async fn watch(
    State(app): State<App>,
    caller: Caller,
    Path(product): Path<ProductId>,
) -> Result<Response, Failure> {
    owned(&app, &caller, product).await?;
    Ok(live::stream(&app, caller.user, product)?.into_response())
}

/// `GET /api/seller/products/{id}/sale/results.csv`: the sale minute by minute.
///
/// # Errors
/// `forbidden`, `unknown-product`.
pub async fn results(
    State(app): State<App>,
    caller: Caller,
    Path(product): Path<ProductId>,
) -> Result<Response, Failure> {
    owned(&app, &caller, product).await?;
    let mut db = app.pg.acquire().await.map_err(Error::from)?;
    let minutes = store::minutes(&mut db, product).await.map_err(Error::from)?;
    let name = format!("attachment; filename=\"sale-{product}.csv\"");
    let headers =
        [(header::CONTENT_TYPE, "text/csv; charset=utf-8"), (header::CONTENT_DISPOSITION, name.as_str())];
    Ok((headers, table(&minutes)).into_response())
}

/// Numbers and moments need no quotes.
fn table(minutes: &[Minute]) -> String {
    let line = |one: &Minute| {
        let minute = one.minute.format("%Y-%m-%dT%H:%MZ");
        format!("{minute},{},{},{},{}\r\n", one.added, one.reserved, one.sold, one.available)
    };
    let lines = minutes.iter().map(line);
    std::iter::once("minute,added,reserved,sold,available\r\n".to_owned()).chain(lines).collect()
}
