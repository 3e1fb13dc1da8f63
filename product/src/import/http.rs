//! `/api/products/import`.

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use common::auth::Caller;
use common::http::extract::{Path, Query, read, unreadable};
use common::http::problem::Failure;
use common::wire::catalog::ImportWish;
use common::wire::id::CompanyId;
use garde::Validate;
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use uuid::Uuid;

use super::store::{self, New};
use super::{Row, View, csv};
use crate::app::{App, must_act_for, must_sell};
use crate::catalog::store::Stamp;
use crate::company;
use crate::error::Error;

/// Bytes of a file at most; the gateway's limit for the route.
pub const BODY_MAX_BYTES: usize = 50 << 20;

/// Where the rows of a file go.
#[derive(Debug, Deserialize, Validate)]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
pub struct Target {
    company_id: Option<CompanyId>,
}

/// What is to be imported.
enum What {
    Rows(Vec<Row>),
    Pages(String),
}

/// `POST /api/products/import?companyId=` with `text/csv`, or with JSON `{companyId, url}` → 202: a SELLER who owns the
/// company, ADMIN.
///
/// # Errors
/// `validation-failed` for the whole file, `unsupported-media-type`, `forbidden`, `unknown-company`.
pub async fn start(
    State(app): State<App>,
    caller: Caller,
    Query(target): Query<Target>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, axum::Json<View>), Failure> {
    must_sell(&caller)?;
    let body = body.map_err(|rejection| unreadable(&rejection))?;
    let (company, what) = wanted(&app, &target, &headers, body).await?;
    let stamp = Stamp { by: caller.user, at: app.clock.now() };
    let view = begin(&app, &caller, company, what, stamp).await?;
    app.imports.ring();
    Ok((StatusCode::ACCEPTED, axum::Json(view)))
}

async fn wanted(
    app: &App,
    target: &Target,
    headers: &HeaderMap,
    body: Bytes,
) -> Result<(CompanyId, What), Failure> {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    match kind.split(';').next().unwrap_or_default().trim() {
        "text/csv" => {
            let company = target.company_id.ok_or_else(|| Error::field("companyId", "is required"))?;
            // Fifty megabytes take their time.
            let rows = tokio::task::spawn_blocking(move || csv::rows(&body)).await;
            let rows = rows.map_err(|error| Failure::internal(&error.into()))??;
            Ok((company, What::Rows(rows)))
        }
        "application/json" => {
            let remote: ImportWish = read(&body)?;
            app.import_hosts.check(&remote.url).map_err(|rule| Error::field("url", rule))?;
            Ok((remote.company_id, What::Pages(remote.url)))
        }
        _ => Err(Error::MediaType.into()),
    }
}

async fn begin(
    app: &App,
    caller: &Caller,
    company: CompanyId,
    what: What,
    stamp: Stamp,
) -> Result<View, Error> {
    let mut tx = app.pg.begin().await?;
    let owner = company::store::hold(&mut tx, company).await?.ok_or(Error::UnknownCompany)?.user_id;
    must_act_for(caller, owner)?;
    let import = Uuid::now_v7();
    let url = match &what {
        What::Pages(url) => Some(url.as_str()),
        What::Rows(_) => None,
    };
    store::insert(&mut tx, &New { import, company, url }, stamp).await?;
    if let What::Rows(rows) = &what {
        store::add(&mut tx, import, 0, rows).await?;
    }
    let view = store::show(&mut tx, import).await?.ok_or(Error::UnknownImport)?;
    tx.commit().await?;
    Ok(view)
}

/// `GET /api/products/import/{id}`: the company's owner, ADMIN.
///
/// # Errors
/// `forbidden`, `unknown-import`.
pub async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(import): Path<Uuid>,
) -> Result<axum::Json<View>, Error> {
    must_sell(&caller)?;
    let mut db = app.pg.acquire().await?;
    let owner = store::owner(&mut db, import).await?.ok_or(Error::UnknownImport)?;
    must_act_for(&caller, owner)?;
    store::show(&mut db, import).await?.map(axum::Json).ok_or(Error::UnknownImport)
}
