//! Sign-up and the own account.

use axum::extract::State;
use common::auth::Caller;
use common::http::extract::Json;
use common::http::problem::Failure;
use common::wire::id::UserId;
use common::wire::token::Role;
use common::wire::user::{AccountChange, ProfileChange, SignUp, UserView};
use http::StatusCode;

use super::{Account, NewAccount, store};
use crate::app::App;
use crate::attempt::store as attempts;
use crate::error::Error;
use crate::session::store as sessions;

/// `POST /api/auth/signup` → 201 with the account; 409 `login-id-taken`; 503 `busy`.
pub(crate) async fn sign_up(
    State(app): State<App>,
    Json(wish): Json<SignUp>,
) -> Result<(StatusCode, axum::Json<UserView>), Error> {
    let account = NewAccount {
        password_hash: app.hasher.hash(wish.password).await?,
        login_id: wish.login_id,
        username: wish.username,
        nickname: wish.nickname,
        phone_number: wish.phone_number,
        shipping_address: wish.shipping_address,
        role: wish.role.map_or(Role::Customer, Role::from),
    };
    let view = store::insert(&app.pg, &account, None, app.clock.now()).await?;
    Ok((StatusCode::CREATED, axum::Json(view)))
}

/// `GET /api/users/me` → 200 with the caller's account.
pub(crate) async fn me(State(app): State<App>, caller: Caller) -> Result<axum::Json<UserView>, Error> {
    if let Some(view) = app.profiles.get(caller.user).await? {
        return Ok(axum::Json(view));
    }
    let account = store::find(&app.pg, caller.user).await?.ok_or(Error::UnknownUser)?;
    app.profiles.put(&account).await;
    if account.deleted_at.is_some() {
        return Err(Error::UnknownUser);
    }
    Ok(axum::Json(UserView::from(&account)))
}

/// `PATCH /api/users/me` → 200 with the changed account.
pub(crate) async fn change_me(
    State(app): State<App>,
    caller: Caller,
    Json(wish): Json<ProfileChange>,
) -> Result<axum::Json<UserView>, Failure> {
    let account = change(&app, caller.user, caller.user, wish.into()).await?;
    Ok(axum::Json(UserView::from(&account)))
}

/// `DELETE /api/users/me` → 204: the account is deleted and all its logins end; 409 `last-admin`.
pub(crate) async fn delete_me(State(app): State<App>, caller: Caller) -> Result<StatusCode, Error> {
    delete(&app, caller.user, caller.user).await
}

/// Changes an account on behalf of `by`. Who has read the answer finds the change on every replica.
pub(super) async fn change(
    app: &App,
    user: UserId,
    by: UserId,
    wish: AccountChange,
) -> Result<Account, Failure> {
    if wish.is_empty() {
        return Err(Failure::field("body", "at least one field to change"));
    }
    let account = apply(app, user, by, &wish).await?;
    app.changes.now();
    app.profiles.put(&account).await;
    Ok(account)
}

async fn apply(app: &App, user: UserId, by: UserId, wish: &AccountChange) -> Result<Account, Error> {
    let mut tx = app.pg.begin().await?;
    if wish.role.is_some_and(|role| role != Role::Admin) && store::is_last_admin(&mut tx, user).await? {
        return Err(Error::LastAdmin);
    }
    let changed = store::update(&mut tx, user, wish, (by, app.clock.now())).await?;
    let account = changed.ok_or(Error::UnknownUser)?;
    tx.commit().await?;
    Ok(account)
}

/// Deletes an account on behalf of `by`.
pub(super) async fn delete(app: &App, user: UserId, by: UserId) -> Result<StatusCode, Error> {
    let (now, mut tx) = (app.clock.now(), app.pg.begin().await?);
    if store::is_last_admin(&mut tx, user).await? {
        return Err(Error::LastAdmin);
    }
    if !store::delete(&mut tx, user, (by, now)).await? {
        return Err(Error::UnknownUser);
    }
    sessions::end_all(&mut tx, user, None, now).await?;
    attempts::forget_account(&mut tx, user).await?;
    tx.commit().await?;
    app.changes.now();
    if let Some(account) = store::find(&app.pg, user).await? {
        app.profiles.put(&account).await;
    }
    Ok(StatusCode::NO_CONTENT)
}
