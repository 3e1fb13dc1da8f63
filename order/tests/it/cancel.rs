use common::wire::id::OrderId;
use common::wire::order::{OrderState, OrderView};
use common::wire::token::Role;
use serde_json::json;

use crate::TestOrder;

#[tokio::test]
async fn a_reserved_order_can_be_cancelled_once() {
    let test = TestOrder::start().await;
    let (shopper, order) = test.reserved(7).await;
    let path = format!("/api/orders/{order}/cancel");
    shopper.http.post(&path, &json!({})).await.unwrap().problem(400, "idempotency-key-required");
    let answer = shopper.http.key("c").post(&path, &json!({})).await.unwrap().expect(200);
    let view: OrderView = answer.body();
    assert_eq!((view.order_id, view.state, view.expires_at), (order, OrderState::Cancelled, None));
    assert_eq!(test.released(order).await.len(), 1);

    let again = shopper.http.key("c").post(&path, &json!({})).await.unwrap().expect(200);
    assert_eq!(again.headers["idempotent-replayed"], "true");
    assert_eq!(again.body::<OrderView>(), view);
    let other = shopper.http.key("d").post(&path, &json!({})).await.unwrap();
    other.problem(409, "order-not-cancellable");
    assert_eq!(test.released(order).await.len(), 1, "units go back once");
    assert_eq!(test.history(order).await.last(), Some(&(3, OrderState::Cancelled)));
    let by: String = sqlx::query_scalar("SELECT updated_by FROM orders").fetch_one(&test.pg).await.unwrap();
    assert_eq!(by, "7");
}

#[tokio::test]
async fn an_undecided_order_cannot_be_cancelled() {
    let test = TestOrder::start().await;
    let (shopper, order) = test.placed(7).await;
    let answer =
        shopper.http.key("c").post(&format!("/api/orders/{order}/cancel"), &json!({})).await.unwrap();
    answer.problem(409, "order-not-cancellable");
    assert_eq!(test.rows("idempotency").await, 1, "only the order's own key");
}

#[tokio::test]
async fn an_order_is_its_owners() {
    let test = TestOrder::start().await;
    let (shopper, order) = test.reserved(7).await;
    let (path, other) = (format!("/api/orders/{order}"), test.shopper(8));
    other.http.get(&path).await.unwrap().problem(403, "forbidden");
    let cancel = format!("{path}/cancel");
    other.http.key("c").post(&cancel, &json!({})).await.unwrap().problem(403, "forbidden");
    let pay = format!("{path}/payment");
    other.http.post(&pay, &json!({})).await.unwrap().problem(403, "forbidden");
    let wish = json!({"paymentKey": "approve-1", "amount": 1_000});
    other.http.key("p").post(&pay, &wish).await.unwrap().problem(403, "forbidden");
    test.http.get(&path).await.unwrap().problem(401, "login-required");
    assert_eq!(shopper.show(order).await.state, OrderState::Reserved);
    assert!(test.provider.confirms().is_empty());

    let manager = test.caller(2, Role::Manager);
    manager.http.get(&path).await.unwrap().problem(403, "forbidden");
    test.caller(1, Role::Admin).http.get(&path).await.unwrap().expect(200);

    let unknown = format!("/api/orders/{}", OrderId::new());
    shopper.http.get(&unknown).await.unwrap().problem(404, "unknown-order");
    let unknown_cancel = format!("{unknown}/cancel");
    shopper.http.key("c").post(&unknown_cancel, &json!({})).await.unwrap().problem(404, "unknown-order");
    shopper.http.post(&format!("{unknown}/payment"), &json!({})).await.unwrap().problem(404, "unknown-order");
    shopper.http.get("/api/orders/no-uuid").await.unwrap().problem(404, "no-such-route");
    shopper.http.delete(&path).await.unwrap().problem(405, "method-not-allowed");
}

#[tokio::test]
async fn the_list_is_paged_newest_first_and_filtered() {
    let test = TestOrder::start().await;
    test.product(1).await;
    let mut placed = Vec::new();
    for ticket in 1..=5 {
        let shopper = test.shopper(7).with_pass(1, ticket);
        placed.push(shopper.place(&format!("k{ticket}"), &[(1, 1)]).await);
    }
    let other = test.shopper(8).with_pass(1, 1);
    other.place("k", &[(1, 1)]).await;
    placed.reverse();

    let shopper = test.shopper(7);
    let mut seen: Vec<OrderId> = Vec::new();
    let mut path = "/api/orders?limit=2".to_owned();
    loop {
        let page = shopper.http.get(&path).await.unwrap().expect(200).body;
        let items: Vec<OrderView> = serde_json::from_value(page["items"].clone()).unwrap();
        assert!(items.len() <= 2);
        seen.extend(items.iter().map(|order| order.order_id));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/orders?limit=2&cursor={next}");
    }
    assert_eq!(seen, placed);

    test.decide(placed[0], 1, None).await;
    test.reaches(placed[0], OrderState::Reserved).await;
    let reserved = shopper.http.get("/api/orders?state=reserved").await.unwrap().expect(200).body;
    assert_eq!(reserved["items"].as_array().unwrap().len(), 1);
    for (name, found) in
        [("product", 5), ("PRODUCT%201", 5), ("product%202", 0), ("%25", 0), ("_", 0), ("%5C", 0)]
    {
        let page =
            shopper.http.get(&format!("/api/orders?productName={name}")).await.unwrap().expect(200).body;
        assert_eq!(page["items"].as_array().unwrap().len(), found, "{name}");
    }
    let both =
        shopper.http.get("/api/orders?productName=t%201&state=reserved").await.unwrap().expect(200).body;
    assert_eq!(both["items"].as_array().unwrap().len(), 1);
    let long = format!("productName={}", "x".repeat(101));
    shopper.http.get(&format!("/api/orders?{long}")).await.unwrap().problem(400, "validation-failed");
    for bad in
        ["productName=", "productName=%00", "limit=0", "limit=101", "limit=x", "cursor=x", "state=lost"]
    {
        shopper.http.get(&format!("/api/orders?{bad}")).await.unwrap().problem(400, "validation-failed");
    }
}
