//! Redis, PostgreSQL and Kafka together: a launcher's own, started at the same time, or ones that somebody else runs.

use std::path::Path;
use std::thread;

use testkit::error::{Error, Result};
use testkit::kafka::Kafka;
use testkit::postgres::Postgres;
use testkit::process::Server;
use testkit::redis::Redis;
use testkit::{jars, port};

/// Where the servers are.
#[derive(Debug, Clone)]
pub struct Addresses {
    /// `redis://host:port`, without a database number.
    pub redis: String,
    /// `postgres://user@host:port`, without a database.
    pub postgres: String,
    /// `host:port`.
    pub kafka: String,
}

impl Addresses {
    /// The servers that `cargo dev test` started; none when it did not start this test.
    ///
    /// # Errors
    /// Only some of the three variables are set.
    pub fn of_tests() -> Result<Option<Self>> {
        Self::from_env(["ASTRAPHE_TEST_REDIS", "ASTRAPHE_TEST_POSTGRES", "ASTRAPHE_TEST_KAFKA"])
    }

    /// The servers of `cargo dev up --external`.
    pub(crate) fn external() -> Result<Self> {
        let names = ["EXTERNAL_REDIS_URL", "EXTERNAL_POSTGRES_URL", "EXTERNAL_KAFKA"];
        Self::from_env(names)?.ok_or_else(|| Error::new(format!("--external needs {}", names.join(", "))))
    }

    fn from_env(names: [&str; 3]) -> Result<Option<Self>> {
        let values = names.map(|name| {
            let value = std::env::var_os(name).and_then(|value| value.into_string().ok());
            value.map(|value| value.trim_end_matches('/').to_owned())
        });
        match values {
            [Some(redis), Some(postgres), Some(kafka)] => Ok(Some(Self { redis, postgres, kafka })),
            [None, None, None] => Ok(None),
            _ => Err(Error::new(format!("set all or none of {}", names.join(", ")))),
        }
    }
}

/// Own servers, running.
pub struct Servers {
    /// Redis.
    pub redis: Redis,
    /// PostgreSQL.
    pub postgres: Postgres,
    /// Kafka.
    pub kafka: Kafka,
}

impl Servers {
    /// Starts the three with their data under `dir`, each on a port that is free.
    ///
    /// # Errors
    /// The first of them that does not come up; then none is left running.
    pub fn start(dir: &Path) -> Result<Self> {
        let jars = jars::ensure(dir)?;
        thread::scope(|scope| {
            let redis = scope.spawn(|| port::on_free_port(|port| Redis::start(&dir.join("redis"), port)));
            let postgres =
                scope.spawn(|| port::on_free_port(|port| Postgres::start(&dir.join("postgres"), port)));
            let kafka =
                scope.spawn(|| port::on_free_port(|port| Kafka::start(&dir.join("kafka"), port, &jars)));
            let why = "a start returns its failure instead of panicking";
            let (redis, postgres, kafka) =
                (redis.join().expect(why), postgres.join().expect(why), kafka.join().expect(why));
            Ok(Self { redis: redis?, postgres: postgres?, kafka: kafka? })
        })
    }

    /// Where they are.
    pub fn addresses(&self) -> Addresses {
        Addresses { redis: self.redis.url(), postgres: self.postgres.url(), kafka: self.kafka.url() }
    }

    /// Their names.
    pub const NAMES: [&str; 3] = ["redis", "postgres", "kafka"];

    /// Name, address and process of each.
    pub fn all(&mut self) -> [(&'static str, String, &mut dyn Server); 3] {
        let [redis, postgres, kafka] = Self::NAMES;
        [
            (redis, self.redis.url(), &mut self.redis),
            (postgres, self.postgres.url(), &mut self.postgres),
            (kafka, self.kafka.url(), &mut self.kafka),
        ]
    }

    /// Stops the three at the same time.
    pub fn stop(&mut self) {
        thread::scope(|scope| {
            for (_, _, server) in self.all() {
                scope.spawn(move || server.stop());
            }
        });
    }
}
