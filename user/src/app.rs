//! What handlers work with.

use std::time::Duration;

use axum::extract::FromRef;
use common::auth::Verifier;
use common::auth::jwks::KeySet;
use common::auth::key::InternalKey;
use common::client::Client;
use common::clock::Clock;
use common::redis::Connections;
use common::stop::Stop;
use common::wire::token::Jwks;
use prometheus::Registry;
use sqlx::PgPool;

use crate::account::cache::Profiles;
use crate::account::password::Hasher;
use crate::change::Changes;
use crate::keys::Keys;
use crate::metrics::Metrics;
use crate::notice::live::Watchers;
use crate::{Config, MIGRATIONS};

/// The service's parts. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) pg: PgPool,
    pub(crate) redis: Connections,
    pub(crate) changes: Changes,
    pub(crate) profiles: Profiles,
    pub(crate) clock: Clock,
    pub(crate) keys: Keys,
    pub(crate) verifier: Verifier,
    pub(crate) hasher: Hasher,
    pub(crate) metrics: Metrics,
    pub(crate) session_ttl_s: u32,
    pub(crate) products: Client,
    pub(crate) watchers: Watchers,
    pub(crate) clean_every: Duration,
    pub(crate) anonymise_after: Duration,
}

impl App {
    /// Reads the keys, then waits for the database.
    pub(crate) async fn open(config: &Config, registry: &Registry, stop: &Stop) -> anyhow::Result<Self> {
        let keys = Keys::open(config.keys())?;
        let internal = InternalKey::read(&config.internal_key_file)?;
        // Identities are verified with the keys that this service publishes; no route here needs a pass.
        let verifier =
            Verifier::new(keys.set(), KeySet::fixed(&Jwks::default())?, internal, config.clock.clone());
        let redis = Connections::open(&config.redis)?;
        verifier.heed(redis.clone(), stop);
        let metrics = Metrics::register(registry)?;
        let hash_seconds = metrics.hash_seconds.clone();
        let hasher = Hasher::new(config.hashes_at_once(), config.hash_waiting_max, hash_seconds)?;
        let products = Client::new(&config.product_url, verifier.clone())?;
        Ok(Self {
            pg: common::pg::open(&config.pg, &MIGRATIONS, stop).await?,
            profiles: Profiles::new(redis.clone(), metrics.clone()),
            redis,
            changes: Changes::default(),
            clock: config.clock.clone(),
            keys,
            verifier,
            hasher,
            metrics,
            session_ttl_s: config.session_ttl_s,
            products,
            watchers: Watchers::new(stop.clone()),
            clean_every: Duration::from_secs(config.clean_every_s.into()),
            anonymise_after: Duration::from_secs(config.anonymise_after_s.into()),
        })
    }
}

impl FromRef<App> for Verifier {
    fn from_ref(app: &App) -> Self {
        app.verifier.clone()
    }
}
