//! What the service needs goes away, freezes or becomes slow: orders that it cannot carry are refused at once, nothing
//! that was promised is lost, and it goes on by itself.

use std::sync::{Arc, Mutex, mpsc};
use std::time::{Duration, Instant};

use common::kafka::consumer::{Received, Source, consume};
use common::stop::Stop;
use common::wire::event::{OrderChanged, STOCK_DECISIONS, StockDecided};
use common::wire::id::{OrderId, UserId};
use common::wire::order::OrderState;
use futures::future::join_all;
use order::Config;
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use testkit::broker::Broker;
use testkit::client::Http;
use testkit::process::Server as _;
use testkit::wire::Wire;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::{SOON, TestOrder, order_of};

/// A broker that was killed is refused until its old session is over, and then recovers its log.
const RECOVERY: Duration = Duration::from_secs(60);
/// A look for a record.
const LOOK: Duration = Duration::from_millis(50);
/// Events that nobody reads, as an earlier version wrote them.
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

/// A service and the wire between it and PostgreSQL.
async fn start_behind_a_wire(change: impl FnOnce(&mut Config)) -> (Wire, TestOrder) {
    let server = testkit::servers().postgres.rsplit('@').next().unwrap().to_owned();
    let wire = Wire::to(&server).await.unwrap();
    let through = wire.address.to_string();
    let test = TestOrder::start_with(|config| {
        change(config);
        config.pg.database_url.0 = config.pg.database_url.0.replace(&server, &through);
    })
    .await;
    (wire, test)
}

/// Waits until the service takes this order.
async fn is_taken(http: &Http) {
    testkit::eventually(SOON, async || {
        let answer = http.post("/api/orders", &order_of(&[(1, 1)])).await?;
        anyhow::ensure!(answer.status == 202, "{}", answer.body);
        Ok(())
    })
    .await;
}

/// Orders are refused once too many events wait, and taken again once the broker is back; what was promised is sent.
async fn is_carried_over(mut broker: Broker, test: TestOrder, end: impl AsyncFnOnce(&mut Broker)) {
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
    test.clock.advance(Duration::from_secs(3));
    testkit::eventually(SOON, async || {
        let age = test.figure("astraphe_order_outbox_age_ms").await;
        anyhow::ensure!(age >= 3_000.0, "how long events wait cannot be seen: {age} ms");
        Ok(())
    })
    .await;
    let placed = test.rows("orders").await;

    end(&mut broker).await;
    is_sent(&test, RECOVERY).await;
    assert_eq!(test.rows("orders").await, placed, "what was refused left no order");
    assert_eq!(test.commands(order).await, ["stock.reserve.v1"]);
    is_taken(&late).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_broker_is_away_orders_wait_and_too_many_are_refused() {
    let mut broker = Broker::start().await;
    let test = TestOrder::start_with(|config| config.kafka.kafka_bootstrap = broker.url()).await;
    test.product(1).await;
    broker.kafka.kill9();
    is_carried_over(broker, test, async |broker| broker.kafka.restart().unwrap()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_brokers_disk_is_full_orders_wait_and_too_many_are_refused() {
    let Some(mut broker) = Broker::with_disk(24).await else {
        return eprintln!("not tested: only root may mount a file system of a certain size");
    };
    let test = TestOrder::start_with(|config| config.kafka.kafka_bootstrap = broker.url()).await;
    test.product(1).await;
    // Kafka gives up a disk at the first write that fails, and ends when it was its last one.
    let filler = "INSERT INTO outbox (topic, key, headers, payload, created_at)
                  SELECT 'stock.commands.v1.dlq', n::text, '{}', decode(repeat(md5(n::text), 8000), 'hex'), now()
                  FROM generate_series(1, 250) AS n";
    sqlx::query(filler).execute(&test.pg).await.unwrap();
    testkit::eventually(RECOVERY, async || {
        anyhow::ensure!(broker.kafka.process().exited().is_some(), "there is room yet");
        Ok(())
    })
    .await;
    is_carried_over(broker, test, async |broker| {
        broker.resize_disk(256);
        broker.kafka.restart().unwrap();
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wire_to_the_broker_that_is_cut_loses_no_order_and_repeats_none() {
    let broker = Broker::start().await;
    let test = TestOrder::start_with(|config| config.kafka.kafka_bootstrap = broker.url()).await;
    test.product(1).await;
    let mut orders = Vec::new();
    for user in 1..=60 {
        // In the middle of what is on its way in both directions.
        if user == 20 {
            for order in &orders[..10] {
                test.decide(*order, 1, None).await;
            }
            broker.wire.cut();
        }
        orders.push(test.shopper(user).with_pass(1, 1).place("k", &[(1, 1)]).await);
    }
    assert!(test.rows("outbox").await > 0, "nothing reaches the broker");
    broker.wire.restore();
    is_sent(&test, RECOVERY).await;
    for order in &orders {
        assert_eq!(test.commands(*order).await, ["stock.reserve.v1"]);
    }
    for order in &orders[10..] {
        test.decide(*order, 1, None).await;
    }
    for order in &orders {
        test.reaches(*order, OrderState::Reserved).await;
        assert_eq!(test.history(*order).await, [(1, OrderState::Received), (2, OrderState::Reserved)]);
    }
}

/// An order that holds its units, by a decision whose offset the broker has not taken.
async fn reserved_without_a_broker() {
    let broker = Broker::start().await;
    let test = TestOrder::start_with(|config| config.kafka.kafka_bootstrap = broker.url()).await;
    let (_, order) = test.placed(7).await;
    let mut holder = test.pg.begin().await.unwrap();
    let lock = sqlx::query("SELECT FROM orders WHERE order_id = $1 FOR UPDATE").bind(order.0);
    lock.execute(&mut *holder).await.unwrap();
    test.decide(order, 1, None).await;
    testkit::eventually(SOON, async || {
        let waiting: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
        .fetch_one(&test.pg)
        .await?;
        anyhow::ensure!(waiting == 1, "the decision has not come");
        Ok(())
    })
    .await;
    // As a network that breaks off: nobody answers what the client sends now.
    broker.wire.delay(Duration::from_secs(3_600));
    holder.rollback().await.unwrap();
    test.reaches(order, OrderState::Reserved).await;
}

#[test]
fn a_process_that_is_told_to_stop_while_the_broker_is_away_ends() {
    let runtime = Runtime::new().unwrap();
    runtime.block_on(reserved_without_a_broker());
    let (ending, ended) = mpsc::channel();
    std::thread::spawn(move || {
        drop(runtime);
        ending.send(()).unwrap();
    });
    ended.recv_timeout(SOON).expect("its threads end");
}

/// Tells of a product with so many units, then reads on as one group until that is read; returns all that was.
async fn read_on(test: &TestOrder, units: i64) -> Vec<i64> {
    test.tell_stock(1, units, Vec::new()).await;
    let (stop, seen) = (Stop::new(), Mutex::new(Vec::new()));
    let source = Source::new(&test.kafka, "reads-on", &test.producer);
    let apply = |records: Arc<[Received<StockDecided>]>| {
        seen.lock().unwrap().extend(records.iter().map(|record| record.event.available));
        if seen.lock().unwrap().contains(&units) {
            stop.stop();
        }
        std::future::ready(Ok(()))
    };
    consume(source, stop.clone(), apply).await;
    seen.into_inner().unwrap()
}

#[tokio::test]
async fn what_was_applied_before_a_stop_is_not_read_again() {
    let test = TestOrder::start().await;
    assert_eq!(read_on(&test, 1).await, [1]);
    assert_eq!(read_on(&test, 2).await, [2]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_is_away_orders_are_refused_and_decisions_wait() {
    let (wire, test) = start_behind_a_wire(|_| {}).await;
    let (_, order) = test.placed(7).await;
    let late = test.shopper(8).with_pass(1, 1).http.key("k");
    // A command that the relay could not remove would be sent again.
    test.quiet().await;
    wire.cut();
    test.decide(order, 1, None).await;
    let refused = late.post("/api/orders", &order_of(&[(1, 1)])).await.unwrap();
    assert!(refused.headers.contains_key("retry-after"), "{refused:?}");
    refused.problem(503, "database-unavailable");
    assert_eq!(test.rows("orders").await, 1, "what was refused left no order");

    wire.restore();
    test.reaches(order, OrderState::Reserved).await;
    is_taken(&late).await;
    assert_eq!(test.commands(order).await, ["stock.reserve.v1"]);
    assert_eq!(test.history(order).await, [(1, OrderState::Received), (2, OrderState::Reserved)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_relay_that_freezes_is_followed_within_ten_seconds() {
    let mut other = None;
    let (wire, test) = start_behind_a_wire(|config| other = Some(config.clone())).await;
    put_events(&test, 1).await;
    is_sent(&test, SOON).await;

    let (mut config, stop) = (other.unwrap(), Stop::new());
    config.kafka.instance = "order-2".into();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let second = Http::new(format!("http://{}", listener.local_addr().unwrap()));
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

#[tokio::test]
async fn the_events_of_a_transaction_are_sent_in_their_order_however_many_they_are() {
    let test = TestOrder::start().await;
    let (order_id, at) = (OrderId::new(), test.clock.now());
    let event = |seq| OrderChanged {
        order_id,
        seq,
        user_id: UserId(7),
        state: OrderState::Received,
        reason: None,
        lines: Vec::new(),
        at,
    };
    // Around what one row of the outbox takes, and in the next transaction what belongs behind it.
    for seqs in [1..=1_201, 1_202..=1_701, 1_702..=1_702] {
        let events: Vec<OrderChanged> = seqs.map(event).collect();
        let mut tx = test.pg.begin().await.unwrap();
        order::order::store::tell(&mut tx, &[], &events, at).await.unwrap();
        tx.commit().await.unwrap();
    }
    let heard: Vec<i64> = test.history(order_id).await.into_iter().map(|(seq, _)| seq).collect();
    assert_eq!(heard, (1..=1_702).collect::<Vec<i64>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_slow_database_orders_are_refused_before_they_pile_up() {
    let (wire, test) = start_behind_a_wire(|_| {}).await;
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

#[tokio::test]
async fn orders_that_wait_for_locks_one_by_one_are_refused_before_they_pile_up() {
    let test = TestOrder::start().await;
    test.product(1).await;
    // Nobody can write an order, and every statement that tries waits.
    let mut holder = test.pg.begin().await.unwrap();
    sqlx::query("LOCK TABLE order_line IN EXCLUSIVE MODE").execute(&mut *holder).await.unwrap();
    let shoppers: Vec<_> = (1..=16).map(|user| test.shopper(user).with_pass(1, 1).http.key("k")).collect();
    let body = order_of(&[(1, 1)]);
    let place = async || join_all(shoppers.iter().map(|http| http.post("/api/orders", &body))).await;
    let answers = place().await;
    holder.rollback().await.unwrap();
    // Four at a time try for 1.8 s; the others have waited for 2 s then.
    let refused = answers.into_iter().filter(|answer| answer.as_ref().unwrap().status == 503);
    let refused: Vec<_> = refused.map(|answer| answer.unwrap().problem(503, "overloaded")).collect();
    assert!(refused.len() >= 8, "only {} are refused", refused.len());
    assert_eq!(test.rows("orders").await, 0);
    for answer in place().await {
        answer.unwrap().expect(202);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_whose_name_was_taken_starts_anew() {
    let test = TestOrder::start().await;
    test.reserved(7).await;
    let settings = common::kafka::consumer::settings(&test.kafka, order::order::events::GROUP);
    let topic = test.kafka.topic(STOCK_DECISIONS);
    let taken = tokio::task::spawn_blocking(move || {
        let thief: BaseConsumer = settings.create().unwrap();
        thief.subscribe(&[&topic]).unwrap();
        let began = Instant::now();
        // Until the service has taken it back.
        while !matches!(thief.poll(LOOK), Some(Err(KafkaError::MessageConsumptionFatal(_)))) {
            assert!(began.elapsed() < SOON, "the service does not want its name back");
        }
    });
    taken.await.unwrap();
    test.reserved(8).await;
}

/// What a server says to those who are connected when it goes down, in the middle of a transition.
#[tokio::test]
async fn a_database_that_goes_down_in_a_transition_is_waited_for() {
    let test = TestOrder::start().await;
    let (shopper, order) = test.reserved(7).await;
    sqlx::raw_sql(
        "CREATE FUNCTION down() RETURNS trigger LANGUAGE plpgsql AS
             $$ BEGIN RAISE EXCEPTION 'going down' USING ERRCODE = '57P01'; END $$;
         CREATE TRIGGER down BEFORE INSERT ON order_transition EXECUTE FUNCTION down();",
    )
    .execute(&test.pg)
    .await
    .unwrap();
    let path = format!("/api/orders/{order}/cancel");
    let cancel = async || shopper.http.key("c").post(&path, &serde_json::json!({})).await.unwrap();
    cancel().await.problem(503, "database-unavailable");
    sqlx::raw_sql("DROP TRIGGER down ON order_transition").execute(&test.pg).await.unwrap();
    assert_eq!(cancel().await.expect(200).body["state"], "cancelled");
}
