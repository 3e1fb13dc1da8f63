//! Were they let in: access tokens into verified rights, on the routes that ask for one.

use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use common::auth::Refused;
use common::wire::token::{Identity, PASS_HEADER, Pass, Role};
use http::{HeaderValue, Method, Response, StatusCode, header};
use tower::Service;

use super::{Next, Pending};
use crate::body::{Body, full};
use crate::call::{Call, Cleared, Identified};
use crate::error::Error;
use crate::routes::Rule;
use crate::tokens::{Proved, Tokens};

/// The layer.
#[derive(Debug, Clone)]
pub struct RequirePass<S> {
    inner: S,
    tokens: Arc<Tokens>,
}

impl<S> RequirePass<S> {
    /// Around `inner`.
    pub fn new(inner: S, tokens: Arc<Tokens>) -> Self {
        Self { inner, tokens }
    }
}

impl<S: Next<Cleared>> Service<Identified> for RequirePass<S> {
    type Response = Response<Body>;
    type Error = Error;
    type Future = Pending;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, Identified { call, login }: Identified) -> Pending {
        if !matches!(call.target.route.rule, Rule::Pass | Rule::AnyPass) {
            return self.inner.call(Cleared { call, login, passes: Vec::new() });
        }
        let (mut inner, tokens) = (self.inner.clone(), Arc::clone(&self.tokens));
        Box::pin(async move {
            let login = login.ok_or(Error::LoginRequired)?;
            let passes = passes(&tokens, &call, &login.claims).await;
            match passes.and_then(|passes| suffice(&call, login.claims.role, &passes).map(|()| passes)) {
                Ok(passes) => inner.call(Cleared { call, login: Some(login), passes }).await,
                Err(error) => to_waiting_page(&call).ok_or(error),
            }
        })
    }
}

/// A person who opens a product's address in a browser without having been let in goes to its waiting page, which also
/// has the login. `None` where it is a program that asks, or where there is no one product to wait for.
pub fn to_waiting_page(call: &Call) -> Option<Response<Body>> {
    let product = call.target.product?;
    let mut accepted = call.request.headers().get_all(header::ACCEPT).iter();
    let is_page = accepted.any(|kinds| kinds.as_bytes().windows(9).any(|part| part == b"text/html"));
    if !is_page || call.request.method() != Method::GET {
        return None;
    }
    let mut response = Response::new(full(Bytes::new()));
    *response.status_mut() = StatusCode::SEE_OTHER;
    let place = HeaderValue::try_from(format!("/queue/{product}/wait")).expect("digits and ASCII");
    response.headers_mut().insert(header::LOCATION, place);
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Some(response)
}

/// All tokens that came along; one that does not verify spoils the request, so that nobody is left guessing.
async fn passes(tokens: &Tokens, call: &Call, login: &Identity) -> Result<Vec<Arc<Proved<Pass>>>, Error> {
    let mut passes = Vec::new();
    for value in call.request.headers().get_all(PASS_HEADER) {
        let list = value.to_str().map_err(|_| Error::InvalidAccessToken(Refused::Invalid))?;
        // What was sent as several lines may have been joined into one on the way (RFC 9110 §5.3).
        for token in list.split(',') {
            passes.push(tokens.pass(token.trim(), login).await.map_err(|refused| match refused {
                Refused::NoKeys => Error::KeysUnknown,
                refused => Error::InvalidAccessToken(refused),
            })?);
        }
    }
    Ok(passes)
}

fn suffice(call: &Call, role: Role, passes: &[Arc<Proved<Pass>>]) -> Result<(), Error> {
    let product = call.target.product;
    let enough = match product {
        Some(product) => {
            matches!(role, Role::Seller | Role::Admin) || passes.iter().any(|pass| pass.claims.pid == product)
        }
        None => !passes.is_empty(),
    };
    if enough { Ok(()) } else { Err(Error::AccessTokenRequired { product }) }
}
