//! What the service needs goes away, freezes or becomes slow: orders that it cannot carry are refused at once, nothing
//! that was promised is lost, and it goes on by itself.

use std::time::Duration;

use common::stop::Stop;
use futures::future::join_all;
use testkit::kafka::Kafka;
use testkit::process::Server as _;
use testkit::wire::Wire;
use testkit::{jars, port};
use tokio::net::TcpListener;

use crate::{SOON, TestOrder, order_of};

/// A broker that was killed is refused until its old session is over, and then recovers its log.
const RECOVERY: Duration = Duration::from_secs(60);
/// An event that nobody reads.
const EVENTS: &str = "INSERT INTO outbox (topic, key, headers, payload, created_at)
                      SELECT 'stock.commands.v1.dlq', n::text, '{}', '', now() FROM generate_series(1, $1) AS n";

async fn put_events(test: &TestOrder, count: i64) {
    sqlx::query(EVENTS).bind(count).execute(&test.pg).await.unwrap();
}

async fn is_sent(test: &TestOrder, within: Duration) {
    testkit::eventually(within, async || {
        let rows = test.rows("outbox").await;
        anyhow::ensure!(rows == 0, "{rows} events wait");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_broker_is_away_orders_wait_and_too_many_are_refused() {
    let folder = std::env::temp_dir().join(format!("astraphe-broker-{}", uuid::Uuid::new_v4().simple()));
    let jars = jars::ensure(&folder).unwrap();
    let mut broker = port::on_free_port(|port| Kafka::start(&folder, port, &jars)).unwrap();
    let test = TestOrder::start_with(|config| config.kafka.kafka_bootstrap = broker.url()).await;
    test.product(1).await;
    broker.kill9();
    let order = test.shopper(7).with_pass(1, 1).place("k", &[(1, 1)]).await;
    put_events(&test, 50_001).await;
    let late = test.shopper(8).with_pass(1, 1).http.key("k");
    let refused = testkit::eventually(SOON, async || {
        let answer = late.post("/api/orders", &order_of(&[(1, 1)])).await?;
        anyhow::ensure!(answer.status != 202, "accepted");
        Ok(answer)
    })
    .await;
    assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
    refused.problem(503, "overloaded");
    let placed = test.rows("orders").await;

    broker.restart().unwrap();
    is_sent(&test, RECOVERY).await;
    assert_eq!(test.rows("orders").await, placed, "what was refused left no order");
    assert_eq!(test.commands(order).await, ["stock.reserve.v1"]);
    testkit::eventually(SOON, async || {
        let answer = late.post("/api/orders", &order_of(&[(1, 1)])).await?;
        anyhow::ensure!(answer.status == 202, "{}", answer.body);
        Ok(())
    })
    .await;
    drop(test);
    broker.stop();
    std::fs::remove_dir_all(&folder).ok();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_freezes_is_followed_within_ten_seconds() {
    let server = testkit::servers().postgres.rsplit('@').next().unwrap().to_owned();
    let wire = Wire::to(&server).await.unwrap();
    let through = wire.address.to_string();
    let mut other = None;
    let test = TestOrder::start_with(|config| {
        other = Some(config.clone());
        config.pg.database_url.0 = config.pg.database_url.0.replace(&server, &through);
    })
    .await;
    put_events(&test, 1).await;
    is_sent(&test, SOON).await;

    let (mut config, stop) = (other.unwrap(), Stop::new());
    config.kafka.instance = "order-2".into();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let second = testkit::client::Http::new(format!("http://{}", listener.local_addr().unwrap()));
    let (serving, ending) = (order::serve(listener, config, stop.clone()), Stop::new());
    ending.spawn("order-2", async move { serving.await.unwrap() });
    testkit::eventually(SOON, async || {
        anyhow::ensure!(second.get("/readyz").await?.status == 200, "not ready");
        Ok(())
    })
    .await;
    // As a process that was stopped, or a machine that went away: its connection stays, and says nothing.
    wire.delay(Duration::from_secs(3_600));
    put_events(&test, 1).await;
    is_sent(&test, Duration::from_secs(10)).await;
    stop.stop();
    ending.drained().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_slow_database_orders_are_refused_before_they_pile_up() {
    let server = testkit::servers().postgres.rsplit('@').next().unwrap().to_owned();
    let wire = Wire::to(&server).await.unwrap();
    let through = wire.address.to_string();
    let test = TestOrder::start_with(|config| {
        config.pg.database_url.0 = config.pg.database_url.0.replace(&server, &through);
    })
    .await;
    test.product(1).await;
    let people: Vec<_> = (1..=1_500).map(|user| test.shopper(user).with_pass(1, 1).http.key("k")).collect();
    let body = order_of(&[(1, 1)]);
    // Longer than a product is known: all of them find that its facts are to be read.
    wire.delay(Duration::from_millis(120));
    let answers = join_all(people.iter().map(|http| http.post("/api/orders", &body))).await;
    wire.delay(Duration::ZERO);
    let (mut accepted, mut refused) = (0, 0);
    for answer in answers {
        let answer = answer.unwrap();
        if answer.status == 202 {
            accepted += 1;
        } else {
            refused += 1;
            assert_eq!(answer.status, 503, "{answer:?}");
            assert!(answer.headers.contains_key("retry-after"), "{answer:?}");
        }
    }
    assert!(accepted > 0 && refused > 0, "{accepted} accepted, {refused} refused");
    assert!(test.rows("orders").await >= accepted, "what was promised is there");
    let (_, order) = test.placed(9_999).await;
    assert_eq!(test.commands(order).await, ["stock.reserve.v1"]);
}
