//! The way of a request through the gateway.

use std::sync::Arc;
use std::task::{Context, Poll};

use common::stop::Stop;
use http::{HeaderValue, Response};
use ipnet::IpNet;
use tokio::sync::Semaphore;
use tower::layer::layer_fn;
use tower::{Service, ServiceBuilder};

use crate::assets::Assets;
use crate::body::Body;
use crate::call::Vouched;
use crate::config::Config;
use crate::door::Stack;
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
use crate::layer::rate_account::RateAccount;
use crate::layer::rate_address::RateAddress;
use crate::layer::require_pass::RequirePass;
use crate::layer::shed::Shed;
use crate::layer::vouch::Vouch;
use crate::metrics::Metrics;
use crate::rate::Rates;
use crate::router::Router;
use crate::routes::To;
use crate::tokens::Tokens;
use crate::upstream::Upstreams;

/// What the stacks of all workers share.
#[derive(Debug, Clone)]
pub struct Shared {
    /// The settings.
    pub config: Arc<Config>,
    /// The route table.
    pub router: Arc<Router>,
    /// Logins and access tokens.
    pub tokens: Arc<Tokens>,
    /// How often who may ask.
    pub rates: Arc<Rates>,
    /// The services behind.
    pub upstreams: Arc<Upstreams>,
    /// The static pages.
    pub assets: Arc<Assets>,
    /// The issuers' keys.
    pub jwks: Published,
    /// The figures.
    pub metrics: Metrics,
    /// Requests that may be in flight.
    pub slots: Arc<Semaphore>,
}

/// One worker's whole stack, from a request as accepted to its answer. Event streams end with `stop`.
pub fn stack(shared: &Shared, worker: usize, stop: &Stop) -> impl Stack + use<> {
    let Shared { config, router, tokens, rates, upstreams, assets, jwks, metrics, slots } = shared.clone();
    let (upload_max, deadline_max) = (config.upload_max(), config.deadline_max());
    let origins: Arc<[HeaderValue]> = config.cors_origins.as_slice().into();
    let proxies: Arc<[IpNet]> = config.trusted_proxies.as_slice().into();
    let (identify, require, vouch) = (Arc::clone(&tokens), Arc::clone(&tokens), tokens);
    let (by_address, by_account) = (Arc::clone(&rates), rates);
    let forward = Forward::new(upstreams, worker, deadline_max, stop.clone());
    let destination = Destination(Arc::new(Destinations { forward, assets, jwks }));
    ServiceBuilder::new()
        .layer(layer_fn(Name::new)) // outermost: every line and answer below carries the id
        .layer(layer_fn(move |next| {
            Observe::new(next, Arc::clone(&router), metrics.clone(), Arc::clone(&proxies))
        })) // counts the refused too
        .layer(layer_fn(move |next| Shed::new(next, Arc::clone(&slots)))) // refuse early, before any work is done
        .layer(layer_fn(Hygiene::new)) // nobody below sees a header that only we may write
        .layer(layer_fn(move |next| RateAddress::new(next, Arc::clone(&by_address)))) // before anything costly
        .layer(layer_fn(move |next| BodyLimit::new(next, upload_max))) // also for requests that are refused further in
        .layer(layer_fn(move |next| Deadline::new(next, deadline_max, upload_max))) // around everything that can wait
        .layer(layer_fn(move |next| Identify::new(next, Arc::clone(&identify), Arc::clone(&origins)))) // who
        .layer(layer_fn(move |next| RateAccount::new(next, Arc::clone(&by_account)))) // from however many addresses
        .layer(layer_fn(move |next| RequirePass::new(next, Arc::clone(&require)))) // were they let in
        .layer(layer_fn(move |next| Vouch::new(next, Arc::clone(&vouch)))) // says so inside, and drops the tokens
        .service(destination)
}

/// Where requests end: a service, or the gateway itself.
#[derive(Debug, Clone)]
pub struct Destination(Arc<Destinations>);

#[derive(Debug)]
struct Destinations {
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
        let there = Arc::clone(&self.0);
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
