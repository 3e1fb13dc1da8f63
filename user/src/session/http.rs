//! Login, and the keys that verify what it gives.

use std::time::Duration;

use axum::extract::State;
use axum::response::IntoResponse;
use common::http::extract::Json;
use common::wire::id::SessionId;
use common::wire::token::IDENTITY_TYPE;
use common::wire::user::LoginView;
use http::header::CACHE_CONTROL;

use super::{LogIn, RefreshToken, Session, rules, store};
use crate::account::store::Credentials;
use crate::account::{is_login_id, store as accounts};
use crate::app::App;
use crate::error::Error;

/// `POST /api/auth/login` → 200 with an identity and a refresh token; 401 `wrong-credentials`; 503 `busy`.
pub(crate) async fn log_in(
    State(app): State<App>,
    Json(wish): Json<LogIn>,
) -> Result<impl IntoResponse, Error> {
    let checked = check(&app, wish).await;
    let result = match &checked {
        Ok(_) => "ok",
        Err(Error::WrongCredentials) => "wrong",
        Err(_) => "busy",
    };
    app.metrics.logins_total.with_label_values(&[result]).inc();
    let view = open(&app, &checked?).await?;
    Ok(([(CACHE_CONTROL, "no-store")], axum::Json(view)))
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
        access_token: app.key.sign(&identity, IDENTITY_TYPE)?,
        expires_at: rules::expires_at(&identity),
        refresh_token: refresh_token.0,
        user_id: account.user_id,
        role: account.role,
    })
}

/// `GET /.well-known/jwks.json`: may be kept for a minute.
pub(crate) async fn keys(State(app): State<App>) -> impl IntoResponse {
    ([(CACHE_CONTROL, "max-age=60")], axum::Json(app.key.jwks()))
}
