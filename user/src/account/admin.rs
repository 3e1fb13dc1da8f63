//! All accounts, for an ADMIN.

use axum::extract::State;
use axum::http::StatusCode;
use common::auth::Caller;
use common::http::extract::{Json, Path, Query};
use common::http::problem::Failure;
use common::wire::id::UserId;
use common::wire::list::Listing;
use common::wire::token::Role;
use common::wire::user::{AccountChange, AccountView, rules};
use garde::Validate;
use serde::Deserialize;

use super::http::{change as change_account, delete as delete_account};
use super::store;
use crate::app::App;
use crate::error::Error;

/// Orders of the list; the first where none is asked for.
pub(super) const SORTS: [&str; 4] = ["createdAt,desc", "createdAt", "loginId", "loginId,desc"];

/// What to list.
#[derive(Debug, Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Filter {
    /// A part of login id, name or nickname.
    #[garde(inner(custom(rules::text::<50>)))]
    search: Option<String>,
    #[garde(inner(custom(rules::person)))]
    role: Option<Role>,
    #[garde(skip)]
    #[serde(default)]
    deleted: bool,
    /// From 1. Pages further back are not served: each costs reading all before it.
    #[garde(range(min = 1, max = 10_000))]
    #[serde(default = "first")]
    page: i64,
    #[garde(range(min = 1, max = 100))]
    #[serde(default = "some")]
    size: i64,
    #[garde(inner(custom(known_sort)))]
    sort: Option<String>,
}

const fn first() -> i64 {
    1
}

const fn some() -> i64 {
    20
}

fn known_sort(sort: &str, (): &()) -> garde::Result {
    if SORTS.contains(&sort) { Ok(()) } else { Err(garde::Error::new(format!("one of {}", SORTS.join(" ")))) }
}

/// `GET /api/users?search=&role=&deleted=&page=&size=&sort=` → 200 with the accounts that match.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(asked): Query<Filter>,
) -> Result<axum::Json<Listing<AccountView>>, Error> {
    must_administer(&caller)?;
    let filter = store::Filter {
        search: asked.search.as_deref(),
        role: asked.role,
        with_deleted: asked.deleted,
        sort: asked.sort.as_deref().unwrap_or(SORTS[0]),
        limit: asked.size,
        offset: (asked.page - 1) * asked.size,
    };
    let (items, total) = store::page(&app.pg, &filter).await?;
    Ok(axum::Json(Listing { items: items.into_iter().map(AccountView::from).collect(), total }))
}

/// `GET /api/users/{id}` → 200 with the account, deleted or not; 404 `unknown-user`.
pub(crate) async fn show(
    State(app): State<App>,
    caller: Caller,
    Path(user): Path<UserId>,
) -> Result<axum::Json<AccountView>, Error> {
    must_administer(&caller)?;
    let account = store::find(&app.pg, user).await?.ok_or(Error::UnknownUser)?;
    Ok(axum::Json(account.into()))
}

/// `PATCH /api/users/{id}` → 200 with the changed account; 404 `unknown-user`; 409 `last-admin`.
pub(crate) async fn change(
    State(app): State<App>,
    caller: Caller,
    Path(user): Path<UserId>,
    Json(wish): Json<AccountChange>,
) -> Result<axum::Json<AccountView>, Failure> {
    must_administer(&caller)?;
    Ok(axum::Json(change_account(&app, user, caller.user, wish).await?.into()))
}

/// `DELETE /api/users/{id}` → 204; 404 `unknown-user`; 409 `last-admin`.
pub(crate) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path(user): Path<UserId>,
) -> Result<StatusCode, Error> {
    must_administer(&caller)?;
    delete_account(&app, user, caller.user).await
}

fn must_administer(caller: &Caller) -> Result<(), Error> {
    if caller.role == Role::Admin { Ok(()) } else { Err(Error::Forbidden) }
}
