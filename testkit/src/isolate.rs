//! One test, one corner of the shared servers: a database, a logical Redis database, a topic prefix of its own.

use std::sync::OnceLock;

use uuid::Uuid;

use crate::redis::next_database;

/// The servers of this test run.
#[derive(Debug)]
pub struct Servers {
    /// `redis://host:port`.
    pub redis: String,
    /// `postgres://user@host:port`.
    pub postgres: String,
    /// `host:port`.
    pub kafka: String,
}

/// The servers that `cargo dev test` started and named in the environment.
///
/// # Panics
/// When the test was not started by `cargo dev test`.
pub fn servers() -> &'static Servers {
    static SERVERS: OnceLock<Servers> = OnceLock::new();
    SERVERS.get_or_init(|| Servers {
        redis: named("ASTRAPHE_TEST_REDIS"),
        postgres: named("ASTRAPHE_TEST_POSTGRES"),
        kafka: named("ASTRAPHE_TEST_KAFKA"),
    })
}

#[expect(clippy::disallowed_methods, reason = "the launcher tells its tests where the servers are")]
fn named(variable: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| {
        panic!("{variable} is not set: run `cargo dev test` (arguments after `--` go to cargo test)")
    })
}

/// The address of a new database; the service that opens it creates it.
#[must_use]
pub fn database(name: &str) -> String {
    format!("{}/{name}_{}", servers().postgres, unique())
}

/// A topic prefix that no other test has.
#[must_use]
pub fn topic_prefix() -> String {
    format!("t{}.", unique())
}

/// The address of a logical Redis database that no other test of this run has.
///
/// # Panics
/// When Redis does not answer.
#[must_use]
pub fn redis_url() -> String {
    let base = &servers().redis;
    format!("{base}/{}", next_database(base).expect("the test run's Redis answers"))
}

fn unique() -> String {
    Uuid::new_v4().simple().to_string()[..12].to_owned()
}
