use std::time::Duration;

use common::wire::id::OrderId;
use common::wire::order::{OrderState, OrderView};
use common::wire::token::Role;
use serde_json::json;
use testkit::client::Http;
use testkit::events::Events;

use crate::{SOON, Shopper, TestOrder};

async fn open(http: &Http, order: OrderId) -> Events {
    Events::open(http, &format!("/api/orders/{order}/live")).await
}

/// The next event's id, and the order that it tells.
async fn order_of(stream: &mut Events) -> (String, OrderView) {
    let told = stream.next().await.unwrap();
    assert_eq!(told.event, "order");
    (told.id.clone(), told.data())
}

fn after(shopper: &Shopper<'_>, id: &str) -> Http {
    shopper.http.with("last-event-id", id)
}

#[tokio::test]
async fn every_transition_is_told_as_it_happens() {
    let test = TestOrder::start().await;
    let (shopper, order) = test.placed(7).await;
    let mut stream = open(&shopper.http, order).await;
    let (id, view) = order_of(&mut stream).await;
    assert_eq!((id.as_str(), view.state), ("1", OrderState::Received));
    test.decide(order, 1, None).await;
    let (id, view) = order_of(&mut stream).await;
    assert_eq!((id.as_str(), view.state), ("2", OrderState::Reserved));
    assert_eq!(view, shopper.show(order).await);
    shopper.http.key("c").post(&format!("/api/orders/{order}/cancel"), &json!({})).await.unwrap().expect(200);
    assert_eq!(order_of(&mut stream).await.1.state, OrderState::Cancelled);

    // Who has the last one is told nothing until there is another; who has an older one is told at once.
    let mut known = open(&after(&shopper, "3"), order).await;
    assert!(known.is_silent(Duration::from_millis(400)).await);
    let (id, _) = order_of(&mut open(&after(&shopper, "2"), order).await).await;
    assert_eq!(id, "3");
}

#[tokio::test]
async fn what_another_replica_changes_is_told_too() {
    let test = TestOrder::start().await;
    let (shopper, order) = test.placed(7).await;
    let mut stream = open(&shopper.http, order).await;
    order_of(&mut stream).await;
    // As another replica does it: this process hears nothing of it.
    sqlx::query("UPDATE orders SET state = 'failed', seq = 2, reason = 'noDecision' WHERE order_id = $1")
        .bind(order.0)
        .execute(&test.pg)
        .await
        .unwrap();
    let (id, view) = order_of(&mut stream).await;
    assert_eq!(
        (id.as_str(), view.state, view.reason.as_deref()),
        ("2", OrderState::Failed, Some("noDecision"))
    );
}

#[tokio::test]
async fn a_stream_is_its_owners_and_ends_in_an_orderly_way() {
    let test = TestOrder::start().await;
    let (shopper, order) = test.placed(7).await;
    let path = format!("/api/orders/{order}/live");
    test.shopper(8).http.get(&path).await.unwrap().problem(403, "forbidden");
    test.http.get(&path).await.unwrap().problem(401, "login-required");
    let unknown = format!("/api/orders/{}/live", OrderId::new());
    shopper.http.get(&unknown).await.unwrap().problem(404, "unknown-order");
    for bad in ["x", "-1", "0", "1.5", "99999999999999999999"] {
        after(&shopper, bad).get(&path).await.unwrap().problem(400, "invalid-last-event-id");
    }
    let mut admin = open(&test.caller(1, Role::Admin).http, order).await;
    order_of(&mut admin).await;

    let mut streams = Vec::new();
    for _ in 0..10 {
        streams.push(open(&shopper.http, order).await);
    }
    shopper.http.get(&path).await.unwrap().problem(429, "too-many-streams");
    streams.clear();
    // Whoever closed one may open another.
    testkit::eventually(SOON, async || {
        let request = shopper.http.request(reqwest::Method::GET, &path).send().await?;
        anyhow::ensure!(request.status() == 200, "{}", request.status());
        Ok(())
    })
    .await;

    test.stop.stop();
    assert_eq!(admin.next().await.unwrap().event, "reconnect");
    assert!(admin.next().await.is_none());
}
