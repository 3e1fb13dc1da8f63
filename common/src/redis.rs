//! Redis, behind one door: connections, and scripts by their hash. Only this module names the client library.

use std::collections::HashMap;
use std::time::Duration;

use anyhow::Context as _;
use fred::clients::Pool;
use fred::interfaces::{
    ClientLike as _, HashesInterface as _, KeysInterface as _, LuaInterface as _, SetsInterface as _,
    StreamsInterface as _,
};
use fred::types::config::{Config, ConnectionConfig, PerformanceConfig, ReconnectPolicy, TcpConfig};
use fred::types::{FromValue, InfoKind};

pub use fred::error::Error;
pub use fred::types::Value;

use crate::config::Redis;

/// A command that takes longer has failed.
const COMMAND_MAX: Duration = Duration::from_secs(2);

/// Connections to Redis. Clones share them; every one pipelines.
#[derive(Debug, Clone)]
pub struct Connections(Pool);

impl Connections {
    /// Starts to connect, and to connect again whenever the server goes away. Does not wait: [`Self::ready`] does.
    ///
    /// # Errors
    /// When the address is not a Redis URL.
    pub fn open(config: &Redis) -> anyhow::Result<Self> {
        let server = Config::from_url(&config.redis_url.0).context("REDIS_URL")?;
        let performance = PerformanceConfig { default_command_timeout: COMMAND_MAX, ..Default::default() };
        let connection = ConnectionConfig {
            connection_timeout: COMMAND_MAX,
            // A script that was cut off may have run: only the caller knows whether it can be sent again.
            max_command_attempts: 1,
            max_redirections: 1,
            tcp: TcpConfig { nodelay: Some(true), ..Default::default() },
            ..Default::default()
        };
        let again = ReconnectPolicy::new_exponential(0, 20, 1_000, 2);
        let pool = Pool::new(
            server,
            Some(performance),
            Some(connection),
            Some(again),
            config.redis_connections.max(1),
        )?;
        pool.connect();
        Ok(Self(pool))
    }

    /// Waits until the server answers.
    ///
    /// # Errors
    /// When it refuses the connection for good (a wrong password).
    pub async fn ready(&self) -> Result<(), Error> {
        self.0.wait_for_connect().await
    }

    /// A field of a hash.
    ///
    /// # Errors
    /// The server's, or the connection's.
    pub async fn hash_field(&self, key: &str, field: &str) -> Result<Option<String>, Error> {
        self.0.next().hget(key, field).await
    }

    /// The members of a set of numbers.
    ///
    /// # Errors
    /// The server's, or the connection's.
    pub async fn members(&self, key: &str) -> Result<Vec<i64>, Error> {
        self.0.next().smembers(key).await
    }

    /// Puts a number into a set.
    ///
    /// # Errors
    /// The server's, or the connection's.
    pub async fn add_member(&self, key: &str, member: i64) -> Result<(), Error> {
        self.0.next().sadd(key, member).await
    }

    /// Takes a number out of a set.
    ///
    /// # Errors
    /// The server's, or the connection's.
    pub async fn remove_member(&self, key: &str, member: i64) -> Result<(), Error> {
        self.0.next().srem(key, member).await
    }

    /// Entries of a stream from `from` on (`-`: the first, `(id`: after that one), at most `count`, as id and fields.
    ///
    /// # Errors
    /// The server's, or the connection's.
    pub async fn entries(&self, key: &str, from: &str, count: u64) -> Result<Vec<Entry>, Error> {
        self.0.next().xrange_values(key, from, "+", Some(count)).await
    }

    /// Deletes keys.
    ///
    /// # Errors
    /// The server's, or the connection's.
    pub async fn delete(&self, keys: Vec<String>) -> Result<(), Error> {
        self.0.next().del(keys).await
    }

    /// What the server spent on each command since its start: `INFO commandstats`.
    ///
    /// # Errors
    /// The server's, or the connection's.
    pub async fn command_stats(&self) -> Result<String, Error> {
        self.0.next().info(Some(InfoKind::CommandStats)).await
    }
}

/// An entry of a stream: its id and its fields.
pub type Entry = (String, HashMap<String, String>);

/// A Lua script, called by its hash and loaded where the server does not know it.
#[derive(Debug, Clone)]
pub struct Script(fred::types::scripts::Script);

impl Script {
    /// A script from its source.
    #[must_use]
    pub fn new(source: &'static str) -> Self {
        Self(fred::types::scripts::Script::from_lua(source))
    }

    /// Runs it on `keys`, which share one hash tag, with `args`.
    ///
    /// # Errors
    /// The server's, or the connection's.
    pub async fn run<T: FromValue>(
        &self,
        redis: &Connections,
        keys: Vec<String>,
        args: Vec<Value>,
    ) -> Result<T, Error> {
        let client = redis.0.next();
        match client.evalsha(self.0.sha1().to_string(), keys.clone(), args.clone()).await {
            // A restarted server knows no scripts; nothing has run, so sending it again is safe.
            Err(error) if error.details().starts_with("NOSCRIPT") => {
                client.eval(self.0.lua().map_or_else(String::new, |text| text.to_string()), keys, args).await
            }
            answer => answer,
        }
    }
}
