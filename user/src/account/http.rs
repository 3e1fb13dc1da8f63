//! Sign-up and the own profile.

use axum::extract::State;
use common::auth::Caller;
use common::http::extract::Json;
use common::wire::token::Role;
use common::wire::user::UserView;
use http::StatusCode;

use super::{NewAccount, SignUp, store};
use crate::app::App;
use crate::error::Error;

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
    store::view(&app.pg, caller.user).await?.map(axum::Json).ok_or(Error::UnknownUser)
}
