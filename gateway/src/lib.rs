//! The only public door.
//!
//! It owns no data; of others' it reads which access tokens queue-server revoked, from Redis. What it owns is the way in:
//!
//! - [`routes`]: every public URL, who may use it and where it leads; [`router`] finds it, [`path`] refuses what
//!   two programs could read in two ways.
//! - [`stack`]: the layers of a request in order; [`layer`] has one file each, [`call`] the types that hand a
//!   request from one to the next.
//! - [`tokens`]: verified logins, passes and signed assertions, kept until they end ([`cache`]).
//! - [`forward`], [`upstream`]: to a replica of a service and back, streaming; [`assets`], [`jwks`]: what the gateway
//!   answers itself.
//! - [`door`]: accepts connections; [`body`], [`headers`]: what passes through.

pub mod assets;
pub mod body;
pub mod cache;
pub mod call;
mod config;
pub mod door;
mod error;
pub mod forward;
pub mod headers;
pub mod jwks;
pub mod layer;
mod metrics;
pub mod path;
pub mod router;
pub mod routes;
pub mod stack;
pub mod tokens;
pub mod upstream;

pub use config::Config;
pub use error::Error;
pub use metrics::Metrics;

use common::auth::Verifier;
use common::auth::jwks::KeySet;
use common::auth::key::InternalKey;
use common::auth::revoked::Revoked;
use common::http::observe::{Ready, operations};
use common::redis::Connections;
use common::stop::Stop;
use tokio::net::TcpListener;

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
    let revoked = Revoked::new(Connections::open(&config.redis)?);
    let tokens = tokens::Tokens::new(verifier, revoked, config.clock.clone(), config.token_cache_max);
    let metrics = Metrics::register(&registry)?;
    let jwks = jwks::Published::new(identity_keys, pass_keys);
    let stack = stack::stack(&config, tokens, jwks, metrics)?;

    stop.spawn("operations", common::http::serve(private, operations(&registry, &ready), stop.clone()));
    ready.set(true);
    door::serve(public, stack, &config, &stop).await;
    stop.drained().await;
    Ok(())
}
