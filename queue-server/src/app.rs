//! What every handler and every job has at hand.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use axum::extract::FromRef;
use common::auth::Verifier;
use common::auth::jwks::KeySet;
use common::auth::key::{InternalKey, Keyring};
use common::client::Client;
use common::redis::Connections;
use common::stop::Stop;
use prometheus::Registry;

use crate::Config;
use crate::limits::Limits;
use crate::live::Live;
use crate::metrics::Metrics;
use crate::room::catalog::Catalog;
use crate::room::joins::Joins;
use crate::room::store::Store;

/// The service's state. Clones share it, at the price of a counter: each request makes several.
#[derive(Debug, Clone)]
pub(crate) struct App(Arc<State>);

/// What there is one of.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) store: Store,
    pub(crate) joins: Joins,
    pub(crate) live: Live,
    pub(crate) catalog: Catalog,
    pub(crate) passes: Keyring,
    pub(crate) verifier: Verifier,
    pub(crate) limits: Limits,
    pub(crate) metrics: Metrics,
    pub(crate) config: Config,
    pub(crate) stop: Stop,
    /// Whether the inputs' topics are there and read.
    pub(crate) listening: AtomicBool,
}

impl App {
    /// Reads the keys and starts to connect. Waits for nothing.
    pub(crate) fn open(config: Config, registry: &Registry, stop: &Stop) -> anyhow::Result<Self> {
        let passes = Keyring::read(&config.pass_key_files)?;
        let verifier = Verifier::new(
            KeySet::fetched(&config.trust.identity_jwks_url, stop)?,
            KeySet::fixed(&passes.jwks())?,
            InternalKey::read(&config.trust.internal_key_file)?,
            config.clock.clone(),
        );
        let redis = Connections::open(&config.redis)?;
        verifier.heed(redis.clone(), stop);
        let store = Store::new(redis);
        let product = Client::new(&config.product_url, verifier.clone())?;
        let metrics = Metrics::register(registry)?;
        Ok(Self(Arc::new(State {
            live: Live::new(metrics.clone()),
            joins: Joins::new(store.clone(), stop.clone()),
            catalog: Catalog::new(product, store.clone()),
            store,
            passes,
            verifier,
            limits: Limits::new(&config.limits),
            metrics,
            config,
            stop: stop.clone(),
            listening: AtomicBool::new(false),
        })))
    }
}

impl Deref for App {
    type Target = State;

    fn deref(&self) -> &State {
        &self.0
    }
}

impl FromRef<App> for Verifier {
    fn from_ref(app: &App) -> Self {
        app.verifier.clone()
    }
}
