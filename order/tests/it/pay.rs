use std::time::Duration;

use common::wire::id::OrderId;
use common::wire::order::{CheckoutView, OrderState, PaymentView};
use serde_json::{Value, json};
use testkit::client::Answer;

use crate::{HOLD_S, SOON, Shopper, TestOrder};

impl Shopper<'_> {
    pub(crate) async fn pay(&self, order: OrderId, key: &str, payment_key: &str) -> Answer {
        self.pay_amount(order, key, payment_key, 1_000).await
    }

    async fn pay_amount(&self, order: OrderId, key: &str, payment_key: &str, amount: i64) -> Answer {
        let wish = json!({"paymentKey": payment_key, "amount": amount});
        self.http.key(key).post(&format!("/api/orders/{order}/payment"), &wish).await.unwrap()
    }
}

async fn attempts(test: &TestOrder) -> Vec<String> {
    sqlx::query_scalar("SELECT state FROM payment_attempt ORDER BY number").fetch_all(&test.pg).await.unwrap()
}

#[tokio::test]
async fn the_page_is_told_what_to_pay() {
    let test = TestOrder::start().await;
    let (shopper, order) = test.placed(7).await;
    let path = format!("/api/orders/{order}/payment");
    shopper.http.post(&path, &json!({})).await.unwrap().problem(409, "order-not-payable");
    test.decide(order, 1, None).await;
    test.reaches(order, OrderState::Reserved).await;
    let view: CheckoutView = shopper.http.post(&path, &json!({})).await.unwrap().expect(200).body();
    assert_eq!((view.amount.0, view.order_name.as_str()), (1_000, "product 1"));
    assert_eq!(view.client_key, "test_ck_order");
    assert_eq!(view.success_url, format!("http://shop.test/order.html?order={order}&payment=success"));
    assert_eq!(view.customer_key.len(), 32);
    let request = shopper.http.request(reqwest::Method::POST, &path);
    let empty = testkit::client::Http::send("empty body".into(), request).await.unwrap();
    assert_eq!(empty.expect(200).body::<CheckoutView>(), view);
    test.clock.advance(Duration::from_secs(HOLD_S.into()));
    shopper.http.post(&path, &json!({})).await.unwrap().problem(409, "order-expired");
}

#[tokio::test]
async fn an_approved_payment_pays_the_order_once() {
    let test = TestOrder::start().await;
    let (shopper, order) = test.reserved(7).await;
    let paid = shopper.pay(order, "p", "approve-1").await.expect(200);
    let view: PaymentView = serde_json::from_value(paid.body.clone()).unwrap();
    assert_eq!((view.order_id, view.state), (order, OrderState::Paid));
    assert_eq!(test.provider.confirms(), [format!("confirm:{order}:1")]);
    assert_eq!(test.commands(order).await, ["stock.reserve.v1", "stock.confirm.v1"]);
    let states: Vec<_> = test.history(order).await.into_iter().map(|(_, state)| state).collect();
    let expected = [OrderState::Received, OrderState::Reserved, OrderState::Paying, OrderState::Paid];
    assert_eq!(states, expected);

    let again = shopper.pay(order, "p", "approve-1").await.expect(200);
    assert_eq!(again.headers["idempotent-replayed"], "true");
    assert_eq!(again.body, paid.body);
    shopper.pay(order, "p", "approve-2").await.problem(422, "idempotency-key-reused");
    shopper.pay(order, "q", "approve-2").await.problem(409, "order-not-payable");
    test.clock.advance(Duration::from_secs(u64::from(HOLD_S) * 2));
    assert_eq!(test.provider.confirms().len(), 1);
    // Its pass has ended meanwhile; the order has not.
    let shopper = test.shopper(7);
    assert_eq!(shopper.show(order).await.state, OrderState::Paid);
}

#[tokio::test]
async fn a_declined_payment_leaves_time_for_another() {
    let test = TestOrder::start().await;
    let (shopper, order) = test.reserved(7).await;
    let problem = shopper.pay(order, "p", "decline-1").await.problem(402, "payment-declined");
    assert!(problem["detail"].as_str().unwrap().contains("said REJECT_CARD_PAYMENT"), "{problem}");
    let view = shopper.show(order).await;
    assert_eq!((view.state, view.expires_at.is_some()), (OrderState::Reserved, true));
    shopper.pay(order, "p", "decline-1").await.problem(402, "payment-declined");
    assert_eq!(test.provider.confirms().len(), 1, "a repeat is answered from the store");
    shopper.pay(order, "q", "decline-1").await.problem(409, "payment-key-used");
    shopper.pay(order, "q", "approve-1").await.expect(200);
    assert_eq!(attempts(&test).await, ["declined", "approved"]);
    assert_eq!(test.provider.confirms()[1], format!("confirm:{order}:2"));
    assert_eq!(test.released(order).await, []);
}

#[tokio::test]
async fn what_cannot_be_paid_never_reaches_the_provider() {
    let test = TestOrder::start().await;
    let (shopper, order) = test.placed(7).await;
    shopper.pay(order, "p", "approve-1").await.problem(409, "order-not-payable");
    test.decide(order, 1, None).await;
    test.reaches(order, OrderState::Reserved).await;
    for won in [999, 1_001, 0, i64::MAX] {
        shopper.pay_amount(order, "p", "approve-1", won).await.problem(422, "amount-mismatch");
    }
    let path = format!("/api/orders/{order}/payment");
    let bodies: [(Value, &str); 6] = [
        (json!({"paymentKey": "approve-1"}), "amount"),
        (json!({"amount": 1_000}), "paymentKey"),
        (json!({"paymentKey": "", "amount": 1_000}), "paymentKey"),
        (json!({"paymentKey": "a b", "amount": 1_000}), "paymentKey"),
        (json!({"paymentKey": "approve-1", "amount": "1000"}), "amount"),
        (json!({"paymentKey": "approve-1", "amount": 1_000, "state": "paid"}), "state"),
    ];
    for (body, field) in bodies {
        let problem =
            shopper.http.key("p").post(&path, &body).await.unwrap().problem(400, "validation-failed");
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
    let wish = json!({"paymentKey": "approve-1", "amount": 1_000});
    shopper.http.post(&path, &wish).await.unwrap().problem(400, "idempotency-key-required");
    test.clock.advance(Duration::from_secs(HOLD_S.into()));
    shopper.pay(order, "p", "approve-1").await.problem(409, "order-expired");
    test.reaches(order, OrderState::Expired).await;
    shopper.pay(order, "p", "approve-1").await.problem(409, "order-expired");
    assert!(test.provider.confirms().is_empty());
    assert_eq!(test.rows("payment_attempt").await, 0);
    assert_eq!(test.rows("idempotency").await, 1, "only the order's own key");
}

/// Pays with an outcome that the provider does not tell at once, and waits until the resolver knows.
async fn resolved(
    test: &TestOrder,
    shopper: &Shopper<'_>,
    order: OrderId,
    payment_key: &str,
    to: OrderState,
) {
    let answer = shopper.pay(order, "p", payment_key).await.expect(202);
    assert_eq!(answer.body["state"], "paying");
    assert_eq!(attempts(test).await, ["unknown"]);
    // Its units stay held, however long it takes.
    shopper.pay(order, "q", "approve-9").await.problem(409, "order-not-payable");
    test.clock.advance(Duration::from_secs(1));
    test.reaches(order, to).await;
}

#[tokio::test]
async fn money_that_was_taken_without_an_answer_is_found() {
    let test = TestOrder::start().await;
    let (shopper, order) = test.reserved(7).await;
    resolved(&test, &shopper, order, "lost-1", OrderState::Paid).await;
    assert_eq!(test.provider.confirms().len(), 1, "asked, not confirmed again");
    let again = shopper.pay(order, "p", "lost-1").await.expect(200);
    assert_eq!(again.body["state"], "paid");
    assert_eq!(test.commands(order).await, ["stock.reserve.v1", "stock.confirm.v1"]);
}

#[tokio::test]
async fn a_confirm_that_had_no_effect_is_repeated_with_its_key() {
    let test = TestOrder::start().await;
    let (shopper, order) = test.reserved(7).await;
    resolved(&test, &shopper, order, "again-1", OrderState::Paid).await;
    let key = format!("confirm:{order}:1");
    assert_eq!(test.provider.confirms(), [key.clone(), key]);
}

#[tokio::test]
async fn a_payment_that_the_provider_does_not_know_is_declined() {
    let test = TestOrder::start().await;
    let (shopper, order) = test.reserved(7).await;
    resolved(&test, &shopper, order, "gone-1", OrderState::Reserved).await;
    shopper.pay(order, "p", "gone-1").await.problem(402, "payment-declined");
    shopper.pay(order, "q", "approve-1").await.expect(200);
}

#[tokio::test]
async fn a_payment_whose_request_died_is_taken_up() {
    let test = TestOrder::start().await;
    let (shopper, order) = test.reserved(7).await;
    let wish = json!({"paymentKey": "hang-approve-1", "amount": 1_000});
    let request =
        shopper.http.key("p").request(reqwest::Method::POST, &format!("/api/orders/{order}/payment"));
    let request = request.json(&wish).timeout(Duration::from_millis(500)).send();
    request.await.expect_err("the shopper goes away");
    test.reaches(order, OrderState::Paying).await;
    assert_eq!(attempts(&test).await, ["sent"]);
    shopper.pay(order, "p", "hang-approve-1").await.problem(409, "request-in-progress");
    // Not before its lease is over: somebody may still wait for the provider.
    test.provider.open_gate();
    test.provider.open_gate();
    test.clock.advance(Duration::from_secs(15));
    test.reaches(order, OrderState::Paid).await;
    shopper.pay(order, "p", "hang-approve-1").await.expect(200);
}

#[tokio::test]
async fn an_order_that_is_being_paid_does_not_expire_but_ends_when_it_is_declined_too_late() {
    let test = TestOrder::start().await;
    let (shopper, order) = test.reserved(7).await;
    let paying = shopper.pay(order, "p", "hang-decline-1");
    let meanwhile = async {
        test.reaches(order, OrderState::Paying).await;
        test.clock.advance(Duration::from_secs(u64::from(HOLD_S) + 1));
        test.provider.open_gate();
        test.provider.open_gate();
    };
    let (answer, ()) = tokio::join!(paying, meanwhile);
    answer.problem(402, "payment-declined");
    test.reaches(order, OrderState::Expired).await;
    testkit::eventually(SOON, async || {
        anyhow::ensure!(test.released(order).await.len() == 1, "not released yet");
        Ok(())
    })
    .await;
    assert_eq!(attempts(&test).await, ["declined"]);
}
