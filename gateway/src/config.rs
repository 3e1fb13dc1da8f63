//! Settings: environment only, each with its unit, default and reason.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::ensure;
use clap::Parser;
use common::clock::Clock;
use common::config::{Redis, Telemetry, Trust};
use http::Uri;

/// The gateway's settings.
#[derive(Debug, Clone, Parser)]
#[command(version, about = "The only public door of Astraphe")]
pub struct Config {
    /// Where the public connects.
    #[arg(long, env = "GATEWAY_LISTEN", default_value = "127.0.0.1:8080")]
    pub listen: SocketAddr,
    /// Where operators find /livez, /readyz and /metrics. Keep it private.
    #[arg(long, env = "GATEWAY_ADMIN_LISTEN", default_value = "127.0.0.1:8090")]
    pub admin_listen: SocketAddr,
    /// Replicas of the user service, `http://host:port` separated by commas.
    #[arg(long, env = "USER_UPSTREAMS", value_delimiter = ',', default_value = "http://127.0.0.1:8081")]
    pub user_upstreams: Vec<Uri>,
    /// Replicas of the product service.
    #[arg(long, env = "PRODUCT_UPSTREAMS", value_delimiter = ',', default_value = "http://127.0.0.1:8082")]
    pub product_upstreams: Vec<Uri>,
    /// Replicas of the order service.
    #[arg(long, env = "ORDER_UPSTREAMS", value_delimiter = ',', default_value = "http://127.0.0.1:8083")]
    pub order_upstreams: Vec<Uri>,
    /// Replicas of the queue server.
    #[arg(long, env = "QUEUE_UPSTREAMS", value_delimiter = ',', default_value = "http://127.0.0.1:8084")]
    pub queue_upstreams: Vec<Uri>,
    /// Folder of the static pages.
    #[arg(long, env = "WEB_ROOT", default_value = "web")]
    pub web_root: PathBuf,
    /// Requests waiting for an answer at once; one more gets 503. Each costs some 20 KiB with its connection.
    #[arg(long, env = "GATEWAY_IN_FLIGHT_MAX", default_value_t = 10_000)]
    pub in_flight_max: usize,
    /// Requests at one service at once, so also connections to it; the next ones wait a second, then get 503.
    #[arg(long, env = "GATEWAY_UPSTREAM_IN_FLIGHT_MAX", default_value_t = 512)]
    pub upstream_in_flight_max: usize,
    /// Event streams through one service at once.
    #[arg(long, env = "GATEWAY_STREAMS_MAX", default_value_t = 100_000)]
    pub streams_max: usize,
    /// A connection that sends no whole request head for this long is closed, an idle one too. In milliseconds.
    #[arg(long, env = "GATEWAY_HEAD_MAX_MS", default_value_t = 10_000)]
    pub head_max_ms: u64,
    /// A request body must have arrived this long after its head, in milliseconds.
    #[arg(long, env = "GATEWAY_UPLOAD_MAX_MS", default_value_t = 30_000)]
    pub upload_max_ms: u64,
    /// No route waits longer for its service, whatever the route table says, in milliseconds.
    #[arg(long, env = "GATEWAY_DEADLINE_MAX_MS", default_value_t = 30_000)]
    pub deadline_max_ms: u64,
    /// Verified logins kept, and as many access tokens and assertions. Each costs some 0.5 KiB.
    #[arg(long, env = "GATEWAY_TOKEN_CACHE_MAX", default_value_t = 100_000)]
    pub token_cache_max: usize,
    /// How callers are recognised.
    #[command(flatten)]
    pub trust: Trust,
    /// Where access tokens are revoked. The gateway serves without it, by what it last knew.
    #[command(flatten)]
    pub redis: Redis,
    /// Logs.
    #[command(flatten)]
    pub telemetry: Telemetry,
    /// Time; tests put a manual one here.
    #[arg(skip = Clock::system())]
    pub clock: Clock,
}

impl Config {
    /// Checks what clap cannot.
    ///
    /// # Errors
    /// When an upstream is not a bare `http://host:port`, or a limit is zero.
    pub fn check(&self) -> anyhow::Result<()> {
        for (name, replicas) in [
            ("USER_UPSTREAMS", &self.user_upstreams),
            ("PRODUCT_UPSTREAMS", &self.product_upstreams),
            ("ORDER_UPSTREAMS", &self.order_upstreams),
            ("QUEUE_UPSTREAMS", &self.queue_upstreams),
        ] {
            ensure!(!replicas.is_empty(), "{name}: at least one address is needed");
            for replica in replicas {
                let bare = replica.path() == "/" && replica.query().is_none();
                ensure!(
                    replica.scheme_str() == Some("http") && replica.authority().is_some() && bare,
                    "{name}: {replica} is not http://host:port"
                );
            }
        }
        for (name, value) in [
            ("GATEWAY_IN_FLIGHT_MAX", self.in_flight_max),
            ("GATEWAY_UPSTREAM_IN_FLIGHT_MAX", self.upstream_in_flight_max),
            ("GATEWAY_STREAMS_MAX", self.streams_max),
            ("GATEWAY_TOKEN_CACHE_MAX", self.token_cache_max),
        ] {
            ensure!(value > 0, "{name}: must be at least 1");
        }
        for (name, value) in [
            ("GATEWAY_HEAD_MAX_MS", self.head_max_ms),
            ("GATEWAY_UPLOAD_MAX_MS", self.upload_max_ms),
            ("GATEWAY_DEADLINE_MAX_MS", self.deadline_max_ms),
        ] {
            ensure!(value > 0, "{name}: must be at least 1");
        }
        Ok(())
    }

    /// [`Config::head_max_ms`].
    #[must_use]
    pub fn head_max(&self) -> Duration {
        Duration::from_millis(self.head_max_ms)
    }

    /// [`Config::upload_max_ms`].
    #[must_use]
    pub fn upload_max(&self) -> Duration {
        Duration::from_millis(self.upload_max_ms)
    }

    /// [`Config::deadline_max_ms`].
    #[must_use]
    pub fn deadline_max(&self) -> Duration {
        Duration::from_millis(self.deadline_max_ms)
    }
}
