//! The database dies with what it had not written yet: refusals, which are decided again as before.

use std::collections::HashMap;
use std::path::PathBuf;

use common::config::Secret;
use common::wire::event::{Decision, Outcome};
use common::wire::id::{OrderId, ProductId};
use sqlx::{Connection as _, PgConnection, PgPool};
use testkit::postgres::{self, Postgres};
use testkit::process::Server as _;
use testkit::{eventually, port};

use crate::service::{PATIENCE, Service};

/// A PostgreSQL of the test's own that writes its log to the disk when a commit asks for it, and not meanwhile.
struct Own {
    server: Postgres,
    folder: PathBuf,
}

impl Own {
    async fn start() -> Self {
        let folder = std::env::temp_dir().join(format!("astraphe-product-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir_all(&folder).unwrap();
        let server = port::on_free_port(|port| Postgres::start(&folder, port)).unwrap();
        let mut admin = PgConnection::connect(&format!("{}/postgres", server.url())).await.unwrap();
        sqlx::query("ALTER SYSTEM SET wal_writer_delay = '10s'").execute(&mut admin).await.unwrap();
        sqlx::query("SELECT pg_reload_conf()").execute(&mut admin).await.unwrap();
        Self { server, folder }
    }
}

impl Drop for Own {
    fn drop(&mut self) {
        self.server.stop();
        postgres::remove(&self.folder).ok();
    }
}

/// Sends a wish of one unit and waits until the buyer was told.
async fn buy(service: &Service, product: ProductId, user: i64) -> OrderId {
    let order = OrderId::new();
    service.send(&[service.reserve(product, order, user)]).await;
    eventually(PATIENCE, async || {
        anyhow::ensure!(answers(service, product)?.contains_key(&order), "not told yet");
        Ok(())
    })
    .await;
    order
}

/// What was told of each order.
fn answers(service: &Service, product: ProductId) -> anyhow::Result<HashMap<OrderId, Vec<Decision>>> {
    let mut answers = HashMap::<_, Vec<_>>::new();
    for decision in service.decisions(product)?.into_iter().flat_map(|record| record.decisions) {
        answers.entry(decision.order_id).or_default().push(decision);
    }
    Ok(answers)
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_that_a_crash_takes_back_are_decided_again_and_alike() {
    let mut own = Own::start().await;
    let url = format!("{}/product", own.server.url());
    let mut service = Service::start_as(&[], |config| config.pg.database_url = Secret(url.clone())).await;
    service.pg = PgPool::connect_lazy(&url).unwrap();
    let product = service.product(1).await;
    let mut orders = vec![buy(&service, product, 1).await];
    // The sale's own end is written too, some time after the last unit went; nothing after it.
    loop {
        orders.push(buy(&service, product, 2).await);
        let unwritten = "SELECT (pg_current_wal_insert_lsn() - pg_current_wal_flush_lsn())::bigint";
        if service.number(unwritten).await > 0 {
            break;
        }
    }
    own.server.kill9();
    own.server.restart().unwrap();
    orders.push(buy(&service, product, 3).await);

    let answers = answers(&service, product).unwrap();
    assert_eq!(answers.len(), orders.len());
    for (order, expected) in
        orders.iter().zip([Outcome::Reserved].iter().chain([&Outcome::Rejected].into_iter().cycle()))
    {
        let told = &answers[order];
        assert!(told.iter().all(|decision| decision.result == *expected), "{order}: {told:?}");
    }
    assert_eq!(answers[&orders[0]].len(), 1, "what moved a unit was on the disk");
    assert!(answers[&orders[orders.len() - 2]].len() > 1, "the last refusal was not");
    service.counts_are(product, [1, 0, 1, 0]).await;
}
