//! Settings of the product service. Environment only.

use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::time::Duration;

use clap::{Args, Parser};
use common::clock::Clock;
use common::config::{Kafka, Pg, Redis, Secret, Telemetry, Trust};

use crate::catalog::pages;
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
    /// Connections for searches: two per core of the database server. More only begin more searches at once, and each
    /// takes minutes to get to know the server's memory.
    #[arg(long, env = "SEARCH_POOL_MAX", default_value_t = 4)]
    pub search_pool_max: u32,
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
    /// Pictures.
    #[command(flatten)]
    pub images: Pictures,
    /// Logs.
    #[command(flatten)]
    pub telemetry: Telemetry,
    /// How long a product page is kept, where its product does not change; a test makes it longer.
    #[arg(skip = pages::KEPT)]
    pub pages_kept: Duration,
    /// Where time comes from; a test holds it.
    #[arg(skip = Clock::system())]
    pub clock: Clock,
}

/// Pictures: where they are kept, and how much may be spent on them.
#[derive(Debug, Clone, Args)]
pub struct Pictures {
    /// `s3://BUCKET`, or a folder, which all replicas must share.
    #[arg(long, env = "IMAGE_STORE", default_value = "images")]
    pub image_store: String,
    /// Address of the bucket's server, `http://host:port`; Amazon's when absent.
    #[arg(long, env = "IMAGE_S3_ENDPOINT")]
    pub image_s3_endpoint: Option<String>,
    /// The bucket's region.
    #[arg(long, env = "IMAGE_S3_REGION", default_value = "us-east-1")]
    pub image_s3_region: String,
    /// Access key; without it, that of the machine's role.
    #[arg(long, env = "IMAGE_S3_KEY_ID")]
    pub image_s3_key_id: Option<String>,
    /// Its secret.
    #[arg(long, env = "IMAGE_S3_SECRET")]
    pub image_s3_secret: Option<Secret<String>>,
    /// Pictures that are read and written anew at once: a core for up to a second and at most 500 MB each.
    #[arg(long, env = "IMAGE_PARALLEL", default_value = "1")]
    pub image_parallel: NonZeroUsize,
    /// Pictures that may wait for their turn, 10 MB each; more get 503.
    #[arg(long, env = "IMAGE_WAITING_MAX", default_value_t = 16)]
    pub image_waiting_max: usize,
}
