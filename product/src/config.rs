//! Settings of the product service. Environment only.

use std::net::SocketAddr;

use clap::Parser;
use common::clock::Clock;
use common::config::{Kafka, Pg, Redis, Telemetry, Trust};

use crate::import::remote::Hosts;

/// The product service: catalogue, sales and the stock of every product.
#[derive(Debug, Clone, Parser)]
#[command(name = "product", version)]
pub struct Config {
    /// Where it listens.
    #[arg(long, env = "PRODUCT_LISTEN", default_value = "127.0.0.1:8082")]
    pub listen: SocketAddr,
    /// Hosts whose JSON APIs sellers may import products from, separated by commas: `name` or `name:port`, either with
    /// `=address` behind it instead of the name's own addresses, which must not be inner ones. None by default.
    #[arg(long, env = "PRODUCT_IMPORT_HOSTS", default_value = "")]
    pub import_hosts: Hosts,
    /// Where queue-server is: for the figures of waiting rooms.
    #[arg(long, env = "QUEUE_URL", default_value = "http://127.0.0.1:8084")]
    pub queue_url: String,
    /// Its database.
    #[command(flatten)]
    pub pg: Pg,
    /// The log between services.
    #[command(flatten)]
    pub kafka: Kafka,
    /// How callers are recognised.
    #[command(flatten)]
    pub trust: Trust,
    /// Where ended logins are told. Served without it, by what was last known.
    #[command(flatten)]
    pub redis: Redis,
    /// Logs.
    #[command(flatten)]
    pub telemetry: Telemetry,
    /// Where time comes from; a test holds it.
    #[arg(skip = Clock::system())]
    pub clock: Clock,
}
