//! Going on with a login.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use common::http::extract::Query;
use common::http::problem::Failure;
use common::wire::user::LoginView;
use garde::Validate;
use http::HeaderMap;
use http::header::{CACHE_CONTROL, LOCATION};
use serde::Deserialize;

use super::super::rules::{self, Verdict};
use super::super::{RefreshToken, cookie, random, store};
use super::{Sent, sent, view};
use crate::app::App;
use crate::error::Error;

/// `POST /api/auth/refresh` → for `{refreshToken}` 200 as a login answers; for a browser's cookie 204 and both cookies
/// anew, so that no script ever sees a token. 401 `invalid-refresh-token` for a program, `login-required` for a browser.
pub(crate) async fn refresh(
    State(app): State<App>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<Response, Failure> {
    let no_store = [(CACHE_CONTROL, "no-store")];
    let is_program = body.as_ref().is_ok_and(|body| !body.is_empty());
    match sent(&headers, body)? {
        None if is_program => Err(refused(&app).into()),
        None => {
            app.metrics.refreshes_total.with_label_values(&["refused"]).inc();
            Err(over())
        }
        Some(Sent::Body(token)) => Ok((no_store, axum::Json(exchange(&app, &token).await?)).into_response()),
        Some(Sent::Cookie(token)) => {
            let login = exchange(&app, &token).await.map_err(|error| match error {
                Error::InvalidRefreshToken => over(),
                error => error.into(),
            })?;
            let cookies = cookie::of(&login, app.session_ttl_s, &app.clock, &headers);
            Ok((StatusCode::NO_CONTENT, no_store, cookies).into_response())
        }
    }
}

/// Where to go on.
#[derive(Debug, Deserialize, Validate)]
pub(crate) struct Return {
    #[garde(custom(own_page))]
    next: String,
}

fn own_page(next: &str, (): &()) -> garde::Result {
    if rules::is_own_page(next) { Ok(()) } else { Err(garde::Error::new("the path of a page of this shop")) }
}

/// `GET /api/auth/refresh?next=`, a page without a script → 303 to `next`, with both cookies anew, or with `login=over`
/// where the login has ended.
pub(crate) async fn refresh_for_page(
    State(app): State<App>,
    headers: HeaderMap,
    Query(Return { next }): Query<Return>,
) -> Result<Response, Failure> {
    let login = match cookie::refresh_token(&headers) {
        Some(token) => exchange(&app, &token).await,
        None => Err(refused(&app)),
    };
    match login {
        Ok(login) => {
            let cookies = cookie::of(&login, app.session_ttl_s, &app.clock, &headers);
            Ok((StatusCode::SEE_OTHER, [(LOCATION, next)], cookies).into_response())
        }
        Err(Error::InvalidRefreshToken) => {
            let mark = if next.contains('?') { '&' } else { '?' };
            Ok((StatusCode::SEE_OTHER, [(LOCATION, format!("{next}{mark}login=over"))]).into_response())
        }
        Err(error) => Err(error.into()),
    }
}

/// A new pair for a token. The lock on the login makes simultaneous uses of one token follow each other: the first
/// takes its turn, the others find it used a moment ago.
async fn exchange(app: &App, token: &RefreshToken) -> Result<LoginView, Error> {
    let mut tx = app.pg.begin().await?;
    let Some(session) = store::lock(&mut tx, token).await? else { return Err(refused(app)) };
    let now = app.clock.now();
    let (result, next) = match rules::judge(&session, token, now) {
        Verdict::Next => {
            let salt = random()?;
            let next = token.next(&salt);
            let expires_at = now + Duration::from_secs(app.session_ttl_s.into());
            store::rotate(&mut tx, &session, (token, &next, &salt), (now, expires_at)).await?;
            ("ok", next)
        }
        Verdict::Again(next) => ("again", next),
        Verdict::Over => return Err(refused(app)),
        Verdict::Reused => {
            store::end_family(&mut tx, token, now).await?;
            tx.commit().await?;
            app.changes.now();
            let (user, sid) = (session.user_id, session.session_id);
            tracing::warn!(user.id = %user, session.id = %sid, "a refresh token was used again: its login has ended");
            app.metrics.refreshes_total.with_label_values(&["reused"]).inc();
            return Err(Error::InvalidRefreshToken);
        }
    };
    tx.commit().await?;
    app.metrics.refreshes_total.with_label_values(&[result]).inc();
    view(app, (session.user_id, session.role, session.session_id), &next, now)
}

/// A page knows what to do without a login, and needs no other word for it.
fn over() -> Failure {
    Failure::login_required("the login has ended")
}

fn refused(app: &App) -> Error {
    app.metrics.refreshes_total.with_label_values(&["refused"]).inc();
    Error::InvalidRefreshToken
}
