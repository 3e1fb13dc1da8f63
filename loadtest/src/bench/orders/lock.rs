//! The usual way: a transaction per order that locks the product's row, takes a unit, writes the reservation. In a
//! database of its own.

use std::str::FromStr as _;
use std::time::Duration;

use anyhow::ensure;
use sqlx::postgres::{PgConnectOptions, PgPool, PgPoolOptions};
use sqlx::{AssertSqlSafe, Connection as _, Executor as _, PgConnection};
use uuid::Uuid;

use crate::bench::load::{self, Load};

/// A row is locked by one at a time: more connections only wait longer.
const LOCKERS: usize = 8;

const TABLES: &str = "
    CREATE TABLE stock (product_id bigint PRIMARY KEY, available bigint NOT NULL, reserved bigint NOT NULL)
    WITH (fillfactor = 50);
    CREATE TABLE reservation (order_id uuid PRIMARY KEY, product_id bigint NOT NULL, user_id bigint NOT NULL);
    INSERT INTO stock VALUES (1, 1000000000, 0)";

/// How an order takes its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// Locks the row to read it, then writes: as most shops do it.
    ReadFirst,
    /// Writes the row with a condition, as its last statement: the lock is held for the commit alone.
    WriteLast,
}

/// Orders as fast as eight connections can.
pub(super) async fn measure(database: &str, manner: Manner, time: Duration) -> anyhow::Result<Load> {
    let scratch = Scratch::make(database, "lock").await?;
    let pool = PgPoolOptions::new().max_connections(u32::try_from(LOCKERS)?);
    let pool = pool.connect_with(scratch.options.clone()).await?;
    pool.execute(TABLES).await?;
    let workers = pool.clone();
    let load = load::run(LOCKERS, time, move |worker, number| {
        let pool = workers.clone();
        async move { one(&pool, manner, (number * LOCKERS + worker) as i64).await }
    })
    .await;
    pool.close().await;
    scratch.remove().await?;
    Ok(load)
}

async fn one(pool: &PgPool, manner: Manner, user: i64) -> anyhow::Result<bool> {
    const TAKE: &str = "UPDATE stock SET available = available - 1, reserved = reserved + 1
                        WHERE product_id = 1 AND available >= 1";
    let mut tx = pool.begin().await?;
    if manner == Manner::ReadFirst {
        let read = sqlx::query_scalar("SELECT available FROM stock WHERE product_id = 1 FOR UPDATE");
        let available: i64 = read.fetch_one(&mut *tx).await?;
        ensure!(available > 0, "sold out");
        sqlx::query(TAKE).execute(&mut *tx).await?;
    }
    let reserve = sqlx::query("INSERT INTO reservation VALUES ($1, 1, $2)").bind(Uuid::now_v7()).bind(user);
    reserve.execute(&mut *tx).await?;
    if manner == Manner::WriteLast {
        let taken = sqlx::query(TAKE).execute(&mut *tx).await?;
        ensure!(taken.rows_affected() == 1, "sold out");
    }
    tx.commit().await?;
    Ok(true)
}

/// A database beside the one that is named, until it is removed.
pub(super) struct Scratch {
    pub(super) options: PgConnectOptions,
    pub(super) name: String,
    server: PgConnectOptions,
}

impl Scratch {
    pub(super) async fn make(beside: &str, what: &str) -> anyhow::Result<Self> {
        let server = PgConnectOptions::from_str(beside)?;
        let name = format!("loadtest_{what}_{}", std::process::id());
        let scratch = Self { options: server.clone().database(&name), name, server };
        scratch.ask("DROP DATABASE IF EXISTS", "WITH (FORCE)").await?;
        scratch.ask("CREATE DATABASE", "").await?;
        Ok(scratch)
    }

    pub(super) async fn remove(self) -> anyhow::Result<()> {
        self.ask("DROP DATABASE", "WITH (FORCE)").await
    }

    async fn ask(&self, what: &str, how: &str) -> anyhow::Result<()> {
        let mut server = PgConnection::connect_with(&self.server).await?;
        server.execute(AssertSqlSafe(format!("{what} {} {how}", self.name))).await?;
        Ok(server.close().await?)
    }
}
