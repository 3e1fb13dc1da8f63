use std::collections::HashSet;
use std::ops::Range;
use std::time::Duration;

use common::outbox::Nudge;
use common::stop::Stop;
use common::wire::event::{Outcome, Refusal, Settle, StockCommand, Terms};
use common::wire::id::{OrderId, ProductId, UserId};
use common::wire::token::Role;
use product::metrics::Metrics;
use product::stock::copy;
use product::stock::lane::{Arrived, Handle, Lane, Stage};
use product::stock::store::{self, Place};
use prometheus::Registry;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use testkit::eventually;

use crate::service::{PATIENCE, Service};

/// Waits until this many reserves of the product are answered, and returns the answers.
async fn answers(
    service: &Service,
    product: ProductId,
    count: usize,
) -> Vec<(OrderId, Outcome, Option<Refusal>)> {
    eventually(PATIENCE, async || {
        let decided = service.decisions(product)?.into_iter().flat_map(|decided| decided.decisions);
        let found: Vec<_> = decided.map(|d| (d.order_id, d.result, d.reason)).collect();
        anyhow::ensure!(found.len() >= count, "{} of {count} answered", found.len());
        Ok(found)
    })
    .await
}

#[tokio::test]
async fn a_writer_that_freezes_in_its_transaction_keeps_its_locks_for_seconds_only() {
    let service = Service::start().await;
    let pool = service.writers().await;
    let place = Place { topic: "frozen".into(), partition: 99 };
    store::cursor(&pool, &place, 5).await.unwrap();
    let mut frozen = pool.begin().await.unwrap();
    let moved = "UPDATE stock_cursor SET next_offset = next_offset + 1 WHERE topic = 'frozen'";
    sqlx::query(moved).execute(&mut *frozen).await.unwrap();

    // Long before the server ends that transaction.
    let asked = tokio::time::timeout(Duration::from_secs(3), store::cursor(&pool, &place, 0));
    assert_eq!(asked.await.expect("whoever asks does not wait for it").unwrap(), 5);
    let next = sqlx::query(moved).execute(&pool);
    let next = tokio::time::timeout(PATIENCE, next).await.expect("the next writer gets its turn").unwrap();
    assert_eq!(next.rows_affected(), 1);
    let woken = sqlx::query(moved).execute(&mut *frozen).await.unwrap_err();
    assert!(common::pg::is_passing(&woken), "{woken}");
    assert_eq!(store::cursor(&pool, &place, 0).await.unwrap(), 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_reserves_for_ten_units_hold_exactly_ten_whatever_comes_twice() {
    let service = Service::start().await;
    let product = service.product(10).await;
    let wishes: Vec<_> = (0..50).map(|user| service.reserve(product, OrderId::new(), 1_000 + user)).collect();
    let twice: Vec<_> = wishes.iter().flat_map(|wish| [wish.clone(), wish.clone()]).collect();
    service.send(&twice).await;
    let answers = answers(&service, product, 100).await;
    assert_eq!(answers.len(), 100);
    let held: HashSet<_> = answers
        .iter()
        .filter(|(_, result, _)| *result == Outcome::Reserved)
        .map(|(order, ..)| *order)
        .collect();
    let first: HashSet<_> = answers.iter().take(20).map(|(order, ..)| *order).collect();
    assert_eq!(held, first);
    assert!(answers[20..].iter().all(|(_, _, reason)| *reason == Some(Refusal::SoldOut)));
    service.counts_are(product, [10, 0, 10, 0]).await;
    let held = "SELECT count(*) FROM reservation WHERE state = 'held'";
    assert_eq!(service.number(held).await, 10);
    let ledger = "SELECT sum(available_delta)::bigint FROM stock_ledger";
    assert_eq!(service.number(ledger).await, 0);
    let summary = service.anyone().get(&format!("/api/products/{product}/summary")).await.unwrap();
    assert_eq!(summary.expect(200).body["state"], "soldOut");

    let orders: Vec<_> = first.into_iter().collect();
    let user = |order: OrderId| {
        wishes.iter().find_map(|wish| match wish {
            StockCommand::Reserve(wish) if wish.order_id == order => Some(wish.user_id.0),
            _ => None,
        })
    };
    let settle = |order: OrderId| service.settle(product, order, user(order).unwrap());
    let mut commands: Vec<_> =
        orders[..6].iter().map(|order| StockCommand::Confirm(settle(*order))).collect();
    commands.extend(orders[6..].iter().map(|order| StockCommand::Release(settle(*order))));
    commands.push(StockCommand::Restock(settle(orders[0])));
    commands.extend(commands.clone());
    service.send(&commands).await;
    service.counts_are(product, [10, 5, 0, 5]).await;
    let metrics = service.anyone().get("/metrics").await.unwrap().expect(200).body;
    let metrics = metrics.as_str().unwrap();
    for line in [
        "astraphe_product_decisions_total{result=\"reserved\"} 20",
        "astraphe_product_decisions_total{result=\"soldOut\"} 80",
        &format!("astraphe_product_stock_sold{{product=\"{product}\"}} 5"),
    ] {
        assert!(metrics.contains(line), "{line} is missing in {metrics}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn poisonous_records_go_to_the_dead_letters_and_the_rest_flows_on() {
    let service = Service::start().await;
    let product = service.product(10).await;
    let (first, second) = (OrderId::new(), OrderId::new());
    let record = |command: &StockCommand| serde_json::to_vec(command).unwrap();
    let key = product.to_string();
    // A reason that PostgreSQL cannot hold: only the database can tell.
    let unholdable = Settle { reason: "a\0b".into(), ..service.settle(product, first, 1) };
    let foreign = service.reserve(ProductId(product.0 + 1), OrderId::new(), 1);
    // As large as the broker takes one, and its reason repeats it.
    let large = format!(r#"{{"type":"{}"}}"#, "x".repeat(1_048_000)).into_bytes();
    let records = vec![
        (key.clone(), record(&service.reserve(product, first, 1))),
        (key.clone(), b"not JSON \0".to_vec()),
        (key.clone(), br#"{"type":"stock.reserve.v9"}"#.to_vec()),
        (key.clone(), record(&StockCommand::Release(unholdable))),
        (key.clone(), record(&foreign)),
        (key.clone(), large),
        (key.clone(), record(&service.reserve(product, second, 2))),
    ];
    service.send_raw(records.clone()).await;
    let answers = answers(&service, product, 2).await;
    assert!(answers.iter().all(|(_, result, _)| *result == Outcome::Reserved));
    assert_eq!([answers[0].0, answers[1].0], [first, second]);
    service.counts_are(product, [10, 8, 2, 0]).await;
    let dead = eventually(PATIENCE, async || {
        let dead = service.dead_letters()?;
        anyhow::ensure!(dead.len() == 5, "{} dead letters", dead.len());
        Ok(dead)
    })
    .await;
    let expected: Vec<_> = records[1..6].iter().map(|(_, body)| body.clone()).collect();
    assert_eq!(dead, expected);
    assert_eq!(service.number("SELECT count(*) FROM dead_letter").await, 5);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_whose_cursor_was_moved_loads_again_and_skips_what_is_decided() {
    let service = Service::start().await;
    let product = service.product(10).await;
    // Another writer decided the next record.
    sqlx::query("UPDATE stock_cursor SET next_offset = next_offset + 1 WHERE next_offset > 0")
        .execute(&service.pg)
        .await
        .unwrap();
    let orders: Vec<_> = (0..3).map(|_| OrderId::new()).collect();
    let wish = |n: usize| service.reserve(product, orders[n], i64::try_from(n).unwrap());
    service.send(&[wish(0), wish(1)]).await;
    let found = answers(&service, product, 1).await;
    assert_eq!(found[0].0, orders[1]);
    service.counts_are(product, [10, 9, 1, 0]).await;

    // The tables are set back to where they stood before the last decision.
    let mut tx = service.pg.begin().await.unwrap();
    for statement in [
        "DELETE FROM reservation",
        "UPDATE stock SET available = 10, reserved = 0",
        "UPDATE stock_cursor SET next_offset = next_offset - 1 WHERE next_offset > 0",
    ] {
        sqlx::query(statement).execute(&mut *tx).await.unwrap();
    }
    tx.commit().await.unwrap();
    service.send(&[wish(2)]).await;
    service.counts_are(product, [10, 8, 2, 0]).await;
    let held = "SELECT count(DISTINCT order_id) FROM reservation WHERE state = 'held'";
    assert_eq!(service.number(held).await, 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_writer_that_was_frozen_writes_nothing_when_it_wakes() {
    let service = Service::start().await;
    let (clock, stop) = (service.clock.clone(), Stop::new());
    let (kafka, metrics) = (service.kafka().clone(), Metrics::register(&Registry::new()).unwrap());
    let (pool, journal) = (service.pg.clone(), service.pg.clone());
    let stage = Stage { pool, journal, kafka, clock, metrics, nudge: Nudge::default(), stop };
    // A partition that the service itself does not read.
    let (product, place) = (ProductId(77), Place { topic: "frozen".into(), partition: 99 });
    let open = async || {
        let cursor = store::cursor(&stage.pool, &place, 0).await.unwrap();
        let (lane, handle) = Lane::new(stage.clone(), place.clone(), cursor);
        stage.stop.spawn("lane", lane.run());
        handle
    };
    let orders: Vec<_> = (0..3).map(|_| OrderId::new()).collect();
    let reserve = |n: usize| service.reserve(product, orders[n], i64::try_from(n).unwrap());
    let now = service.clock.now();
    let (opens_at, closes_at) = (now - PATIENCE, now + PATIENCE);
    let (version, price_version, purchase_limit, stock, by) = (1, 1, 1, 1, UserId(11));
    let product_id = product;
    let terms = Terms { product_id, version, price_version, purchase_limit, opens_at, closes_at, stock, by };
    let release = StockCommand::Release(service.settle(product, orders[0], 0));
    let log = [StockCommand::Terms(terms), reserve(0), reserve(1), release, reserve(2)];
    let read = async |lane: &Handle, offsets: Range<usize>| {
        for offset in offsets {
            let (command, key) = (Ok(log[offset].clone()), product.to_string());
            let offset = i64::try_from(offset).unwrap();
            lane.records.send(Arrived { offset, command, key, bytes: Vec::new() }).await.unwrap();
        }
    };

    let frozen = open().await;
    read(&frozen, 0..2).await;
    service.counts_are(product, [1, 0, 1, 0]).await;
    let next = open().await;
    read(&next, 2..4).await;
    service.counts_are(product, [1, 1, 0, 0]).await;
    // It goes on with what it had read before.
    read(&frozen, 2..5).await;
    service.counts_are(product, [1, 0, 1, 0]).await;
    let told: Vec<_> = answers(&service, product, 3).await.into_iter().map(|(order, ..)| order).collect();
    assert_eq!(told, orders, "each is answered once");
    stage.stop.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_that_are_not_as_remembered_are_loaded_again() {
    let service = Service::start().await;
    let product = service.product(10).await;
    sqlx::query("UPDATE stock SET available = 3, total = 3").execute(&service.pg).await.unwrap();
    let wishes: Vec<_> = (0..5).map(|user| service.reserve(product, OrderId::new(), user)).collect();
    service.send(&wishes).await;
    service.counts_are(product, [3, 0, 3, 0]).await;
    let held = answers(&service, product, 5).await;
    assert_eq!(held.iter().filter(|(_, result, _)| *result == Outcome::Reserved).count(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_database_is_away_commands_wait_and_none_is_lost() {
    let service = Service::start().await;
    let product = service.product(40).await;
    let wishes: Vec<_> = (0..60).map(|user| service.reserve(product, OrderId::new(), user)).collect();
    service.send(&wishes[..20]).await;
    service.wire.cut();
    service.send(&wishes[20..40]).await;
    let page = format!("/api/products/{product}/summary");
    service.anyone().get(&page).await.unwrap().problem(503, "database-unavailable");
    service.wire.restore();
    service.send(&wishes[40..]).await;
    service.counts_are(product, [40, 0, 40, 0]).await;
    let found = answers(&service, product, 60).await;
    let expected: Vec<_> = wishes
        .iter()
        .map(|wish| match wish {
            StockCommand::Reserve(wish) => wish.order_id,
            _ => unreachable!("only reserves were made"),
        })
        .collect();
    // The relay may send a record again whose acknowledgement it could not note: each answer is the same.
    let mut seen = HashSet::new();
    let once: Vec<_> = found.into_iter().filter(|(order, ..)| seen.insert(*order)).collect();
    assert_eq!(once.iter().map(|(order, ..)| *order).collect::<Vec<_>>(), expected);
    let held = once.iter().filter(|(_, result, _)| *result == Outcome::Reserved).count();
    assert_eq!(held, 40);
    assert_eq!(service.anyone().get(&page).await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_restart_everything_decided_is_known() {
    let mut service = Service::start().await;
    let product = service.product(3).await;
    let (bought, barred) = (OrderId::new(), OrderId::new());
    let buy = service.reserve(product, bought, 1);
    service.send(&[buy.clone(), StockCommand::Confirm(service.settle(product, bought, 1))]).await;
    service.send(&[StockCommand::Release(service.settle(product, barred, 2))]).await;
    service.counts_are(product, [3, 2, 0, 1]).await;
    service.stop_first().await;
    service.send(&[buy.clone(), service.reserve(product, barred, 2)]).await;
    service.add_replica().await;
    let found = answers(&service, product, 3).await;
    assert_eq!(found[1], (bought, Outcome::Reserved, None));
    assert_eq!(found[2], (barred, Outcome::Rejected, Some(Refusal::SoldOut)));
    service.counts_are(product, [3, 2, 0, 1]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_one_of_two_replicas_goes_the_other_takes_its_partitions() {
    let mut service = Service::start().await;
    service.add_replica().await;
    let mut products = Vec::new();
    for _ in 0..8 {
        products.push(service.product(5).await);
    }
    let rush = |product: ProductId| (0..10).map(move |user| (product, user));
    let wishes: Vec<_> = products.iter().flat_map(|product| rush(*product)).collect();
    let wishes: Vec<_> =
        wishes.into_iter().map(|(product, user)| service.reserve(product, OrderId::new(), user)).collect();
    let (before, after) = wishes.split_at(wishes.len() / 2);
    service.send(before).await;
    service.stop_first().await;
    service.send(after).await;
    for product in products {
        service.counts_are(product, [5, 0, 5, 0]).await;
        assert_eq!(answers(&service, product, 10).await.len(), 10);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_seller_adds_and_takes_units_through_the_log() {
    let service = Service::start().await;
    let product = service.product(5).await;
    let path = format!("/api/products/{product}/stock");
    let seller = service.seller();
    for (delta, field) in [(json!(0), "delta"), (json!("1"), "delta"), (json!(10_000_001), "delta")] {
        let problem = seller.post(&path, &json!({"delta": delta})).await.unwrap();
        assert_eq!(problem.problem(400, "validation-failed")["errors"][0]["field"], field);
    }
    let keyed = seller.key("more");
    let first = keyed.post(&path, &json!({"delta": 7})).await.unwrap().expect(202).body;
    let again = keyed.post(&path, &json!({"delta": 7})).await.unwrap().expect(202).body;
    assert_eq!(first, again);
    keyed.post(&path, &json!({"delta": 8})).await.unwrap().problem(422, "idempotency-key-reused");
    service.counts_are(product, [12, 12, 0, 0]).await;

    let admin = service.login(UserId(1), Role::Admin);
    assert_eq!(admin.post(&path, &json!({"delta": -13})).await.unwrap().status, 202);
    assert_eq!(admin.post(&path, &json!({"delta": -2})).await.unwrap().status, 202);
    service.counts_are(product, [10, 10, 0, 0]).await;
    assert_eq!(service.number("SELECT count(*) FROM stock_adjustment WHERE refused").await, 1);
    assert_eq!(service.number("SELECT count(*) FROM stock_adjustment").await, 3);
    let page = seller.get(&format!("/api/products/{product}")).await.unwrap().expect(200).body;
    assert_eq!(page["stock"], 10);
}

#[tokio::test]
async fn a_copy_that_is_cut_is_not_taken_for_the_whole() {
    let url = format!("{}/postgres", testkit::servers().postgres);
    for cut in
        ["1 / (9000 - n)", "CASE n WHEN 9000 THEN pg_terminate_backend(pg_backend_pid())::int ELSE n END"]
    {
        let mut db = PgConnection::connect(&url).await.unwrap();
        let statement =
            format!("COPY (SELECT {cut} FROM generate_series(1, 100000) AS n) TO STDOUT (FORMAT binary)");
        let mut rows = 0;
        let copied = copy::rows(&mut db, &statement, |row| {
            rows += 1;
            row.fixed::<4>().map(drop)
        })
        .await;
        assert!(copied.is_err() && rows > 0, "{copied:?} after {rows} rows");
    }
}
