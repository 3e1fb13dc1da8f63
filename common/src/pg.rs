//! A service's own PostgreSQL database: made, migrated and pooled at start; constraint names as errors.

use std::str::FromStr as _;
use std::time::Duration;

use anyhow::Context as _;
use sqlx::migrate::Migrator;
use sqlx::postgres::{PgConnectOptions, PgDatabaseError, PgPool, PgPoolOptions};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, PgConnection};

use crate::config::Pg;
use crate::stop::Stop;

/// Longest pause between two tries to reach a store.
const BACKOFF_MAX: Duration = Duration::from_secs(2);
/// A request waits this long for a connection, then gets 503.
const ACQUIRE_MAX: Duration = Duration::from_secs(2);
/// Plans that are kept are made anew after this.
const PLAN_MAX: Duration = Duration::from_secs(60);

/// Connects to the service's database, which is made and migrated first. Waits for the server with back-off and
/// says so.
///
/// # Errors
/// When the settings are wrong, a migration fails, or the stop comes first.
pub async fn open(config: &Pg, migrations: &Migrator, stop: &Stop) -> anyhow::Result<PgPool> {
    let options = PgConnectOptions::from_str(&config.database_url.0).context("DATABASE_URL")?;
    let options = options.log_statements(tracing::log::LevelFilter::Trace);
    // A plan that PostgreSQL keeps is made while the tables are empty, reads them whole, and lasts until they are
    // analysed: a minute, which is the sale. Measured: orders were decided twice as fast with a plan per statement.
    let options = options.options([("plan_cache_mode", "force_custom_plan")]);
    let mut pause = Duration::from_millis(50);
    while let Err(error) = create(&options).await {
        if !is_passing(&error) {
            return Err(error).context("database");
        }
        tracing::warn!(error = %error, host = options.get_host(), "waiting for PostgreSQL");
        anyhow::ensure!(stop.pause(pause).await, "stopped before PostgreSQL was there");
        pause = (pause * 2).min(BACKOFF_MAX);
    }
    let pool = PgPoolOptions::new()
        .max_connections(config.database_pool_max)
        .min_connections(config.database_pool_max.min(2))
        .acquire_timeout(ACQUIRE_MAX)
        .connect_with(options)
        .await?;
    migrations.run(&pool).await.context("migration")?;
    Ok(pool)
}

/// A pool of its own, of the same database, for transactions whose statements find every row by its key. Such a statement
/// is planned once per connection, and by the index: planned each time, an order statement took as long to begin as to run
/// for some twenty orders.
///
/// Such transactions wait for nobody but the database. One that nobody goes on with for five seconds is that of a process
/// that is frozen, or went away with its machine: the server ends it, as the next writer waits for its locks.
///
/// A connection lives for a minute: a plan made while a table had a handful of rows may begin with all of them.
#[must_use]
pub fn by_key(pool: &PgPool, connections_max: u32) -> PgPool {
    let options = pool.connect_options().as_ref().clone().options([
        ("plan_cache_mode", "force_generic_plan"),
        ("enable_seqscan", "off"),
        ("enable_hashjoin", "off"),
        ("enable_mergejoin", "off"),
        ("idle_in_transaction_session_timeout", "5s"),
    ]);
    let pool = PgPoolOptions::new().max_connections(connections_max).acquire_timeout(ACQUIRE_MAX);
    pool.max_lifetime(PLAN_MAX).connect_lazy_with(options)
}

/// Creates the database when it does not exist; several replicas may try at once.
async fn create(options: &PgConnectOptions) -> Result<(), sqlx::Error> {
    match PgConnection::connect_with(options).await {
        Ok(connection) => return connection.close().await,
        Err(error) if code(&error) == Some("3D000") => {}
        Err(error) => return Err(error),
    }
    let name = options.get_database().unwrap_or("postgres").replace('"', "\"\"");
    let mut server = PgConnection::connect_with(&options.clone().database("postgres")).await?;
    let made = server.execute(sqlx::AssertSqlSafe(format!("CREATE DATABASE \"{name}\""))).await;
    if let Err(error) = made {
        // Another replica was first: duplicate_database, or the unique index of the catalogue.
        if !matches!(code(&error), Some("42P04" | "23505")) {
            return Err(error);
        }
    }
    server.close().await
}

/// The SQLSTATE of a database's answer.
#[must_use]
pub fn code(error: &sqlx::Error) -> Option<&str> {
    match error {
        sqlx::Error::Database(answer) => {
            answer.try_downcast_ref::<PgDatabaseError>().map(PgDatabaseError::code)
        }
        _ => None,
    }
}

/// Whether the same statement may work later: the connection failed, or the server says so itself (SQLSTATE
/// classes 40, 53, 55, 57, 58 and 08), or it ended a transaction that nobody went on with (25P03).
#[must_use]
pub fn is_passing(error: &sqlx::Error) -> bool {
    match error {
        sqlx::Error::Io(_)
        | sqlx::Error::Tls(_)
        | sqlx::Error::Protocol(_)
        | sqlx::Error::PoolTimedOut
        | sqlx::Error::PoolClosed
        | sqlx::Error::WorkerCrashed => true,
        other => code(other).is_some_and(|state| {
            state == "25P03" || matches!(state.get(..2), Some("08" | "40" | "53" | "55" | "57" | "58"))
        }),
    }
}

/// Turns the violation of a named constraint into an error of the service.
pub trait OnConstraint<T, E> {
    /// The service's error when `name` was violated; the database's own otherwise.
    ///
    /// # Errors
    /// The same as the result's, or the one made by `error`.
    fn on_constraint(self, name: &str, error: impl FnOnce() -> E) -> Result<T, E>;
}

impl<T, E: From<sqlx::Error>> OnConstraint<T, E> for Result<T, sqlx::Error> {
    fn on_constraint(self, name: &str, error: impl FnOnce() -> E) -> Result<T, E> {
        self.map_err(|cause| match &cause {
            sqlx::Error::Database(answer) if answer.constraint() == Some(name) => error(),
            _ => E::from(cause),
        })
    }
}
