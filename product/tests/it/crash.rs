//! The database dies with what it had not written yet: refusals, which are decided again as before.

use std::collections::HashMap;

use common::config::Secret;
use common::wire::event::{Decision, Outcome};
use common::wire::id::OrderId;
use sqlx::{Connection as _, PgConnection, PgPool};
use testkit::eventually;
use testkit::own::Own;
use testkit::postgres::Postgres;
use testkit::process::Server as _;

use crate::service::{PATIENCE, Service};

/// Orders that come too late: the writer has work for a second or more.
const LATE: usize = 50_000;
/// So many of them are decided, in ten batches or more, when the database dies.
const DECIDED: i64 = 5_000;
/// What two batches write, in bytes.
const TWO_BATCHES: i64 = 200_000;

/// A PostgreSQL that writes its log to the disk when a commit asks for it, and not meanwhile.
async fn lazy() -> Own<Postgres> {
    let own = Own::start(Postgres::start);
    let mut admin = PgConnection::connect(&format!("{}/postgres", own.server.url())).await.unwrap();
    for setting in [
        "ALTER SYSTEM SET wal_writer_delay = '10s'",
        "ALTER SYSTEM SET wal_writer_flush_after = '1GB'",
        "SELECT pg_reload_conf()",
    ] {
        sqlx::query(setting).execute(&mut admin).await.unwrap();
    }
    own
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_that_a_crash_takes_back_are_decided_again_and_alike() {
    let mut own = lazy().await;
    let url = format!("{}/product", own.server.url());
    let mut service = Service::start_as(&[], |config| config.pg.database_url = Secret(url.clone())).await;
    service.pg = PgPool::connect_lazy(&url).unwrap();
    let product = service.product(1).await;
    let first = OrderId::new();
    service.send(&[service.reserve(product, first, 1)]).await;
    service.counts_are(product, [1, 0, 1, 0]).await;
    // That the sale is sold out is written as well, and with it everything before.
    eventually(PATIENCE, async || {
        let turns = service.number("SELECT count(*) FROM stock_turn").await;
        anyhow::ensure!(turns == 0, "{turns} not told");
        Ok(())
    })
    .await;
    service.stop_first().await;
    let late: Vec<OrderId> = (0..LATE).map(|_| OrderId::new()).collect();
    let wishes = late.iter().zip(2..).map(|(order, user)| service.reserve(product, *order, user));
    service.send(&wishes.collect::<Vec<_>>()).await;
    let cursor = "SELECT sum(next_offset)::bigint FROM stock_cursor";
    let (pg, before) = (service.pg.clone(), service.number(cursor).await);
    let last = before + i64::try_from(LATE).unwrap();
    let (server, ()) = tokio::join!(
        async {
            let reached = async || -> i64 { sqlx::query_scalar(cursor).fetch_one(&pg).await.unwrap() };
            let unwritten = "SELECT (pg_current_wal_insert_lsn() - pg_current_wal_flush_lsn())::bigint";
            let unwritten = async || -> i64 { sqlx::query_scalar(unwritten).fetch_one(&pg).await.unwrap() };
            while reached().await < before + DECIDED || unwritten().await < TWO_BATCHES {
                assert!(reached().await < last, "their commits waited for the disk");
            }
            own.server.kill9();
            own.server.restart().unwrap();
            own
        },
        service.add_replica(),
    );
    eventually(PATIENCE, async || {
        let reached = service.number(cursor).await;
        anyhow::ensure!(reached == last, "{reached} of {last}");
        Ok(())
    })
    .await;

    let mut answers = HashMap::<OrderId, Vec<Decision>>::new();
    eventually(PATIENCE, async || {
        answers.clear();
        for decision in service.decisions(product)?.into_iter().flat_map(|record| record.decisions) {
            answers.entry(decision.order_id).or_default().push(decision);
        }
        anyhow::ensure!(answers.len() == 1 + LATE, "{} orders are answered", answers.len());
        Ok(())
    })
    .await;
    let told = &answers[&first];
    assert!(told.iter().all(|decision| decision.result == Outcome::Reserved), "{told:?}");
    let mut refused = late.iter().flat_map(|order| &answers[order]);
    assert!(refused.all(|decision| decision.result == Outcome::Rejected));
    service.counts_are(product, [1, 0, 1, 0]).await;
    drop(server);
}
