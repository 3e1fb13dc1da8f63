//! Beginning a login, and the keys that verify what it gives.

use std::time::Duration;

use axum::extract::State;
use axum::extract::rejection::FormRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use common::http::extract::Json;
use common::http::problem::Failure;
use common::wire::id::SessionId;
use common::wire::user::rules::is_login_id;
use common::wire::user::{LogIn, LoginView};
use http::header::{CACHE_CONTROL, LOCATION, USER_AGENT};

use super::super::cookie::{self, Cookies};
use super::super::{LogInForm, NewSession, RefreshToken, random, rules, store};
use super::view;
use crate::account::store as accounts;
use crate::account::store::Credentials;
use crate::app::App;
use crate::attempt::{self, Device, Origin};
use crate::error::Error;

/// Characters kept of what a client calls itself.
const USER_AGENT_MAX: usize = 200;

/// `POST /api/auth/login` → 200 with an identity and a refresh token, both also as cookies; 401 `wrong-credentials`; 429
/// `too-many-attempts`; 503 `busy`.
pub(crate) async fn log_in(
    State(app): State<App>,
    origin: Origin,
    headers: HeaderMap,
    Json(wish): Json<LogIn>,
) -> Result<impl IntoResponse, Error> {
    let (login, cookies) = begun(&app, wish, &origin, &headers).await?;
    Ok(([(CACHE_CONTROL, "no-store")], cookies, axum::Json(login)))
}

/// `POST /login`, a page's form → 303 to its `next` with the cookies; without them and with `login=wrong` or `login=busy`
/// where there is no login.
pub(crate) async fn log_in_by_form(
    State(app): State<App>,
    origin: Origin,
    headers: HeaderMap,
    form: Result<axum::Form<LogInForm>, FormRejection>,
) -> Result<Response, Failure> {
    let axum::Form(LogInForm { login_id, password, next }) =
        form.map_err(|rejection| Failure::field("form", rejection.body_text()))?;
    if !rules::is_own_page(&next) {
        return Err(Failure::field("next", "the path of a page of this shop"));
    }
    let mark = if next.contains('?') { '&' } else { '?' };
    let back =
        |why| (StatusCode::SEE_OTHER, [(LOCATION, format!("{next}{mark}login={why}"))]).into_response();
    match begun(&app, LogIn { login_id, password }, &origin, &headers).await {
        Ok((_, cookies)) => Ok((StatusCode::SEE_OTHER, [(LOCATION, next)], cookies).into_response()),
        Err(Error::WrongCredentials) => Ok(back("wrong")),
        Err(Error::Busy | Error::TooManyAttempts { .. } | Error::Unavailable(_)) => Ok(back("busy")),
        Err(error) => Err(error.into()),
    }
}

/// What a login gives and the cookies that hold it, counted by how it went.
async fn begun(
    app: &App,
    wish: LogIn,
    origin: &Origin,
    headers: &HeaderMap,
) -> Result<(LoginView, Cookies), Error> {
    let checked = check(app, wish, origin).await;
    let result = match &checked {
        Ok(_) => "ok",
        Err(Error::WrongCredentials) => "wrong",
        Err(Error::TooManyAttempts { .. }) => "limited",
        Err(_) => "busy",
    };
    app.metrics.logins_total.with_label_values(&[result]).inc();
    let (account, device) = checked?;
    let login = open(app, &account, headers).await?;
    let mut cookies = cookie::of(&login, app.session_ttl_s, &app.clock, headers);
    cookies.0.extend(device.map(|device| cookie::device(device, headers)));
    Ok((login, cookies))
}

/// The account that the pair belongs to, and the name of the browser that brought it. Costs one hash and as many
/// questions whatever the answer.
async fn check(app: &App, wish: LogIn, origin: &Origin) -> Result<(Credentials, Option<Device>), Error> {
    let now = app.clock.now();
    // What no account can have counts like one that none has.
    let login_id = if is_login_id(&wish.login_id) { &wish.login_id } else { "" };
    let (look, buckets) = attempt::store::look(&app.pg, login_id, origin, now).await?;
    let stored = look.account.as_ref().map(|account| account.password_hash.clone());
    let checked = app.hasher.verify(wish.password, stored).await?;
    let Some(account) = look.account.filter(|_| checked.is_right) else {
        attempt::store::fail(&app.pg, &buckets, now).await?;
        return Err(Error::WrongCredentials);
    };
    if let Some(hash) = &checked.renewed {
        accounts::rehash(&app.pg, &account, hash).await?;
    }
    let device = match origin.device {
        None if origin.is_browser => Some(Device::new()?),
        known => known,
    };
    if !look.knows_address || (device.is_some() && !look.knows_device) {
        attempt::store::succeed(&app.pg, account.user_id, (origin, device), now).await?;
    }
    Ok((account, device))
}

/// A new session of the account, unless it has changed since its password was checked.
async fn open(app: &App, account: &Credentials, headers: &HeaderMap) -> Result<LoginView, Error> {
    let now = app.clock.now();
    let session = NewSession {
        session_id: SessionId::new(),
        user_id: account.user_id,
        token: RefreshToken::new()?,
        salt: random()?,
        user_agent: user_agent(headers),
        created_at: now,
        expires_at: now + Duration::from_secs(app.session_ttl_s.into()),
        password_changed_at: account.password_changed_at,
    };
    let role = store::insert(&app.pg, &session).await?.ok_or(Error::WrongCredentials)?;
    view(app, (session.user_id, role, session.session_id), &session.token, now)
}

/// What the client calls itself, as far as it is text.
fn user_agent(headers: &HeaderMap) -> String {
    let name = headers.get(USER_AGENT).and_then(|name| name.to_str().ok()).unwrap_or_default();
    name.chars().take(USER_AGENT_MAX).collect()
}

/// `GET /.well-known/jwks.json`: may be kept for a minute.
pub(crate) async fn keys(State(app): State<App>) -> impl IntoResponse {
    ([(CACHE_CONTROL, "max-age=60")], axum::Json(app.keys.jwks()))
}
