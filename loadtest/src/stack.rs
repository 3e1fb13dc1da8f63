//! The running platform, as its launcher describes it in `stack.json`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, ensure};
use common::config::Kafka;
use serde::Deserialize;

/// Addresses, accounts and keys of a running platform.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Stack {
    /// The public address.
    gateway: String,
    /// All public addresses, where there are several gateways.
    #[serde(default)]
    gateways: Vec<String>,
    /// The product service's processes.
    #[serde(default)]
    pub(crate) product: Vec<String>,
    /// The waiting room's processes.
    pub(crate) queue_server: Vec<String>,
    /// Redis of the waiting room, with the database number.
    pub(crate) redis: String,
    /// Databases by service.
    pub(crate) postgres: BTreeMap<String, String>,
    /// The broker.
    kafka: String,
    /// Before every topic's name.
    #[serde(default)]
    kafka_topic_prefix: String,
    /// The payment provider's stand-in.
    pub(crate) payment_sandbox: String,
    /// Processes by name.
    #[serde(default)]
    pub(crate) pids: BTreeMap<String, u32>,
    /// Keys that sign for prepared shoppers; only in development.
    pub(crate) dev_keys: DevKeys,
    /// Demo accounts by role.
    pub(crate) accounts: BTreeMap<String, Account>,
    /// Accounts made for the load generator.
    pub(crate) shoppers: Shoppers,
}

/// Development keys.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct DevKeys {
    /// Signs identities: PKCS#8 PEM.
    pub(crate) identity: PathBuf,
    /// Name of that key.
    pub(crate) kid: String,
    /// Signs access tokens: PKCS#8 PEM; benches can do without.
    #[serde(default)]
    pub(crate) pass: Option<PathBuf>,
    /// The key of what services say to each other; benches can do without.
    #[serde(default)]
    pub(crate) internal: Option<PathBuf>,
}

/// A demo account.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Account {
    /// What it logs in with.
    pub(crate) login_id: String,
    /// Its password.
    pub(crate) password: String,
}

/// A run of account numbers.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Shoppers {
    /// The first.
    pub(crate) first_user_id: i64,
    /// How many.
    pub(crate) count: usize,
}

impl Stack {
    /// Reads the file.
    pub(crate) fn read(path: &Path) -> anyhow::Result<Self> {
        let hint = || format!("{}: is the platform running (`cargo dev up`)?", path.display());
        let text = std::fs::read_to_string(path).with_context(hint)?;
        serde_json::from_str(&text).with_context(|| path.display().to_string())
    }

    /// The public addresses, at least one.
    pub(crate) fn gateways(&self) -> &[String] {
        if self.gateways.is_empty() { std::slice::from_ref(&self.gateway) } else { &self.gateways }
    }

    /// A service's database.
    pub(crate) fn database(&self, service: &str) -> anyhow::Result<&str> {
        self.postgres.get(service).map(String::as_str).with_context(|| format!("no postgres.{service}"))
    }

    /// The broker, for a client of this tool.
    pub(crate) fn kafka(&self) -> Kafka {
        Kafka {
            kafka_bootstrap: self.kafka.clone(),
            kafka_topic_prefix: self.kafka_topic_prefix.clone(),
            kafka_replication: 1,
            instance: "loadtest".into(),
        }
    }

    /// The waiting room's Redis.
    pub(crate) async fn redis(&self) -> anyhow::Result<common::redis::Connections> {
        let config = common::config::Redis {
            redis_url: common::config::Secret(self.redis.clone()),
            redis_connections: 2,
        };
        let redis = common::redis::Connections::open(&config)?;
        redis.ready().await.context("Redis")?;
        Ok(redis)
    }

    /// Refuses a crowd larger than the prepared accounts.
    pub(crate) fn has_shoppers(&self, wanted: usize) -> anyhow::Result<()> {
        let Shoppers { count, .. } = self.shoppers;
        ensure!(
            wanted <= count,
            "{wanted} shoppers wanted, {count} accounts prepared (`cargo dev up --shoppers {wanted}`)"
        );
        Ok(())
    }
}
