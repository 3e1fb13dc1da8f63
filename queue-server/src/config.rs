//! Settings, from the environment.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{ArgAction, Args, Parser};
use common::clock::Clock;
use common::config::{Kafka, Redis, Telemetry, Trust};
use reqwest::Url;

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
    /// Files with keys of access tokens: Ed25519, PKCS#8 PEM; `queue-server keygen` makes one. The first signs; further
    /// ones, separated by commas, are published only: the next key and retired ones. All replicas share them.
    #[arg(long, env = "PASS_KEY_FILE", value_delimiter = ',', required = true)]
    pub pass_key_files: Vec<PathBuf>,
    /// Where a product is asked for whose room is not known yet.
    #[arg(long, env = "PRODUCT_URL", default_value = "http://127.0.0.1:8082")]
    pub product_url: String,
    /// `/metrics` of every order and product instance, separated by commas: the load that a capacity can follow.
    #[arg(long, env = "QUEUE_LOAD_URLS", value_delimiter = ',')]
    pub load_urls: Vec<Url>,
    /// Between two looks at a room, in milliseconds: half of what a free place may wait for the next shopper.
    #[arg(long, env = "QUEUE_TICK_MS", default_value_t = 250, value_parser = clap::value_parser!(u32).range(10..=1_000))]
    pub tick_ms: u32,
    /// How often shoppers may ask.
    #[command(flatten)]
    pub limits: Limits,
    /// Where time comes from, except in rooms: those go by their store's clock.
    #[arg(skip = Clock::system())]
    pub clock: Clock,
}

/// How often one account, and one address, may ask, at each instance. Over it: 429 `too-many-requests`.
#[derive(Debug, Clone, Args)]
pub struct Limits {
    /// Registrations of an account per minute. A shopper needs one.
    #[arg(long, env = "QUEUE_JOINS_PER_MINUTE", default_value = "20")]
    pub joins_per_minute: NonZeroU32,
    /// Other requests of an account per minute: two pages that ask every second.
    #[arg(long, env = "QUEUE_POLLS_PER_MINUTE", default_value = "120")]
    pub polls_per_minute: NonZeroU32,
    /// How many of an account's may come at once, of either kind.
    #[arg(long, env = "QUEUE_BURST", default_value = "10")]
    pub burst: NonZeroU32,
    /// Registrations from an address per minute, also all at once; 0: no limit. Generous, because an office or a
    /// mobile network shows one address. An IPv6 address counts as its /64.
    #[arg(long, env = "QUEUE_ADDRESS_JOINS_PER_MINUTE", default_value_t = 600)]
    pub address_joins_per_minute: u32,
    /// Other requests from an address per minute, also all at once; 0: no limit.
    #[arg(long, env = "QUEUE_ADDRESS_POLLS_PER_MINUTE", default_value_t = 12_000)]
    pub address_polls_per_minute: u32,
    /// Whether loopback addresses have no limit: for development, where all shoppers come from one machine.
    #[arg(long, env = "QUEUE_LOOPBACK_EXEMPT", default_value_t = false, action = ArgAction::Set)]
    pub loopback_exempt: bool,
}
