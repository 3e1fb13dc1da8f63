//! Groups of settings that several services share, for clap's `flatten`. Environment only.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use clap::Args;

/// A setting that never shows itself in a log.
#[derive(Clone)]
pub struct Secret<T>(pub T);

impl<T> fmt::Debug for Secret<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl<T: FromStr> FromStr for Secret<T> {
    type Err = T::Err;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Self)
    }
}

/// Logs.
#[derive(Debug, Clone, Args)]
pub struct Telemetry {
    /// What to log: `info`, `debug`, `order=debug,info`.
    #[arg(long, env = "LOG", default_value = "info")]
    pub log: String,
    /// `text` for people, `json` for collectors.
    #[arg(long, env = "LOG_FORMAT", default_value = "text", value_parser = ["text", "json"])]
    pub log_format: String,
}

/// The service's own PostgreSQL database. It is created and migrated at start.
#[derive(Debug, Clone, Args)]
pub struct Pg {
    /// `postgres://user:password@host:port/database`.
    #[arg(long, env = "DATABASE_URL")]
    pub database_url: Secret<String>,
    /// Connections kept for requests. Two to four per core; more only makes hot rows slower.
    #[arg(long, env = "DATABASE_POOL_MAX", default_value_t = 8)]
    pub database_pool_max: u32,
}

/// The waiting room's Redis; also where passes are revoked and ended logins are told.
#[derive(Debug, Clone, Args)]
pub struct Redis {
    /// `redis://[:password@]host:port/database`.
    #[arg(long, env = "REDIS_URL", default_value = "redis://127.0.0.1:6379/0")]
    pub redis_url: Secret<String>,
    /// Connections; each pipelines, so a few are enough.
    #[arg(long, env = "REDIS_CONNECTIONS", default_value_t = 2)]
    pub redis_connections: usize,
}

/// The log between services.
#[derive(Debug, Clone, Args)]
pub struct Kafka {
    /// `host:port[,host:port…]`.
    #[arg(long, env = "KAFKA_BOOTSTRAP", default_value = "127.0.0.1:9092")]
    pub kafka_bootstrap: String,
    /// Put before every topic and consumer group: several deployments can share a cluster.
    #[arg(long, env = "KAFKA_TOPIC_PREFIX", default_value = "")]
    pub kafka_topic_prefix: String,
    /// Copies of every topic: 1 in development, 3 in production.
    #[arg(long, env = "KAFKA_REPLICATION", default_value_t = 1)]
    pub kafka_replication: i32,
    /// This replica's name, unique in the deployment: its static membership in consumer groups.
    #[arg(long, env = "INSTANCE", default_value = "1")]
    pub instance: String,
}

/// How callers are recognised.
#[derive(Debug, Clone, Args)]
pub struct Trust {
    /// File with the key (64 or more hex digits) of the assertion that the gateway and the services share.
    #[arg(long, env = "INTERNAL_KEY_FILE")]
    pub internal_key_file: PathBuf,
    /// Where the user service publishes its keys.
    #[arg(long, env = "IDENTITY_JWKS_URL", default_value = "http://127.0.0.1:8081/.well-known/jwks.json")]
    pub identity_jwks_url: String,
    /// Where queue-server publishes its keys.
    #[arg(long, env = "PASS_JWKS_URL", default_value = "http://127.0.0.1:8084/.well-known/jwks.json")]
    pub pass_jwks_url: String,
}
