//! Who is asking: the bearer token into a verified login, and whether its role may use the route.

use std::sync::Arc;
use std::task::{Context, Poll};

use common::auth::Refused;
use common::wire::token::{Identity, Role};
use http::{Response, header};
use tower::Service;

use super::{Next, Pending};
use crate::body::Body;
use crate::call::{Call, Identified, Proved};
use crate::error::Error;
use crate::routes::Rule;
use crate::tokens::Tokens;

/// The layer.
#[derive(Debug, Clone)]
pub struct Identify<S> {
    inner: S,
    tokens: Arc<Tokens>,
}

impl<S> Identify<S> {
    /// Around `inner`.
    pub fn new(inner: S, tokens: Arc<Tokens>) -> Self {
        Self { inner, tokens }
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
        if call.target.route.rule == Rule::Anyone {
            return self.inner.call(Identified { call, login: None });
        }
        let (mut inner, tokens) = (self.inner.clone(), Arc::clone(&self.tokens));
        Box::pin(async move {
            let login = login(&tokens, &call).await?;
            inner.call(Identified { call, login: Some(login) }).await
        })
    }
}

async fn login(tokens: &Tokens, call: &Call) -> Result<Proved<Identity>, Error> {
    let value = call.request.headers().get(header::AUTHORIZATION).ok_or(Error::LoginRequired)?;
    let (scheme, token) = value
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .ok_or(Error::InvalidToken("Authorization is not: Bearer <token>"))?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(Error::InvalidToken("Authorization is not: Bearer <token>"));
    }
    let login = tokens.login(token.trim()).await.map_err(|refused| match refused {
        Refused::NoKeys => Error::KeysUnknown,
        refused => Error::RefusedToken(refused),
    })?;
    match call.target.route.rule {
        Rule::Roles(roles) if !may(login.claims.role, roles) => Err(Error::Forbidden),
        _ => Ok(login),
    }
}

/// ADMIN may do everything a person may.
fn may(role: Role, roles: &[Role]) -> bool {
    role == Role::Admin || roles.contains(&role)
}
