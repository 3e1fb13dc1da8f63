//! `/api/companies`.

use axum::extract::State;
use common::auth::Caller;
use common::http::extract::{Json, Path, Query};
use common::wire::id::CompanyId;
use common::wire::list::Listing;
use common::wire::product::CompanyView;
use garde::Validate;
use http::StatusCode;
use serde::Deserialize;

use super::{Wish, check, store};
use crate::app::{App, must_act_for, must_sell};
use crate::catalog::store::Stamp;
use crate::error::Error;
use crate::etag::{IfMatch, Tagged};
use crate::field::Report;
use crate::page::Page;

/// `POST /api/companies` → 201; the caller owns it.
///
/// # Errors
/// `validation-failed`, `forbidden`.
pub async fn register(
    State(app): State<App>,
    caller: Caller,
    Json(wish): Json<Wish>,
) -> Result<(StatusCode, Tagged<CompanyView>), Error> {
    must_sell(&caller)?;
    check(&wish)?;
    let mut db = app.pg.acquire().await?;
    let company = store::insert(&mut db, &wish, caller.user, app.clock.now()).await?;
    Ok((StatusCode::CREATED, Tagged { version: 1, body: company }))
}

/// `GET /api/companies/{id}`.
///
/// # Errors
/// `unknown-company`.
pub async fn show(
    State(app): State<App>,
    Path(company): Path<CompanyId>,
) -> Result<Tagged<CompanyView>, Error> {
    let mut db = app.pg.acquire().await?;
    store::find(&mut db, company).await?.ok_or(Error::UnknownCompany)
}

/// What to list.
#[derive(Debug, Deserialize, Validate)]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
pub struct Filter {
    page: Option<i64>,
    size: Option<i64>,
    company_name: Option<String>,
}

/// `GET /api/companies?page=&size=&companyName=`, newest first.
///
/// # Errors
/// `validation-failed`.
pub async fn list(
    State(app): State<App>,
    Query(filter): Query<Filter>,
) -> Result<axum::Json<Listing<CompanyView>>, Error> {
    let mut report = Report::default();
    let page = Page::read(filter.page, filter.size, &mut report);
    report.text("companyName", filter.company_name.as_deref().unwrap_or_default(), 0..=50);
    report.verdict()?;
    let mut db = app.pg.acquire().await?;
    let (items, total) =
        store::page(&mut db, filter.company_name.as_deref(), page.limit(), page.offset()).await?;
    Ok(axum::Json(Listing { items, total }))
}

/// `PUT /api/companies/{id}`: its owner, ADMIN.
///
/// # Errors
/// `validation-failed`, `forbidden`, `unknown-company`, `outdated`.
pub async fn change(
    State(app): State<App>,
    caller: Caller,
    Path(company): Path<CompanyId>,
    seen: IfMatch,
    Json(wish): Json<Wish>,
) -> Result<Tagged<CompanyView>, Error> {
    must_sell(&caller)?;
    check(&wish)?;
    let mut tx = app.pg.begin().await?;
    let locked = store::lock(&mut tx, company).await?.ok_or(Error::UnknownCompany)?;
    must_act_for(&caller, locked.owner)?;
    seen.check(locked.version)?;
    store::update(&mut tx, company, &wish, Stamp { by: caller.user, at: app.clock.now() }).await?;
    let changed = store::find(&mut tx, company).await?.ok_or(Error::UnknownCompany)?;
    tx.commit().await?;
    Ok(changed)
}

/// `DELETE /api/companies/{id}` → 204: its owner, ADMIN; only without products.
///
/// # Errors
/// `forbidden`, `unknown-company`, `company-has-products`, `outdated`.
pub async fn withdraw(
    State(app): State<App>,
    caller: Caller,
    Path(company): Path<CompanyId>,
    seen: IfMatch,
) -> Result<StatusCode, Error> {
    must_sell(&caller)?;
    let mut tx = app.pg.begin().await?;
    let locked = store::lock(&mut tx, company).await?.ok_or(Error::UnknownCompany)?;
    must_act_for(&caller, locked.owner)?;
    seen.check(locked.version)?;
    if store::has_products(&mut tx, company).await? {
        return Err(Error::CompanyHasProducts);
    }
    store::withdraw(&mut tx, company, caller.user, app.clock.now()).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}
