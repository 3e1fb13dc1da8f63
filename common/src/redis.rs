//! Redis, behind one door: connections, and scripts by their hash. Only this module names the client library.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context as _;
use fred::clients::{Client, Pool};
use fred::interfaces::{
    ClientLike as _, HashesInterface as _, KeysInterface as _, LuaInterface as _, SetsInterface as _,
    SortedSetsInterface as _, StreamsInterface as _, TransactionInterface as _,
};
use fred::types::config::{Config, ConnectionConfig, Options, PerformanceConfig, ReconnectPolicy, TcpConfig};
use fred::types::{ClusterHash, CustomCommand, InfoKind};

pub use fred::error::{Error, ErrorKind};
pub use fred::types::{FromValue, Value};

use crate::config::Redis;

/// A command that takes longer has failed.
const COMMAND_MAX: Duration = Duration::from_secs(2);
/// How often a script is loaded again when the server is started again meanwhile.
const LOADS_MAX: u32 = 3;

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

    /// Whether a connection stands: one that does not is waited for by every command.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        self.0.next_connected().is_connected()
    }

    /// A field of a hash.
    ///
    /// # Errors
    /// The server's, or the connection's.
    pub async fn hash_field(&self, key: &str, field: &str) -> Result<Option<String>, Error> {
        self.0.next().hget(key, field).await
    }

    /// A whole hash.
    ///
    /// # Errors
    /// The server's, or the connection's.
    pub async fn hash(&self, key: &str) -> Result<HashMap<String, String>, Error> {
        self.0.next().hgetall(key).await
    }

    /// A plain text.
    ///
    /// # Errors
    /// The server's, or the connection's.
    pub async fn text(&self, key: &str) -> Result<Option<String>, Error> {
        self.0.next().get(key).await
    }

    /// The members of a set of numbers.
    ///
    /// # Errors
    /// The server's, or the connection's.
    pub async fn members(&self, key: &str) -> Result<Vec<i64>, Error> {
        self.0.next().smembers(key).await
    }

    /// A number and the members of a set of words, asked for together, within `wait`. With `is_hurried`, a connection
    /// that is down fails at once instead of being waited for.
    ///
    /// # Errors
    /// The server's, or the connection's.
    pub async fn number_and_words(
        &self,
        number: &str,
        set: &str,
        wait: Duration,
        is_hurried: bool,
    ) -> Result<(Option<i64>, Vec<String>), Error> {
        let options = Options { timeout: Some(wait), fail_fast: is_hurried, ..Options::default() };
        let client = self.0.next_connected().with_options(&options);
        futures::try_join!(client.get(number), client.smembers(set))
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

    /// One more connection to the same server, for answers so long that others would wait behind them.
    #[must_use]
    pub fn beside(&self) -> Self {
        let client = self.0.next().clone_new();
        client.connect();
        Self(Pool::from_clients(vec![client]).expect("a pool of one is not empty"))
    }

    /// Some fields of a hash and the entries of a stream after `after`, at most `most`, all as they are at one moment.
    /// The connection sends nothing else meanwhile.
    ///
    /// # Errors
    /// The server's, or the connection's.
    pub async fn look(
        &self,
        hash: &str,
        fields: &[&str],
        stream: &str,
        (after, most): (&str, u64),
    ) -> Result<Look, Error> {
        let steps = self.0.next().multi();
        let time = CustomCommand::new_static("TIME", ClusterHash::Custom(0), false);
        steps.custom::<(), Value>(time, Vec::new()).await?;
        steps.hmget::<(), _, _>(hash, fields.to_vec()).await?;
        steps.xrange::<(), _, _, _>(stream, format!("({after}"), "+", Some(most)).await?;
        let (time, fields, entries): ((i64, i64), Vec<Option<String>>, Vec<Value>) = steps.exec(true).await?;
        let entries = entries.into_iter().filter_map(|entry| {
            let mut entry = entry.into_array().into_iter();
            entry.next()?.into_string().zip(entry.next().map(Value::into_array))
        });
        Ok(Look { now: time.0 * 1_000 + time.1 / 1_000, fields, entries: entries.collect() })
    }

    /// The id of a stream's last entry.
    ///
    /// # Errors
    /// The server's, or the connection's.
    pub async fn last_entry(&self, key: &str) -> Result<Option<String>, Error> {
        let last: Vec<Entry> = self.0.next().xrevrange_values(key, "+", "-", Some(1)).await?;
        Ok(last.into_iter().next().map(|(id, _)| id))
    }

    /// Members and scores of a sorted set whose scores are above `after`, the lowest first, at most `most`; both are
    /// whole numbers.
    ///
    /// # Errors
    /// The server's, or the connection's.
    pub async fn scores(&self, key: &str, after: i64, most: i64) -> Result<Vec<(i64, i64)>, Error> {
        let above = format!("({after}");
        let page: Vec<i64> =
            self.0.next().zrangebyscore(key, above.as_str(), "+inf", true, Some((0, most))).await?;
        Ok(page.chunks_exact(2).map(|pair| (pair[0], pair[1])).collect())
    }

    /// Bytes `from` to `to` of a string, both counted in; fewer where it is shorter.
    ///
    /// # Errors
    /// The server's, or the connection's.
    pub async fn bytes(&self, key: &str, from: usize, to: usize) -> Result<Vec<u8>, Error> {
        self.0.next().getrange(key, from, to).await
    }

    /// Deletes keys.
    ///
    /// # Errors
    /// The server's, or the connection's.
    pub async fn delete(&self, keys: Vec<String>) -> Result<(), Error> {
        self.0.next().del(keys).await
    }

    /// Names the server's present run: another one after every start.
    ///
    /// # Errors
    /// The server's, or the connection's.
    pub async fn run_id(&self) -> Result<String, Error> {
        run_id(self.0.next()).await
    }

    /// What the server spent on each command since its start: `INFO commandstats`.
    ///
    /// # Errors
    /// The server's, or the connection's.
    pub async fn command_stats(&self) -> Result<String, Error> {
        self.0.next().info(Some(InfoKind::CommandStats)).await
    }
}

/// What a server holds at one moment.
#[derive(Debug)]
pub struct Look {
    /// Its clock, in ms since 1970.
    pub now: i64,
    /// Values of the fields asked for.
    pub fields: Vec<Option<String>>,
    /// Entries of the stream: id, then names and values in turn.
    pub entries: Vec<(String, Vec<Value>)>,
}

/// An entry of a stream: its id and its fields.
pub type Entry = (String, HashMap<String, String>);

/// A Lua script, called by its hash and loaded where the server does not know it.
///
/// In front of its text stands `local RUN = '<run id>'`, the id that the server got at its start. A script that keeps it
/// finds out that the server was started again, perhaps without its last moments. A server that was started again knows
/// no scripts (Redis from 7.0 on), so that none can run with an id that is out of date.
#[derive(Debug, Clone)]
pub struct Script(Arc<Loaded>);

#[derive(Debug)]
struct Loaded {
    source: &'static str,
    sha: RwLock<Option<String>>,
    loading: tokio::sync::Mutex<()>,
}

impl Script {
    /// A script from its source.
    #[must_use]
    pub fn new(source: &'static str) -> Self {
        Self(Arc::new(Loaded { source, sha: RwLock::default(), loading: tokio::sync::Mutex::default() }))
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
        let sha = match self.sha() {
            Some(sha) => sha,
            None => self.load(client, None).await?,
        };
        match client.evalsha(&sha, keys.clone(), args.clone()).await {
            // Nothing has run, so sending it again is safe.
            Err(error) if error.details().starts_with("NOSCRIPT") => {
                let sha = self.load(client, Some(sha)).await?;
                client.evalsha(sha, keys, args).await
            }
            answer => answer,
        }
    }

    fn sha(&self) -> Option<String> {
        // A panic cannot leave half a name.
        self.0.sha.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Loads it and returns its name, unless another call has loaded it since it was not known as `old`.
    async fn load(&self, client: &Client, old: Option<String>) -> Result<String, Error> {
        let _one = self.0.loading.lock().await;
        if let Some(sha) = self.sha().filter(|sha| Some(sha) != old.as_ref()) {
            return Ok(sha);
        }
        for _ in 0..LOADS_MAX {
            let run = run_id(client).await?;
            let sha: String = client.script_load(format!("local RUN = '{run}'\n{}", self.0.source)).await?;
            if run_id(client).await? == run {
                *self.0.sha.write().unwrap_or_else(PoisonError::into_inner) = Some(sha.clone());
                return Ok(sha);
            }
            // Another server has it now, under an id that is not its own.
            client.script_flush(false).await?;
        }
        Err(Error::new(ErrorKind::Unknown, "the server is started again and again"))
    }
}

async fn run_id(client: &Client) -> Result<String, Error> {
    let about: String = client.info(Some(InfoKind::Server)).await?;
    let id = about.lines().find_map(|line| line.strip_prefix("run_id:"));
    id.map(str::to_owned).ok_or_else(|| Error::new(ErrorKind::Protocol, "no run_id in INFO server"))
}
