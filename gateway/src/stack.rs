//! The way of a request through the gateway.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::Response;
use tokio::sync::Semaphore;
use tower::layer::layer_fn;
use tower::{Service, ServiceBuilder};

use crate::assets::Assets;
use crate::body::Body;
use crate::call::{Arrived, Vouched};
use crate::config::Config;
use crate::error::Error;
use crate::forward::Forward;
use crate::jwks::Published;
use crate::layer::Pending;
use crate::layer::body_limit::BodyLimit;
use crate::layer::deadline::Deadline;
use crate::layer::hygiene::Hygiene;
use crate::layer::identify::Identify;
use crate::layer::name::Name;
use crate::layer::observe::Observe;
use crate::layer::require_pass::RequirePass;
use crate::layer::shed::Shed;
use crate::layer::vouch::Vouch;
use crate::metrics::Metrics;
use crate::router::Router;
use crate::routes::{NOT_YET_BUILT, TABLE, To};
use crate::tokens::Tokens;

/// The whole stack, from a request as accepted to its answer.
///
/// # Errors
/// When the route table or an address does not hold.
pub fn stack(
    config: &Config,
    tokens: Tokens,
    jwks: Published,
    metrics: Metrics,
) -> anyhow::Result<
    impl Service<Arrived, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static,
> {
    let router = Arc::new(Router::new(TABLE, NOT_YET_BUILT)?);
    let slots = Arc::new(Semaphore::new(config.in_flight_max));
    let (upload_max, deadline_max) = (config.upload_max(), config.deadline_max());
    let tokens = Arc::new(tokens);
    let (identify, require, vouch) = (Arc::clone(&tokens), Arc::clone(&tokens), tokens);
    let assets = Arc::new(Assets::read(&config.web_root)?);
    let destination = Destination { forward: Forward::new(config)?, assets, jwks };
    Ok(ServiceBuilder::new()
        .layer(layer_fn(Name::new)) // outermost: every line and answer below carries the id
        .layer(layer_fn(move |next| Observe::new(next, Arc::clone(&router), metrics.clone()))) // counts the refused too
        .layer(layer_fn(move |next| Shed::new(next, Arc::clone(&slots)))) // refuse early, before any work is done
        .layer(layer_fn(Hygiene::new)) // nobody below sees a header that only we may write
        .layer(layer_fn(move |next| BodyLimit::new(next, upload_max))) // also for requests that are refused further in
        .layer(layer_fn(move |next| Deadline::new(next, deadline_max, upload_max))) // around everything that can wait
        .layer(layer_fn(move |next| Identify::new(next, Arc::clone(&identify)))) // who
        .layer(layer_fn(move |next| RequirePass::new(next, Arc::clone(&require)))) // were they let in
        .layer(layer_fn(move |next| Vouch::new(next, Arc::clone(&vouch)))) // says so inside, and drops the tokens
        .service(destination))
}

/// Where requests end: a service, or the gateway itself.
#[derive(Debug, Clone)]
pub struct Destination {
    forward: Forward,
    assets: Arc<Assets>,
    jwks: Published,
}

impl Service<Vouched> for Destination {
    type Response = Response<Body>;
    type Error = Error;
    type Future = Pending;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, Vouched(call): Vouched) -> Pending {
        let there = self.clone();
        Box::pin(async move {
            match call.target.route.to {
                To::User | To::Product | To::Order | To::Queue => there.forward.send(call).await,
                To::Assets => there.assets.serve(&call.request, call.request.uri().path()),
                To::File(path) => there.assets.serve(&call.request, path),
                To::Jwks => there.jwks.serve().await,
            }
        })
    }
}
