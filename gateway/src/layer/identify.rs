//! Who is asking: the bearer token, or a browser's cookie, into a verified login, and whether its role may use the
//! route.
//!
//! A browser sends its cookie along with whatever any page makes it send. So a cookie counts for something that changes
//! anything, or opens a way in both directions, only where the browser itself says that one of our own pages asked: the
//! `Origin` is this host.

use std::sync::Arc;
use std::task::{Context, Poll};

use common::auth::Refused;
use common::http::cookie::{IDENTITY_COOKIE, is_loopback, values};
use common::wire::token::{Identity, Role};
use http::{HeaderMap, HeaderValue, Method, Response, header};
use tower::Service;

use super::require_pass::to_waiting_page;
use super::{Next, Pending, refused};
use crate::body::Body;
use crate::call::{Call, Identified};
use crate::error::Error;
use crate::routes::Rule;
use crate::tokens::{Proved, Tokens};
use crate::tunnel;

/// The layer.
#[derive(Debug, Clone)]
pub struct Identify<S> {
    inner: S,
    tokens: Arc<Tokens>,
    origins: Arc<[HeaderValue]>,
}

impl<S> Identify<S> {
    /// Around `inner`; pages of `origins` may send what needs no cookie.
    pub fn new(inner: S, tokens: Arc<Tokens>, origins: Arc<[HeaderValue]>) -> Self {
        Self { inner, tokens, origins }
    }
}

impl<S: Next<Identified>> Service<Call> for Identify<S> {
    type Response = Response<Body>;
    type Error = Error;
    type Future = Pending;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, call: Call) -> Pending {
        let rule = call.target.route.rule;
        // A foreign page must not log a browser in as somebody else, or out.
        if matches!(rule, Rule::Anyone | Rule::Visitor)
            && changes(&call)
            && is_foreign(call.request.headers())
            && !self.is_guest(call.request.headers())
        {
            return refused(Error::ForeignOrigin);
        }
        if rule == Rule::Anyone {
            return self.inner.call(Identified { call, login: None });
        }
        // Nearly every login is known, and then nothing has to be waited for.
        if let Ok(token) = token(&call)
            && let Some(login) = self.tokens.known(token)
        {
            return match allowed(&call, login) {
                Ok(login) => self.inner.call(Identified { call, login: Some(login) }),
                Err(error) => refused(error),
            };
        }
        let (mut inner, tokens) = (self.inner.clone(), Arc::clone(&self.tokens));
        Box::pin(async move {
            let login = match login(&tokens, &call).await {
                Ok(login) => Some(login),
                Err(Error::LoginRequired | Error::InvalidToken(_) | Error::RefusedToken(_))
                    if call.target.route.rule == Rule::Visitor =>
                {
                    None
                }
                Err(error) => return to_waiting_page(&call).ok_or(error),
            };
            inner.call(Identified { call, login }).await
        })
    }
}

async fn login(tokens: &Tokens, call: &Call) -> Result<Arc<Proved<Identity>>, Error> {
    let login = tokens.login(token(call)?).await.map_err(|refused| match refused {
        Refused::NoKeys => Error::KeysUnknown,
        refused => Error::RefusedToken(refused),
    })?;
    allowed(call, login)
}

impl<S> Identify<S> {
    /// Whether the page that asks is one of those that the settings name.
    fn is_guest(&self, headers: &HeaderMap) -> bool {
        headers.get_all(header::ORIGIN).iter().all(|origin| self.origins.contains(origin))
    }
}

/// Whether the login's role may use the route.
fn allowed(call: &Call, login: Arc<Proved<Identity>>) -> Result<Arc<Proved<Identity>>, Error> {
    match call.target.route.rule {
        Rule::Roles(roles) if !may(login.claims.role, roles) => Err(Error::Forbidden),
        _ => Ok(login),
    }
}

/// The identity token: a bearer's, and only where there is none, a browser's.
fn token(call: &Call) -> Result<&str, Error> {
    let headers = call.request.headers();
    let Some(value) = headers.get(header::AUTHORIZATION) else { return cookie(call) };
    let (scheme, token) = value
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .ok_or(Error::InvalidToken("Authorization is not: Bearer <token>"))?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Error::InvalidToken("Authorization is not: Bearer <token>"));
    }
    Ok(token.trim())
}

fn cookie(call: &Call) -> Result<&str, Error> {
    let headers = call.request.headers();
    let mut found = values(headers, IDENTITY_COOKIE);
    let token = found.next().ok_or(Error::LoginRequired)?;
    if found.next().is_some() {
        return Err(Error::InvalidToken("there is more than one identity cookie"));
    }
    if changes(call) && (!headers.contains_key(header::ORIGIN) || is_foreign(headers)) {
        return Err(Error::ForeignOrigin);
    }
    Ok(token)
}

/// GET and HEAD change nothing, on any route; but through a WebSocket anything may be said later.
fn changes(call: &Call) -> bool {
    !matches!(*call.request.method(), Method::GET | Method::HEAD) || tunnel::is_wanted(&call.request)
}

/// Whether a browser says that the page which asks is not ours. Ours come over TLS, except on this machine itself.
fn is_foreign(headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default();
    headers.get_all(header::ORIGIN).iter().any(|origin| {
        let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        !origin.is_some_and(|(scheme, authority)| {
            authority.eq_ignore_ascii_case(host)
                && (scheme == "https" || scheme == "http" && is_loopback(host))
        })
    })
}

/// ADMIN may do everything a person may.
fn may(role: Role, roles: &[Role]) -> bool {
    role == Role::Admin || roles.contains(&role)
}
