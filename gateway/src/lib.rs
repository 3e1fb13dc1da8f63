//! The only public door.
//!
//! It owns no data but the buckets `rate:*` in Redis; of others' it reads there which access tokens queue-server revoked
//! and which logins have ended. What it owns is the way in:
//!
//! - [`routes`]: every public URL, who may use it and where it leads; [`router`] finds it, [`path`] refuses what
//!   two programs could read in two ways.
//! - [`mod@stack`]: the layers of a request in order; [`layer`] has one file each, [`call`] the types that hand a
//!   request from one to the next.
//! - [`client`]: who is at the far end; [`rate`]: how often they may ask.
//! - [`tokens`]: verified logins, passes and signed assertions, kept until they end ([`cache`]).
//! - [`forward`], [`upstream`]: to a replica of a service and back, streaming; [`tunnel`]: WebSockets; [`assets`], [`jwks`]: what the gateway
//!   answers itself.
//! - [`door`]: accepts connections and has a thread for each processor core; [`socket`]: one connection; [`refusal`]:
//!   answers to what is no request; [`browser`]: CORS and compression; [`body`], [`headers`]: what passes through.

pub mod assets;
pub mod body;
pub mod browser;
pub mod cache;
pub mod call;
pub mod client;
mod config;
pub mod door;
mod error;
pub mod forward;
pub mod headers;
pub mod jwks;
pub mod layer;
mod metrics;
pub mod openapi;
pub mod path;
pub mod rate;
pub mod refusal;
pub mod router;
pub mod routes;
pub mod socket;
pub mod stack;
pub mod tokens;
pub mod tunnel;
pub mod upstream;

pub use config::Config;
pub use error::Error;
pub use metrics::Metrics;

use std::sync::Arc;

use common::auth::Verifier;
use common::auth::jwks::KeySet;
use common::auth::key::InternalKey;
use common::auth::revoked::Revoked;
use common::http::observe::{Ready, operations};
use common::redis::Connections;
use common::stop::Stop;
use router::Router;
use stack::{Shared, stack};
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use upstream::watch::watch;

/// Serves the public side on `public` and the operator's endpoints on `private` until `stop`, then finishes the
/// requests in flight.
///
/// Ready as soon as it listens: whether a service behind is up is that service's own `/readyz`.
///
/// # Errors
/// When a setting, the internal key or the route table does not hold.
pub async fn serve(
    public: TcpListener,
    private: TcpListener,
    config: Config,
    stop: Stop,
) -> anyhow::Result<()> {
    config.check()?;
    tracing::info!(?config, "starting");
    let registry = common::metrics::registry();
    let ready = Ready::default();
    let identity_keys = KeySet::fetched(&config.trust.identity_jwks_url, &stop)?;
    let pass_keys = KeySet::fetched(&config.trust.pass_jwks_url, &stop)?;
    let internal = InternalKey::read(&config.trust.internal_key_file)?;
    let verifier = Verifier::new(identity_keys.clone(), pass_keys.clone(), internal, config.clock.clone());
    let redis = Connections::open(&config.redis)?;
    verifier.heed(redis.clone(), &stop);
    let revoked = Revoked::new(redis.clone());
    let metrics = Metrics::register(&registry)?;
    let shared = Shared {
        router: Arc::new(Router::new(routes::TABLE)?),
        tokens: Arc::new(tokens::Tokens::new(
            verifier,
            revoked,
            config.clock.clone(),
            config.token_cache_max,
        )),
        rates: Arc::new(rate::Rates::new(redis, metrics.clone(), &config)),
        upstreams: Arc::new(upstream::Upstreams::new(&config)?),
        assets: Arc::new(assets::Assets::read(&config.web_root)?),
        jwks: jwks::Published::new(identity_keys, pass_keys),
        metrics: metrics.clone(),
        slots: Arc::new(Semaphore::new(config.in_flight_max)),
        config: Arc::new(config),
    };
    let (upstreams, health) = (Arc::clone(&shared.upstreams), shared.config.health());
    stop.spawn("upstreams", watch(upstreams, health, metrics.clone(), stop.clone()));
    let (rates, swept) = (Arc::clone(&shared.rates), stop.clone());
    stop.spawn("rates", async move { rates.sweep(swept).await });
    let stacks = (0..shared.config.workers()).map(|worker| stack(&shared, worker, &stop)).collect();

    stop.spawn("operations", common::http::serve(private, operations(&registry, &ready), stop.clone()));
    ready.set(true);
    door::serve(public, stacks, &shared.config, metrics.connections, &stop).await?;
    stop.drained().await;
    Ok(())
}
