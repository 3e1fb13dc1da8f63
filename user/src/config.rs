//! Settings, from the environment.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::Parser;
use common::clock::Clock;
use common::config::{Kafka, Pg, Redis, Secret, Telemetry};

use crate::keys::Source;

/// Accounts, logins, identity tokens.
#[derive(Debug, Clone, Parser)]
#[command(name = "user", version, about)]
pub struct Config {
    /// Where to listen.
    #[arg(long, env = "USER_LISTEN", default_value = "127.0.0.1:8081")]
    pub listen: SocketAddr,
    /// Logs.
    #[command(flatten)]
    pub telemetry: Telemetry,
    /// The database.
    #[command(flatten)]
    pub pg: Pg,
    /// Where ended logins are told. Served without it; then a login that ends counts on until its token does.
    #[command(flatten)]
    pub redis: Redis,
    /// Files with keys of identities: Ed25519, PKCS#8 PEM; `user keygen` makes one. The first signs; further ones,
    /// separated by commas, are published only: the next key and the retired one. All replicas share them. `user
    /// rotate-keys` moves them on; a change is seen within seconds.
    #[arg(long, env = "IDENTITY_KEY_FILE", value_delimiter = ',', required_unless_present = "identity_keys")]
    pub identity_key_files: Vec<PathBuf>,
    /// The same keys as texts, one PEM after the other, where there are no files to share.
    #[arg(long, env = "IDENTITY_KEYS", conflicts_with = "identity_key_files", hide_env_values = true)]
    pub identity_keys: Option<Secret<String>>,
    /// File with the key (64 or more hex digits) of the assertion that the gateway and the services share.
    #[arg(long, env = "INTERNAL_KEY_FILE")]
    pub internal_key_file: PathBuf,
    /// How long a login lasts without being used, in seconds: 30 days.
    #[arg(long, env = "USER_SESSION_TTL_S", default_value_t = 2_592_000,
          value_parser = clap::value_parser!(u32).range(60..))]
    pub session_ttl_s: u32,
    /// Password hashes that are computed at once, 19 MiB and one core each. Without it: one per core.
    #[arg(long, env = "USER_HASH_PARALLEL")]
    pub hash_parallel: Option<NonZeroUsize>,
    /// Password hashes that may wait for their turn; more get 503. At about 20 ms each, 64 on two cores wait for
    /// less than a second, which is what the answer's `Retry-After` says.
    #[arg(long, env = "USER_HASH_WAITING_MAX", default_value_t = 64)]
    pub hash_waiting_max: usize,
    /// Where notices come from. Logins work without it.
    #[command(flatten)]
    pub kafka: Kafka,
    /// The product service, for subscriptions to products that its log has not told of yet.
    #[arg(long, env = "PRODUCT_URL", default_value = "http://127.0.0.1:8082")]
    pub product_url: String,
    /// Pause between two looks for what has ended and can be removed, in seconds.
    #[arg(long, env = "USER_CLEAN_EVERY_S", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..))]
    pub clean_every_s: u32,
    /// How long after its end an account's texts are taken out, in seconds: 30 days, in which an order of it may still
    /// be asked about.
    #[arg(long, env = "USER_ANONYMISE_AFTER_S", default_value_t = 2_592_000)]
    pub anonymise_after_s: u32,
    /// Where time comes from.
    #[arg(skip = Clock::system())]
    pub clock: Clock,
}

impl Config {
    /// Where the signing keys are.
    pub(crate) fn keys(&self) -> Source {
        match &self.identity_keys {
            Some(text) => Source::Text(text.clone()),
            None => Source::Files(self.identity_key_files.clone()),
        }
    }

    /// Password hashes that are computed at once.
    #[must_use]
    pub fn hashes_at_once(&self) -> NonZeroUsize {
        self.hash_parallel.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN)
    }
}
