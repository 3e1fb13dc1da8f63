//! `/api/categories`.

use axum::extract::State;
use common::auth::Caller;
use common::http::extract::{Json, Path};
use common::wire::product::CategoryView;
use common::wire::token::Role;
use http::StatusCode;

use super::{Wish, rules, store};
use crate::app::App;
use crate::catalog::store::Stamp;
use crate::error::Error;
use crate::etag::{IfMatch, Tagged};

/// `GET /api/categories`: the whole tree, at most 1,000.
///
/// # Errors
/// Only inner ones.
pub async fn list(State(app): State<App>) -> Result<axum::Json<Vec<CategoryView>>, Error> {
    let mut db = app.pg.acquire().await?;
    Ok(axum::Json(store::all(&mut db).await?))
}

/// `POST /api/categories` → 201: ADMIN.
///
/// # Errors
/// `validation-failed`, `forbidden`, `unknown-category` for the parent, `category-exists`.
pub async fn register(
    State(app): State<App>,
    caller: Caller,
    Json(wish): Json<Wish>,
) -> Result<(StatusCode, Tagged<CategoryView>), Error> {
    must_administer(&caller)?;
    let mut tx = app.pg.begin().await?;
    let tree = store::lock(&mut tx).await?;
    let code = wish.category_code.unwrap_or_default();
    rules::check(&wish, code, &tree)?;
    store::insert(&mut tx, code, &wish, stamp(&app, &caller)).await?;
    tx.commit().await?;
    Ok((StatusCode::CREATED, Tagged { version: 1, body: view(code, wish) }))
}

/// `PUT /api/categories/{code}`: ADMIN. A category moves with all below it.
///
/// # Errors
/// `validation-failed`, `forbidden`, `unknown-category`, `category-exists`, `outdated`.
pub async fn change(
    State(app): State<App>,
    caller: Caller,
    Path(code): Path<i32>,
    seen: IfMatch,
    Json(wish): Json<Wish>,
) -> Result<Tagged<CategoryView>, Error> {
    must_administer(&caller)?;
    let mut tx = app.pg.begin().await?;
    let tree = store::lock(&mut tx).await?;
    seen.check(store::hold(&mut tx, code).await?)?;
    let is_same = wish.category_code.is_none_or(|named| named == code);
    if !is_same {
        return Err(Error::field("categoryCode", "is set at registration alone"));
    }
    rules::check(&wish, code, &tree)?;
    let version = store::update(&mut tx, code, &wish, stamp(&app, &caller)).await?;
    tx.commit().await?;
    Ok(Tagged { version, body: view(code, wish) })
}

/// `DELETE /api/categories/{code}` → 204: ADMIN; only without products and categories below it.
///
/// # Errors
/// `forbidden`, `unknown-category`, `category-in-use`, `outdated`.
pub async fn withdraw(
    State(app): State<App>,
    caller: Caller,
    Path(code): Path<i32>,
    seen: IfMatch,
) -> Result<StatusCode, Error> {
    must_administer(&caller)?;
    let mut tx = app.pg.begin().await?;
    let tree = store::lock(&mut tx).await?;
    seen.check(store::hold(&mut tx, code).await?)?;
    if tree.iter().any(|other| other.parent_code == Some(code)) {
        return Err(Error::CategoryInUse);
    }
    store::withdraw(&mut tx, code, stamp(&app, &caller)).await?;
    tx.commit().await?;
    Ok(StatusCode::NO_CONTENT)
}

fn must_administer(caller: &Caller) -> Result<(), Error> {
    if caller.role == Role::Admin { Ok(()) } else { Err(Error::Forbidden) }
}

fn stamp(app: &App, caller: &Caller) -> Stamp {
    Stamp { by: caller.user, at: app.clock.now() }
}

fn view(category_code: i32, wish: Wish) -> CategoryView {
    CategoryView { category_code, category_name: wish.category_name, parent_code: wish.parent_code }
}
