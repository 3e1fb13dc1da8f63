//! Settings, from the environment.

use std::net::SocketAddr;

use clap::Parser;
use common::clock::Clock;
use common::config::{Kafka, Pg, Redis, Secret, Telemetry, Trust};

/// Orders and payments.
#[derive(Debug, Clone, Parser)]
#[command(name = "order", version)]
pub struct Config {
    /// Where to listen.
    #[arg(long, env = "ORDER_LISTEN", default_value = "127.0.0.1:8083")]
    pub listen: SocketAddr,
    /// How long reserved units wait for the payment, in seconds. Short, so that units that nobody pays come back
    /// while people still wait for them.
    #[arg(long, env = "ORDER_HOLD_S", default_value_t = 300, value_parser = clap::value_parser!(u32).range(1..=3600))]
    pub hold_s: u32,
    /// Whether units of an order all of whose money went back are sold again.
    #[arg(long, env = "ORDER_RESTOCK", default_value_t = true, action = clap::ArgAction::Set)]
    pub restock: bool,
    /// The product service, for products that its log has not told of yet.
    #[arg(long, env = "PRODUCT_URL", default_value = "http://127.0.0.1:8082")]
    pub product_url: String,
    /// The payment provider's API.
    #[arg(long, env = "PAYMENT_URL", default_value = "http://127.0.0.1:8085")]
    pub payment_url: String,
    /// The shop's secret key at the provider.
    #[arg(long, env = "PAYMENT_SECRET_KEY")]
    pub payment_secret_key: Secret<String>,
    /// The shop's public key at the provider, for its page.
    #[arg(long, env = "PAYMENT_CLIENT_KEY", default_value = "test_ck_astraphe")]
    pub payment_client_key: String,
    /// The shop's address as browsers know it: where the provider sends the shopper back to.
    #[arg(long, env = "PUBLIC_URL", default_value = "http://127.0.0.1:8080")]
    pub public_url: String,
    /// Logs.
    #[command(flatten)]
    pub telemetry: Telemetry,
    /// Database.
    #[command(flatten)]
    pub pg: Pg,
    /// Log between services.
    #[command(flatten)]
    pub kafka: Kafka,
    /// Who may call.
    #[command(flatten)]
    pub trust: Trust,
    /// Where access tokens are revoked and ended logins are told. Orders are taken without it, by what was last known.
    #[command(flatten)]
    pub redis: Redis,
    /// The time; a test's hand may hold it.
    #[arg(skip = Clock::system())]
    pub clock: Clock,
}
