//! Login, and the keys that verify what it gives.

use std::time::Duration;

use axum::extract::State;
use axum::extract::rejection::FormRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use common::http::extract::Json;
use common::http::problem::Failure;
use common::wire::id::SessionId;
use common::wire::token::IDENTITY_TYPE;
use common::wire::user::LoginView;
use http::header::{CACHE_CONTROL, LOCATION, SET_COOKIE};

use super::{LogIn, LogInForm, RefreshToken, Session, cookie, rules, store};
use crate::account::store::Credentials;
use crate::account::{is_login_id, store as accounts};
use crate::app::App;
use crate::error::Error;

/// `POST /api/auth/login` → 200 with an identity and a refresh token, the identity also as a cookie; 401
/// `wrong-credentials`; 503 `busy`.
pub(crate) async fn log_in(
    State(app): State<App>,
    headers: HeaderMap,
    Json(wish): Json<LogIn>,
) -> Result<impl IntoResponse, Error> {
    let view = checked(&app, wish).await?;
    Ok((
        [(CACHE_CONTROL, "no-store".into()), (SET_COOKIE, cookie::of(&view, &app.clock, &headers))],
        axum::Json(view),
    ))
}

/// `POST /login`, a page's form → 303 to its `next` with the cookie; without it and with `login=wrong` or `login=busy`
/// where there is no login.
pub(crate) async fn log_in_by_form(
    State(app): State<App>,
    headers: HeaderMap,
    form: Result<axum::Form<LogInForm>, FormRejection>,
) -> Result<Response, Failure> {
    let axum::Form(LogInForm { login_id, password, next }) =
        form.map_err(|rejection| Failure::field("form", rejection.body_text()))?;
    if !rules::is_own_page(&next) {
        return Err(Failure::field("next", "the path of a page of this shop"));
    }
    let mark = if next.contains('?') { '&' } else { '?' };
    let answer = match checked(&app, LogIn { login_id, password }).await {
        Ok(view) => {
            let cookie = cookie::of(&view, &app.clock, &headers);
            (StatusCode::SEE_OTHER, [(LOCATION, next), (SET_COOKIE, cookie)]).into_response()
        }
        Err(Error::WrongCredentials) => {
            (StatusCode::SEE_OTHER, [(LOCATION, format!("{next}{mark}login=wrong"))]).into_response()
        }
        Err(Error::Busy | Error::Unavailable(_)) => {
            (StatusCode::SEE_OTHER, [(LOCATION, format!("{next}{mark}login=busy"))]).into_response()
        }
        Err(error) => return Err(error.into()),
    };
    Ok(answer)
}

/// `POST /api/auth/logout` → 204, and the browser forgets the cookie. The token itself lives to its end.
pub(crate) async fn log_out(headers: HeaderMap) -> impl IntoResponse {
    (StatusCode::NO_CONTENT, [(SET_COOKIE, cookie::none(&headers))])
}

/// What a login gives, counted by how it went.
async fn checked(app: &App, wish: LogIn) -> Result<LoginView, Error> {
    let checked = check(app, wish).await;
    let result = match &checked {
        Ok(_) => "ok",
        Err(Error::WrongCredentials) => "wrong",
        Err(_) => "busy",
    };
    app.metrics.logins_total.with_label_values(&[result]).inc();
    open(app, &checked?).await
}

/// The account that the pair belongs to. Costs one hash whatever the answer.
async fn check(app: &App, wish: LogIn) -> Result<Credentials, Error> {
    let account = match is_login_id(&wish.login_id) {
        true => accounts::credentials(&app.pg, &wish.login_id).await?,
        false => None,
    };
    let stored = account.as_ref().map(|account| account.password_hash.clone());
    let right = app.hasher.verify(wish.password, stored).await?;
    account.filter(|_| right).ok_or(Error::WrongCredentials)
}

/// A new session of the account.
async fn open(app: &App, account: &Credentials) -> Result<LoginView, Error> {
    let (now, refresh_token) = (app.clock.now(), RefreshToken::new()?);
    let session = Session {
        session_id: SessionId::new(),
        user_id: account.user_id,
        refresh_token_hash: refresh_token.hash(),
        created_at: now,
        expires_at: now + Duration::from_secs(app.session_ttl_s.into()),
    };
    store::insert(&app.pg, &session).await?;
    let identity = rules::identity(account.user_id, account.role, session.session_id, now);
    Ok(LoginView {
        access_token: app.keys.sign(&identity, IDENTITY_TYPE)?,
        expires_at: rules::expires_at(&identity),
        refresh_token: refresh_token.0,
        user_id: account.user_id,
        role: account.role,
    })
}

/// `GET /.well-known/jwks.json`: may be kept for a minute.
pub(crate) async fn keys(State(app): State<App>) -> impl IntoResponse {
    ([(CACHE_CONTROL, "max-age=60")], axum::Json(app.keys.jwks()))
}
