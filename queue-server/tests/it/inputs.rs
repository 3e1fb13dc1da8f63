//! What rooms learn from Kafka and from the product service, and what happens without Redis.

use std::sync::atomic::Ordering;

use common::clock::Clock;
use common::config::Secret;
use common::kafka::producer::{Outgoing, Producer};
use common::wire::event::{Event, OrderChanged, OrderLine, StockDecided};
use common::wire::id::{OrderId, Ticket, UserId};
use common::wire::order::OrderState;
use common::wire::queue::StepKind;
use common::wire::token::Jwks;
use futures::future::join_all;
use serde_json::json;
use testkit::wire::Wire;

use crate::shop::{PRODUCT, ROOM, SOON, Shop, sale, sale_of};

/// Publishes as the owners of the topics do.
pub(crate) async fn publish<T: Event>(shop: &Shop, events: &[T]) {
    let kafka = &shop.config.kafka;
    let records: Vec<Outgoing> = events
        .iter()
        .map(|event| Outgoing {
            topic: kafka.topic(T::TOPIC),
            key: event.key(),
            headers: vec![("ce_type".into(), event.kind().into())],
            body: serde_json::to_vec(event).unwrap(),
        })
        .collect();
    Producer::new(kafka).unwrap().send(&records).await.unwrap();
}

pub(crate) async fn ready(shop: &Shop) {
    testkit::eventually(SOON * 3, async || {
        let answer = shop.anybody().get("/readyz").await?;
        anyhow::ensure!(answer.status == 200, "{}", answer.body);
        Ok(())
    })
    .await;
}

fn decided(last: i64, available: i64, reserved: i64) -> StockDecided {
    let (product_id, total) = (PRODUCT, 5);
    StockDecided { product_id, first: last, last, total, available, reserved, sold: 0, decisions: Vec::new() }
}

fn changed(order_id: OrderId, seq: i64, state: OrderState, reason: Option<&str>) -> OrderChanged {
    OrderChanged {
        order_id,
        seq,
        user_id: UserId(1),
        state,
        reason: reason.map(Into::into),
        lines: vec![OrderLine { product_id: PRODUCT, quantity: 1, tkt: Ticket(1) }],
        at: Clock::system().now(),
    }
}

#[tokio::test]
async fn products_decisions_and_orders_arrive_by_their_topics() {
    let shop = Shop::listening().await;
    ready(&shop).await;
    publish(&shop, &[decided(3, 5, 0)]).await;
    publish(&shop, &[sale_of(2)]).await;
    testkit::eventually(SOON, async || {
        let room = shop.store.room(PRODUCT).await?;
        anyhow::ensure!(room.is_some_and(|room| room.available == 5));
        Ok(())
    })
    .await;
    assert_eq!(shop.products.asked.load(Ordering::SeqCst), 0);
    assert_eq!(shop.join(1).await.body["state"], "admitted");

    let order = OrderId::new();
    publish(&shop, &[changed(order, 1, OrderState::Received, None)]).await;
    publish(&shop, &[changed(order, 2, OrderState::Reserved, None)]).await;
    shop.until(1, "completed").await;
    publish(&shop, &[changed(order, 3, OrderState::Expired, None)]).await;
    shop.until(1, "left").await;

    // All of it once more, as after a crash.
    publish(&shop, &[sale_of(2)]).await;
    publish(&shop, &[decided(3, 5, 0), decided(4, 0, 0)]).await;
    publish(&shop, &[OrderState::Reserved, OrderState::Expired].map(|state| changed(order, 2, state, None)))
        .await;
    testkit::eventually(SOON, async || {
        anyhow::ensure!(shop.steps(StepKind::SoldOut).await.len() == 1);
        Ok(())
    })
    .await;
    assert_eq!(shop.place(1).await.body["state"], "left");
}

#[tokio::test]
async fn an_order_rejected_for_another_reason_changes_nothing() {
    let shop = Shop::listening().await;
    ready(&shop).await;
    let mut sale = sale();
    sale.queue.capacity = Some(1);
    shop.sell(&sale, 5).await;
    shop.join(1).await;
    shop.join(2).await;
    let order = OrderId::new();
    publish(&shop, &[changed(order, 2, OrderState::Rejected, Some("priceChanged"))]).await;
    publish(&shop, &[changed(order, 3, OrderState::Rejected, Some("soldOut"))]).await;
    shop.until(2, "ready").await;
    assert_eq!(shop.place(1).await.body["state"], "admitted");
}

#[tokio::test]
async fn a_product_that_is_not_known_yet_is_asked_for_once() {
    let shop = Shop::open().await;
    shop.products.known.lock().unwrap().insert(PRODUCT.0, sale());
    let crowd = (1..=20).map(async |user| shop.join(user).await.body["state"].clone());
    assert!(join_all(crowd).await.iter().all(|state| *state == "waiting"));
    assert_eq!(shop.products.asked.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_unknown_product_is_asked_for_once_a_second_and_known_soon_after_its_registration() {
    let shop = Shop::open().await;
    for user in 1..=20 {
        shop.shopper(user).post(ROOM, &json!({})).await.unwrap().problem(404, "unknown-product");
        shop.shopper(user).get(ROOM).await.unwrap().problem(404, "unknown-product");
        shop.shopper(user).delete(ROOM).await.unwrap().problem(404, "unknown-product");
    }
    let asked = shop.products.asked.load(Ordering::SeqCst);
    assert!(asked <= 3, "asked {asked} times");
    assert!(shop.store.rooms().await.unwrap().is_empty());
    shop.manager()
        .put(&format!("{ROOM}/schedule"), &json!({"count": 1, "intervalS": 1}))
        .await
        .unwrap()
        .problem(404, "unknown-product");
    shop.manager()
        .post(&format!("{ROOM}/admissions"), &json!({"count": 1}))
        .await
        .unwrap()
        .problem(404, "unknown-product");
    shop.shopper(1).get("/api/queue/-7").await.unwrap().problem(404, "unknown-product");
    shop.shopper(1).get("/api/queue/seven").await.unwrap().problem(404, "no-such-route");
    shop.products.known.lock().unwrap().insert(PRODUCT.0, sale());
    testkit::eventually(SOON, async || {
        anyhow::ensure!(shop.shopper(1).post(ROOM, &json!({})).await?.status == 200);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn without_redis_the_room_says_so_and_comes_back_by_itself() {
    let servers = testkit::servers();
    let wire = Wire::to(servers.redis.trim_start_matches("redis://")).await.unwrap();
    let address = wire.address;
    let shop = Shop::with(|config| {
        let database = config.redis.redis_url.0.rsplit('/').next().unwrap().to_owned();
        config.redis.redis_url = Secret(format!("redis://{address}/{database}"));
    })
    .await;
    shop.sell(&sale(), 5).await;
    shop.join(1).await;
    wire.cut();
    let answer = shop.shopper(1).get(ROOM).await.unwrap();
    assert!(answer.headers.contains_key("retry-after"));
    answer.problem(503, "room-unavailable");
    wire.restore();
    shop.until(1, "admitted").await;
}

#[tokio::test]
async fn the_keys_of_access_tokens_are_published() {
    let shop = Shop::open().await;
    let keys: Jwks = shop.anybody().get("/.well-known/jwks.json").await.unwrap().expect(200).body();
    assert_eq!(keys.keys.len(), 1);
    assert_eq!(keys.keys[0].alg, "EdDSA");
}

#[tokio::test]
async fn a_room_that_hears_nothing_yet_serves_but_is_not_ready() {
    let shop = Shop::open().await;
    shop.sell(&sale(), 5).await;
    assert_eq!(shop.join(1).await.body["state"], "admitted");
    assert_eq!(shop.anybody().get("/livez").await.unwrap().status, 200);
    assert_eq!(shop.anybody().get("/readyz").await.unwrap().status, 503);
}

#[tokio::test]
async fn paths_and_methods_that_do_not_exist_are_problems() {
    let shop = Shop::open().await;
    shop.shopper(1).get("/api/queue/7/token").await.unwrap().problem(405, "method-not-allowed");
    shop.shopper(1).get("/api/queue/7/standing").await.unwrap().problem(404, "no-such-route");
}
