use std::time::Duration;

use common::wire::order::OrderState;
use serde_json::{Value, json};
use testkit::client::{Answer, Http};

use crate::{SOON, TestOrder};

impl TestOrder {
    /// The provider says that something happened to a payment.
    pub(crate) async fn hint(&self, transmission: &str, payment_key: &str, status: &str) -> Answer {
        let body = json!({
            "eventType": "PAYMENT_STATUS_CHANGED", "createdAt": "2026-11-21T10:39:13.000000",
            "data": {"paymentKey": payment_key, "orderId": "any", "status": status},
        });
        self.http
            .with("tosspayments-webhook-transmission-id", transmission)
            .post("/api/payments/webhooks/toss", &body)
            .await
            .unwrap()
    }

    /// Waits until the provider's answers to so many questions about the one payment are stored.
    pub(crate) async fn asked(&self, times: i32) {
        testkit::eventually(SOON, async || {
            let checks: i32 =
                sqlx::query_scalar("SELECT checks FROM payment_attempt").fetch_one(&self.pg).await?;
            anyhow::ensure!(checks == times, "asked {checks} times");
            Ok(())
        })
        .await;
    }

    /// Waits until the provider is being asked for the first time.
    async fn is_being_asked(&self) {
        testkit::eventually(SOON, async || {
            anyhow::ensure!(self.provider.finds().len() == 1, "not asked yet");
            Ok(())
        })
        .await;
    }
}

#[tokio::test]
async fn a_hint_makes_the_service_ask_at_once() {
    let test = TestOrder::start().await;
    let (shopper, order) = test.reserved(7).await;
    shopper.pay(order, "p", "lost-1").await.expect(202);
    // Its clock stands: without the hint nobody would ask.
    test.hint("t1", "lost-1", "DONE").await.expect(200);
    test.reaches(order, OrderState::Paid).await;
    shopper.pay(order, "p", "lost-1").await.expect(200);
}

#[tokio::test]
async fn a_lie_changes_nothing() {
    let test = TestOrder::start().await;
    let (shopper, order) = test.reserved(7).await;
    shopper.pay(order, "p", "decline-1").await.problem(402, "payment-declined");
    test.hint("t1", "decline-1", "DONE").await.expect(200);
    testkit::eventually(SOON, async || {
        let hinted: bool =
            sqlx::query_scalar("SELECT hinted FROM payment_attempt").fetch_one(&test.pg).await?;
        anyhow::ensure!(!hinted && test.provider.finds().len() == 1, "not asked yet");
        Ok(())
    })
    .await;
    assert_eq!(shopper.show(order).await.state, OrderState::Reserved);
    // The same message again, and one about a payment that nobody made here.
    test.hint("t1", "decline-1", "DONE").await.expect(200);
    test.hint("t2", "nobodys", "DONE").await.expect(200);
    assert_eq!(test.rows("webhook_receipt").await, 1);
    let hinted: bool =
        sqlx::query_scalar("SELECT hinted FROM payment_attempt").fetch_one(&test.pg).await.unwrap();
    assert!(!hinted, "a repeat is not followed");
}

#[tokio::test]
async fn what_is_no_message_of_the_provider_is_refused() {
    let test = TestOrder::start().await;
    let (shopper, order) = test.reserved(7).await;
    shopper.pay(order, "p", "decline-1").await.problem(402, "payment-declined");
    let body = json!({"data": {"paymentKey": "decline-1"}});
    let http = test.http.with("tosspayments-webhook-transmission-id", "t");
    let toss = "/api/payments/webhooks/toss";
    http.post("/api/payments/webhooks/stripe", &body).await.unwrap().problem(404, "unknown-provider");
    let problem = test.http.post(toss, &body).await.unwrap().problem(400, "validation-failed");
    assert_eq!(problem["errors"][0]["field"], "tosspayments-webhook-transmission-id");
    let long = test.http.with("tosspayments-webhook-transmission-id", "t".repeat(201));
    long.post(toss, &body).await.unwrap().problem(400, "validation-failed");
    let nonsense: [Value; 5] = [
        json!([]),
        json!({}),
        json!({"data": 7}),
        json!({"data": {"paymentKey": 7}}),
        json!({"data": {"paymentKey": ""}}),
    ];
    for body in nonsense {
        http.post(toss, &body).await.unwrap().problem(400, "validation-failed");
    }
    let request = http.request(reqwest::Method::POST, toss).body("{\"data\":");
    Http::send("malformed".into(), request).await.unwrap().problem(400, "malformed-json");
    assert_eq!(test.rows("webhook_receipt").await, 0);
    test.clock.advance(Duration::from_secs(1));
    assert_eq!(test.provider.finds().len(), 0);
}

#[tokio::test]
async fn a_hint_that_comes_before_the_payment_is_declined_is_followed() {
    let test = TestOrder::start().await;
    let (shopper, order) = test.reserved(7).await;
    let hinted = async {
        test.reaches(order, OrderState::Paying).await;
        test.hint("t1", "hang-denied-1", "DONE").await.expect(200);
        test.provider.open_gate();
    };
    let (answer, ()) = tokio::join!(shopper.pay(order, "p", "hang-denied-1"), hinted);
    answer.problem(402, "payment-declined");
    test.reaches(order, OrderState::Paid).await;
    assert_eq!(shopper.pay(order, "p", "hang-denied-1").await.expect(200).body["state"], "paid");
}

#[tokio::test]
async fn a_hint_that_comes_while_another_one_is_followed_is_followed_too() {
    let test = TestOrder::start().await;
    let (shopper, order) = test.reserved(7).await;
    shopper.pay(order, "p", "stall-decline-1").await.problem(402, "payment-declined");
    test.hint("t1", "stall-decline-1", "DONE").await.expect(200);
    test.is_being_asked().await;
    // The provider is about to say that nothing has changed.
    test.provider.turns_out("stall-decline-1", "DONE");
    test.hint("t2", "stall-decline-1", "DONE").await.expect(200);
    test.provider.open_gate();
    test.asked(1).await;
    test.clock.advance(Duration::from_secs(1));
    test.provider.open_gate();
    test.reaches(order, OrderState::Paid).await;
}

#[tokio::test]
async fn a_hint_that_comes_while_an_unknown_payment_is_asked_about_shortens_the_pause() {
    let test = TestOrder::start().await;
    let (shopper, order) = test.reserved(7).await;
    shopper.pay(order, "p", "stall-mute-1").await.expect(202);
    sqlx::query("UPDATE payment_attempt SET checks = 6, next_check_at = created_at")
        .execute(&test.pg)
        .await
        .unwrap();
    test.is_being_asked().await;
    test.provider.turns_out("stall-mute-1", "ABORTED");
    test.hint("t1", "stall-mute-1", "ABORTED").await.expect(200);
    test.provider.open_gate();
    test.asked(7).await;
    test.clock.advance(Duration::from_secs(1));
    test.provider.open_gate();
    test.reaches(order, OrderState::Reserved).await;
}

#[tokio::test]
async fn hints_without_end_are_followed_at_growing_pauses() {
    let test = TestOrder::start().await;
    let (shopper, order) = test.reserved(7).await;
    shopper.pay(order, "p", "decline-1").await.problem(402, "payment-declined");
    for (transmission, pause) in [("t1", 1), ("t2", 2), ("t3", 5)] {
        let before = test.provider.finds().len();
        test.hint(transmission, "decline-1", "DONE").await.expect(200);
        test.asked(i32::try_from(before + 1).unwrap()).await;
        test.hint(&format!("{transmission}-again"), "decline-1", "DONE").await.expect(200);
        let (hinted, next_check_at): (bool, common::wire::Time) =
            sqlx::query_as("SELECT hinted, next_check_at FROM payment_attempt")
                .fetch_one(&test.pg)
                .await
                .unwrap();
        assert!(hinted);
        assert_eq!(next_check_at, test.clock.now() + chrono::Duration::seconds(pause));
        sqlx::query("UPDATE payment_attempt SET hinted = false").execute(&test.pg).await.unwrap();
        test.clock.advance(Duration::from_secs(pause.unsigned_abs()));
    }
    assert_eq!(test.provider.finds().len(), 3);
    assert_eq!(shopper.show(order).await.state, OrderState::Reserved);
}
