//! Settings, from the environment.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Parser;
use common::clock::Clock;
use common::config::{Kafka, Redis, Telemetry, Trust};

/// The waiting rooms.
#[derive(Debug, Clone, Parser)]
#[command(name = "queue-server", version, about)]
pub struct Config {
    /// Where to listen.
    #[arg(long, env = "QUEUE_LISTEN", default_value = "127.0.0.1:8084")]
    pub listen: SocketAddr,
    /// Logs.
    #[command(flatten)]
    pub telemetry: Telemetry,
    /// The rooms' store.
    #[command(flatten)]
    pub redis: Redis,
    /// What rooms learn of products, stock and orders.
    #[command(flatten)]
    pub kafka: Kafka,
    /// How callers are recognised. Access tokens are this service's own: it does not ask itself for their keys.
    #[command(flatten)]
    pub trust: Trust,
    /// File with the key that signs access tokens: Ed25519, PKCS#8 PEM; `queue-server keygen` makes one. All replicas
    /// share it.
    #[arg(long, env = "PASS_KEY_FILE")]
    pub pass_key_file: PathBuf,
    /// Where a product is asked for whose room is not known yet.
    #[arg(long, env = "PRODUCT_URL", default_value = "http://127.0.0.1:8082")]
    pub product_url: String,
    /// How long a shopper who was called may take to fetch the token, in seconds. Long enough for somebody who polls
    /// every 10 s on a telephone; every second more is a second in which a unit idles.
    #[arg(long, env = "QUEUE_CLAIM_S", default_value_t = 120, value_parser = clap::value_parser!(u32).range(1..=600))]
    pub claim_s: u32,
    /// How long an admission lasts, in seconds. Its token ends 5 s earlier.
    #[arg(long, env = "QUEUE_ADMISSION_S", default_value_t = 600,
          value_parser = clap::value_parser!(u32).range(10..=86_400))]
    pub admission_s: u32,
    /// Between two looks at a room, in milliseconds: half of what a free place may wait for the next shopper.
    #[arg(long, env = "QUEUE_TICK_MS", default_value_t = 250, value_parser = clap::value_parser!(u32).range(10..=1_000))]
    pub tick_ms: u32,
    /// Where time comes from, except in rooms: those go by their store's clock.
    #[arg(skip = Clock::system())]
    pub clock: Clock,
}
