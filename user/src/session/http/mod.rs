//! What a login is asked for: [`login`] begins one, [`refresh`] goes on with it, [`end`] shows and ends them.

mod end;
mod login;
mod refresh;

pub(crate) use end::{change_password, log_out, log_out_one, sessions};
pub(crate) use login::{keys, log_in, log_in_by_form};
pub(crate) use refresh::{refresh, refresh_for_page};

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use common::http::extract;
use common::http::problem::Failure;
use common::wire::Time;
use common::wire::id::{SessionId, UserId};
use common::wire::token::{IDENTITY_TYPE, Role};
use common::wire::user::{Bearer, LoginView};
use http::HeaderMap;

use super::{RefreshToken, cookie, rules};
use crate::app::App;
use crate::error::Error;

/// A new identity of a login, together with the refresh token that is the next to use.
fn view(
    app: &App,
    (user_id, role, sid): (UserId, Role, SessionId),
    token: &RefreshToken,
    now: Time,
) -> Result<LoginView, Error> {
    let identity = rules::identity(user_id, role, sid, now);
    Ok(LoginView {
        access_token: app.keys.sign(&identity, IDENTITY_TYPE)?,
        expires_at: rules::expires_at(&identity),
        refresh_token: token.text(),
        user_id,
        role,
    })
}

/// Where a refresh token came from.
enum Sent {
    /// A program's.
    Body(RefreshToken),
    /// A browser's.
    Cookie(RefreshToken),
}

/// The refresh token of a request: the body's, and only where there is no body, a browser's. `None` where there is
/// none, or none that was ever given.
fn sent(headers: &HeaderMap, body: Result<Bytes, BytesRejection>) -> Result<Option<Sent>, Failure> {
    let body = body.map_err(|rejection| extract::unreadable(&rejection))?;
    if body.is_empty() {
        return Ok(cookie::refresh_token(headers).map(Sent::Cookie));
    }
    let bearer: Bearer = extract::read(&body)?;
    Ok(RefreshToken::read(&bearer.refresh_token).map(Sent::Body))
}
