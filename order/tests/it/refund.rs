use std::time::Duration;

use common::wire::id::OrderId;
use common::wire::order::{OrderState, OrderView, RefundView};
use common::wire::token::Role;
use serde_json::{Value, json};
use testkit::client::Answer;

use crate::bank::Bank;
use crate::{Shopper, TestOrder};

impl Shopper<'_> {
    async fn refund(&self, order: OrderId, key: &str, wish: &Value) -> Answer {
        self.http.key(key).post(&format!("/api/orders/{order}/refunds"), wish).await.unwrap()
    }

    async fn cancel(&self, order: OrderId, key: &str) -> Answer {
        self.http.key(key).post(&format!("/api/orders/{order}/cancel"), &json!({})).await.unwrap()
    }
}

async fn state_of(test: &TestOrder, table: &str) -> Vec<String> {
    let query = sqlx::AssertSqlSafe(format!("SELECT state FROM {table} ORDER BY created_at"));
    sqlx::query_scalar(query).fetch_all(&test.pg).await.unwrap()
}

#[tokio::test]
async fn cancelling_a_paid_order_gives_money_and_units_back_once() {
    let (bank, test) = Bank::start().await;
    let (shopper, order) = bank.paid(&test).await;
    let cancelled = shopper.cancel(order, "c").await.expect(200);
    let view: OrderView = serde_json::from_value(cancelled.body.clone()).unwrap();
    assert_eq!(
        (view.order_id, view.state, view.reason.as_deref()),
        (order, OrderState::Refunded, Some("cancelled"))
    );
    assert_eq!(bank.balance(order).await, (0, 1));
    assert_eq!(test.commands(order).await, ["stock.reserve.v1", "stock.confirm.v1", "stock.restock.v1"]);
    let states: Vec<_> = test.history(order).await.into_iter().map(|(_, state)| state).skip(3).collect();
    assert_eq!(states, [OrderState::Paid, OrderState::RefundPending, OrderState::Refunded]);

    let again = shopper.cancel(order, "c").await.expect(200);
    assert_eq!(again.headers["idempotent-replayed"], "true");
    assert_eq!(again.body, cancelled.body);
    shopper.cancel(order, "d").await.problem(409, "order-not-cancellable");
    shopper.refund(order, "r", &json!({"reason": "more"})).await.problem(409, "order-not-refundable");
    assert_eq!(state_of(&test, "payment_attempt").await, ["cancelled"]);
    assert_eq!(bank.balance(order).await, (0, 1));
    let by: Vec<String> = sqlx::query_scalar("SELECT by FROM order_transition WHERE seq > 3 ORDER BY seq")
        .fetch_all(&test.pg)
        .await
        .unwrap();
    assert_eq!(by, ["7", "7", "7"]);
}

#[tokio::test]
async fn an_admin_gives_back_parts_and_the_buyer_the_rest() {
    let (bank, test) = Bank::start().await;
    let (shopper, order) = bank.paid(&test).await;
    let admin = test.caller(1, Role::Admin);
    let part = |amount: i64| json!({"amount": amount, "reason": "scratched"});
    shopper.refund(order, "r", &part(999)).await.problem(403, "whole-refund-only");
    admin.refund(order, "r", &part(1_001)).await.problem(422, "refund-too-large");
    assert_eq!(shopper.show(order).await.state, OrderState::Paid);

    let answer: RefundView = admin.refund(order, "r", &part(300)).await.expect(200).body();
    assert_eq!((answer.order_id, answer.state, answer.amount.0), (order, OrderState::PartiallyRefunded, 300));
    admin.refund(order, "r", &part(300)).await.expect(200);
    admin.refund(order, "r", &part(301)).await.problem(422, "idempotency-key-reused");
    assert_eq!(bank.balance(order).await, (700, 1));
    admin.refund(order, "s", &part(701)).await.problem(422, "refund-too-large");
    assert_eq!(test.commands(order).await.len(), 2, "nothing is sold again for a part of its price");

    let rest: RefundView = shopper.refund(order, "r", &json!({"reason": "변심"})).await.expect(200).body();
    assert_eq!((rest.state, rest.amount.0), (OrderState::Refunded, 700));
    assert_eq!(bank.balance(order).await, (0, 2));
    assert_eq!(test.commands(order).await.last(), Some(&"stock.restock.v1"));
    assert_eq!(state_of(&test, "refund").await, ["done", "done"]);
}

#[tokio::test]
async fn a_shop_may_keep_units_that_came_back() {
    let test = TestOrder::start_with(|config| config.restock = false).await;
    let (shopper, order) = test.paid(7, "approve-1").await;
    shopper.cancel(order, "c").await.expect(200);
    assert_eq!(test.commands(order).await, ["stock.reserve.v1", "stock.confirm.v1"]);
}

#[tokio::test]
async fn bad_refunds_change_nothing() {
    let (bank, test) = Bank::start().await;
    let (shopper, order) = test.reserved(7).await;
    shopper.refund(order, "r", &json!({"reason": "x"})).await.problem(409, "order-not-refundable");
    let payment_key = bank.agreed(order).await;
    shopper.pay(order, "p", &payment_key).await.expect(200);
    let bodies = [
        (json!({}), "reason"),
        (json!({"reason": ""}), "reason"),
        (json!({"reason": "x".repeat(201)}), "reason"),
        (json!({"reason": "\0"}), "reason"),
        (json!({"reason": "x", "amount": 0}), "amount"),
        (json!({"reason": "x", "amount": -1}), "amount"),
        (json!({"reason": "x", "amount": 1.5}), "amount"),
        (json!({"reason": "x", "amount": "1000"}), "amount"),
        (json!({"reason": "x", "state": "refunded"}), "state"),
    ];
    for (body, field) in bodies {
        let problem = shopper.refund(order, "r", &body).await.problem(400, "validation-failed");
        assert!(
            problem["errors"][0]["field"].as_str().unwrap().contains(field) || field == "reason",
            "{problem}"
        );
    }
    let path = format!("/api/orders/{order}/refunds");
    let wish = json!({"reason": "x"});
    shopper.http.post(&path, &wish).await.unwrap().problem(400, "idempotency-key-required");
    test.shopper(8).refund(order, "r", &wish).await.problem(403, "forbidden");
    test.caller(2, Role::Manager).refund(order, "r", &wish).await.problem(403, "forbidden");
    shopper.refund(OrderId::new(), "r", &wish).await.problem(404, "unknown-order");
    test.http.key("r").post(&path, &wish).await.unwrap().problem(401, "login-required");
    assert_eq!((test.rows("refund").await, bank.balance(order).await), (0, (1_000, 0)));
    assert_eq!(shopper.show(order).await.state, OrderState::Paid);
    assert_eq!(test.rows("idempotency").await, 2, "the order's key and the payment's");
}

#[tokio::test]
async fn refunds_at_the_same_time_are_one() {
    let (bank, test) = Bank::start().await;
    let (shopper, order) = bank.paid(&test).await;
    let wish = json!({"reason": "x"});
    let keys: Vec<String> = (0..10).map(|number| format!("r{number}")).collect();
    let answers = futures::future::join_all(keys.iter().map(|key| shopper.refund(order, key, &wish))).await;
    assert_eq!(answers.iter().filter(|answer| answer.status == 200).count(), 1);
    for answer in answers.into_iter().filter(|answer| answer.status != 200) {
        answer.problem(409, "order-not-refundable");
    }
    assert_eq!(bank.balance(order).await, (0, 1));
}

/// The provider's answer does not come; after the trouble the money has gone back exactly once.
async fn refunded_after(trouble: impl AsyncFnOnce(&Bank), relief: impl AsyncFnOnce(&Bank)) {
    let (bank, test) = Bank::start().await;
    let (shopper, order) = bank.paid(&test).await;
    trouble(&bank).await;
    let answer = shopper.cancel(order, "c").await.expect(202);
    assert_eq!(answer.body["state"], "refundPending");
    shopper.cancel(order, "d").await.problem(409, "order-not-cancellable");
    relief(&bank).await;
    test.clock.advance(Duration::from_secs(1));
    test.reaches(order, OrderState::Refunded).await;
    assert_eq!(bank.balance(order).await, (0, 1));
    let again = shopper.cancel(order, "c").await.expect(200);
    assert_eq!(again.body["state"], "refunded");
    assert_eq!(test.commands(order).await.last(), Some(&"stock.restock.v1"));
}

#[tokio::test]
async fn a_refund_that_was_made_without_an_answer_is_found() {
    let relief = async |bank: &Bank| bank.faults(json!({})).await;
    refunded_after(async |bank| bank.faults(json!({"failPct": 100})).await, relief).await;
    refunded_after(async |bank| bank.faults(json!({"dropPct": 100})).await, relief).await;
}

#[tokio::test]
async fn a_refund_that_never_arrived_is_made() {
    refunded_after(async |bank| bank.wire.cut(), async |bank| bank.wire.restore()).await;
}

#[tokio::test]
async fn a_refund_whose_request_died_is_taken_up() {
    let (bank, test) = Bank::start().await;
    let (shopper, order) = bank.paid(&test).await;
    bank.faults(json!({"slowPct": 100, "slowMs": 60_000})).await;
    let request =
        shopper.http.key("c").request(reqwest::Method::POST, &format!("/api/orders/{order}/cancel"));
    request.timeout(Duration::from_millis(500)).send().await.expect_err("the shopper goes away");
    test.reaches(order, OrderState::RefundPending).await;
    bank.faults(json!({})).await;
    shopper.cancel(order, "c").await.problem(409, "request-in-progress");
    test.clock.advance(Duration::from_secs(15));
    test.reaches(order, OrderState::Refunded).await;
    assert_eq!(bank.balance(order).await, (0, 1));
    shopper.cancel(order, "c").await.expect(200);
}

#[tokio::test]
async fn a_refund_that_the_provider_refuses_leaves_the_order_paid() {
    let test = TestOrder::start().await;
    let (shopper, order) = test.paid(7, "keeps-1").await;
    let problem = shopper.refund(order, "r", &json!({"reason": "x"})).await.problem(409, "refund-refused");
    assert!(problem["detail"].as_str().unwrap().contains("said NOT_CANCELABLE_PAYMENT"), "{problem}");
    assert_eq!(shopper.show(order).await.state, OrderState::Paid);
    shopper.refund(order, "r", &json!({"reason": "x"})).await.problem(409, "refund-refused");
    assert_eq!(test.provider.cancels().len(), 1, "a repeat is answered from the store");
    assert_eq!(test.commands(order).await, ["stock.reserve.v1", "stock.confirm.v1"], "sold as before");
    assert_eq!(state_of(&test, "refund").await, ["refused"]);
}
