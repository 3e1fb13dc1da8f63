//! After the last unit went: orders are refused where they are placed, and asked about again as soon as units may be back.

use std::time::Duration;

use common::wire::event::{Decision, Outcome, Refusal};
use common::wire::id::OrderId;
use common::wire::order::OrderState;

use crate::{Shopper, TestOrder, order_of};

fn refusal(order: OrderId) -> Decision {
    Decision { order_id: order, attempt: 1, result: Outcome::Rejected, reason: Some(Refusal::SoldOut) }
}

/// The stock has nothing left for an order that is placed now.
async fn sell_out(test: &TestOrder, user: i64) {
    let order = test.shopper(user).with_pass(1, 1).place("k", &[(1, 1)]).await;
    test.tell_stock(1, 0, vec![refusal(order)]).await;
    test.reaches(order, OrderState::Rejected).await;
}

async fn state(test: &TestOrder, order: OrderId) -> OrderState {
    let state = sqlx::query_scalar("SELECT state FROM orders WHERE order_id = $1").bind(order.0);
    state.fetch_one(&test.pg).await.unwrap()
}

async fn asks(test: &TestOrder, shopper: &Shopper<'_>, key: &str) -> bool {
    let order = shopper.place(key, &[(1, 1)]).await;
    let commands = test.commands(order).await;
    assert_eq!(commands.is_empty(), state(test, order).await == OrderState::Rejected);
    !commands.is_empty()
}

#[tokio::test]
async fn an_order_for_what_is_sold_out_is_placed_and_refused_at_once() {
    let test = TestOrder::start().await;
    let (owner, held) = test.reserved(7).await;
    sell_out(&test, 8).await;

    let shopper = test.shopper(9).with_pass(1, 5);
    let post =
        async |key: &str| shopper.http.key(key).post("/api/orders", &order_of(&[(1, 1)])).await.unwrap();
    let first = post("k").await.expect(202);
    assert_eq!(first.body["state"], "received", "as every order");
    let order: OrderId = first.body["orderId"].as_str().unwrap().parse().unwrap();
    let view = shopper.show(order).await;
    assert_eq!((view.state, view.reason.as_deref()), (OrderState::Rejected, Some("soldOut")));
    assert_eq!(test.history(order).await, [(1, OrderState::Received), (2, OrderState::Rejected)]);
    assert!(test.commands(order).await.is_empty(), "the stock is not asked");
    let rows: Vec<(String, String, String)> =
        sqlx::query_as(r#"SELECT "to", cause, by FROM order_transition WHERE order_id = $1 ORDER BY seq"#)
            .bind(order.0)
            .fetch_all(&test.pg)
            .await
            .unwrap();
    let row = |to: &str, cause: &str, by: &str| (to.to_owned(), cause.to_owned(), by.to_owned());
    assert_eq!(rows, [row("received", "placed", "9"), row("rejected", "stock-refused", "system")]);

    assert_eq!(post("k").await.expect(202).body, first.body, "a repeat is the same order");
    assert_ne!(post("other").await.expect(202).body["orderId"], first.body["orderId"], "the ticket is free");
    let used = owner.http.key("again").post("/api/orders", &order_of(&[(1, 1)])).await.unwrap();
    used.problem(409, "ticket-used");
    assert_eq!(test.rows("order_ticket").await, 1, "of the order that holds its units");
    assert_eq!(state(&test, held).await, OrderState::Reserved);
}

#[tokio::test]
async fn the_stock_is_asked_again_when_its_word_is_old() {
    let test = TestOrder::start().await;
    test.product(1).await;
    sell_out(&test, 8).await;
    let shopper = test.shopper(9).with_pass(1, 1);
    assert!(!asks(&test, &shopper, "at-once").await);
    test.clock.advance(Duration::from_millis(500));
    assert!(asks(&test, &shopper, "later").await);
}

#[tokio::test]
async fn the_stock_is_asked_again_when_units_come_back_from_here_or_from_elsewhere() {
    let test = TestOrder::start().await;
    let (owner, held) = test.reserved(7).await;
    sell_out(&test, 8).await;
    let cancelled = owner
        .http
        .key("c")
        .post(&format!("/api/orders/{held}/cancel"), &serde_json::json!({}))
        .await
        .unwrap();
    cancelled.expect(200);
    assert!(asks(&test, &test.shopper(9).with_pass(1, 1), "k").await, "it follows the unit in the log");

    test.clock.advance(Duration::from_millis(1));
    sell_out(&test, 10).await;
    // The seller's units.
    test.tell_stock(1, 3, Vec::new()).await;
    let shopper = test.shopper(11).with_pass(1, 1);
    testkit::eventually(crate::SOON, async || {
        anyhow::ensure!(asks(&test, &shopper, &OrderId::new().to_string()).await, "still refused");
        Ok(())
    })
    .await;
}
