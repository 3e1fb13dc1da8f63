//! Settings: environment only, each with its unit, default and reason.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use anyhow::ensure;
use clap::{ArgAction, Parser};
use common::clock::Clock;
use common::config::{Redis, Telemetry, Trust};
use http::{HeaderValue, Uri};
use ipnet::IpNet;

use crate::socket::Patience;

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
    /// Requests that one service works on at once, at most. How many it is, the gateway finds out by how long answers take;
    /// the next ones wait a moment, then get 503.
    #[arg(long, env = "GATEWAY_UPSTREAM_IN_FLIGHT_MAX", default_value_t = 512)]
    pub upstream_in_flight_max: usize,
    /// Between two times that each replica is asked whether it is ready, in milliseconds; 0: never.
    #[arg(long, env = "GATEWAY_HEALTH_MS", default_value_t = 2_000)]
    pub health_ms: u64,
    /// Event streams through one service at once.
    #[arg(long, env = "GATEWAY_STREAMS_MAX", default_value_t = 100_000)]
    pub streams_max: usize,
    /// Threads that serve connections, one connection each at a time; 0: one per processor core.
    #[arg(long, env = "GATEWAY_WORKERS", default_value_t = 0)]
    pub workers: usize,
    /// Connections of clients at once; one more gets 503. An idle one costs some 5 KiB.
    #[arg(long, env = "GATEWAY_CONNECTIONS_MAX", default_value_t = 100_000)]
    pub connections_max: usize,
    /// The same for one address, behind which there may be a whole office. Our own proxies may have all.
    #[arg(long, env = "GATEWAY_ADDRESS_CONNECTIONS_MAX", default_value_t = 2_000)]
    pub address_connections_max: usize,
    /// A request head must have arrived this long after its first byte, in milliseconds; the first byte this long after
    /// the connection was opened.
    #[arg(long, env = "GATEWAY_HEAD_MAX_MS", default_value_t = 10_000)]
    pub head_max_ms: u64,
    /// A connection may rest this long between two requests, in milliseconds. Longer than clients commonly keep theirs,
    /// so that it is they who close.
    #[arg(long, env = "GATEWAY_IDLE_MAX_MS", default_value_t = 120_000)]
    pub idle_max_ms: u64,
    /// A client that takes nothing of an answer for this long loses its connection, in milliseconds.
    #[arg(long, env = "GATEWAY_STALL_MAX_MS", default_value_t = 60_000)]
    pub stall_max_ms: u64,
    /// A request body must have arrived this long after its head, in milliseconds.
    #[arg(long, env = "GATEWAY_UPLOAD_MAX_MS", default_value_t = 30_000)]
    pub upload_max_ms: u64,
    /// No route waits longer for its service, whatever the route table says, in milliseconds.
    #[arg(long, env = "GATEWAY_DEADLINE_MAX_MS", default_value_t = 30_000)]
    pub deadline_max_ms: u64,
    /// Verified logins kept, and as many access tokens and assertions. Each costs some 0.5 KiB.
    #[arg(long, env = "GATEWAY_TOKEN_CACHE_MAX", default_value_t = 100_000)]
    pub token_cache_max: usize,
    /// Networks of our own proxies, which end TLS in front of the gateway (`10.0.0.0/8`, separated by commas): what they
    /// say in `X-Forwarded-For` and `X-Forwarded-Proto` counts, nobody else's does.
    #[arg(long, env = "GATEWAY_TRUSTED_PROXIES", value_delimiter = ',')]
    pub trusted_proxies: Vec<IpNet>,
    /// Pages of other hosts that may use the API with a login of their own, `https://host` separated by commas. A browser's
    /// cookie never counts for them.
    #[arg(long, env = "GATEWAY_CORS_ORIGINS", value_delimiter = ',')]
    pub cors_origins: Vec<HeaderValue>,
    /// How often accounts and addresses may ask, as a multiple of what the route table says.
    #[arg(long, env = "GATEWAY_RATE_FACTOR", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    pub rate_factor: u32,
    /// No limits of rate, and of connections of one address, for clients on loopback addresses: a load test comes from there.
    #[arg(long, env = "GATEWAY_LOOPBACK_EXEMPT", default_value_t = false, action = ArgAction::Set)]
    pub loopback_exempt: bool,
    /// How callers are recognised.
    #[command(flatten)]
    pub trust: Trust,
    /// Where access tokens are revoked and ended logins are told. The gateway serves without it, by what it last knew.
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
        for origin in &self.cors_origins {
            let host = origin.to_str().ok().and_then(|text| text.split_once("://"));
            let is_bare = host.is_some_and(|(_, host)| !host.is_empty() && !host.contains(['/', '*']));
            ensure!(is_bare, "GATEWAY_CORS_ORIGINS: {origin:?} is not https://host");
        }
        for (name, value) in [
            ("GATEWAY_IN_FLIGHT_MAX", self.in_flight_max),
            ("GATEWAY_UPSTREAM_IN_FLIGHT_MAX", self.upstream_in_flight_max),
            ("GATEWAY_STREAMS_MAX", self.streams_max),
            ("GATEWAY_TOKEN_CACHE_MAX", self.token_cache_max),
            ("GATEWAY_CONNECTIONS_MAX", self.connections_max),
            ("GATEWAY_ADDRESS_CONNECTIONS_MAX", self.address_connections_max),
        ] {
            ensure!(value > 0, "{name}: must be at least 1");
        }
        for (name, value) in [
            ("GATEWAY_HEAD_MAX_MS", self.head_max_ms),
            ("GATEWAY_IDLE_MAX_MS", self.idle_max_ms),
            ("GATEWAY_STALL_MAX_MS", self.stall_max_ms),
            ("GATEWAY_UPLOAD_MAX_MS", self.upload_max_ms),
            ("GATEWAY_DEADLINE_MAX_MS", self.deadline_max_ms),
        ] {
            ensure!(value > 0, "{name}: must be at least 1");
        }
        Ok(())
    }

    /// [`Config::workers`], counted.
    #[must_use]
    pub fn workers(&self) -> usize {
        match self.workers {
            0 => thread::available_parallelism().map_or(1, NonZeroUsize::get),
            many => many,
        }
    }

    /// [`Config::health_ms`]; `None`: never.
    #[must_use]
    pub fn health(&self) -> Option<Duration> {
        Some(Duration::from_millis(self.health_ms)).filter(|every| !every.is_zero())
    }

    /// What clients may take their time for.
    #[must_use]
    pub fn patience(&self) -> Patience {
        let all = [self.head_max_ms, self.idle_max_ms, self.stall_max_ms];
        let [head, idle, stall] = all.map(Duration::from_millis);
        Patience { head, idle, stall }
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
