//! The logins of an account, and their end.

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use common::auth::Caller;
use common::http::extract::{Json, Path};
use common::http::problem::Failure;
use common::wire::id::SessionId;
use common::wire::list::Listing;
use common::wire::token::Role;
use common::wire::user::NewPassword;
use http::HeaderMap;

use super::super::{cookie, store};
use super::{Sent, sent};
use crate::account::store as accounts;
use crate::app::App;
use crate::attempt;
use crate::error::Error;

/// `POST /api/auth/logout` → 204: the login of the identity and that of the refresh token end, whichever came along,
/// and the browser forgets both.
pub(crate) async fn log_out(
    State(app): State<App>,
    caller: Result<Caller, Failure>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<impl IntoResponse, Failure> {
    let token = sent(&headers, body)?;
    let now = app.clock.now();
    if let Ok(caller) = caller.as_ref()
        && caller.role != Role::Service
    {
        store::end(&app.pg, caller.user, caller.sid, now).await?;
    }
    if let Some(Sent::Body(token) | Sent::Cookie(token)) = token {
        let mut db = app.pg.acquire().await.map_err(Error::from)?;
        store::end_family(&mut db, &token, now).await?;
    }
    app.changes.now();
    Ok((StatusCode::NO_CONTENT, cookie::none(&headers)))
}

/// `GET /api/auth/sessions` → 200 with the caller's logins, the one used last first.
pub(crate) async fn sessions(State(app): State<App>, caller: Caller) -> Result<impl IntoResponse, Error> {
    let items = store::list(&app.pg, caller.user, caller.sid, app.clock.now()).await?;
    let total = i64::try_from(items.len()).unwrap_or(i64::MAX);
    Ok(axum::Json(Listing { items, total }))
}

/// `DELETE /api/auth/sessions/{sid}` → 204; 404 `unknown-session` where the caller has no such login.
pub(crate) async fn log_out_one(
    State(app): State<App>,
    caller: Caller,
    Path(sid): Path<SessionId>,
) -> Result<StatusCode, Error> {
    if !store::end_own(&app.pg, caller.user, sid, app.clock.now()).await? {
        return Err(Error::UnknownSession);
    }
    app.changes.now();
    Ok(StatusCode::NO_CONTENT)
}

/// `POST /api/auth/password` → 204, and all other logins of the account end; 403 `wrong-password`; 429
/// `too-many-attempts`; 503 `busy`.
pub(crate) async fn change_password(
    State(app): State<App>,
    caller: Caller,
    Json(wish): Json<NewPassword>,
) -> Result<StatusCode, Error> {
    let known = accounts::credentials(&app.pg, caller.user).await?.ok_or(Error::UnknownUser)?;
    let bucket = attempt::of_session(caller.sid);
    attempt::store::look_at_session(&app.pg, &bucket, app.clock.now()).await?;
    let checked = app.hasher.verify(wish.current_password, Some(known.password_hash)).await?;
    if !checked.is_right {
        attempt::store::fail(&app.pg, &[bucket], app.clock.now()).await?;
        return Err(Error::WrongPassword);
    }
    let new = app.hasher.hash(wish.new_password).await?;
    let (now, mut tx) = (app.clock.now(), app.pg.begin().await?);
    // First the account, then its logins: one that begins meanwhile waits, and finds the password changed.
    if !accounts::set_password(&mut tx, caller.user, (known.password_changed_at, &new), now).await? {
        return Err(Error::WrongPassword);
    }
    store::end_all(&mut tx, caller.user, Some(caller.sid), now).await?;
    tx.commit().await?;
    app.changes.now();
    Ok(StatusCode::NO_CONTENT)
}
