//! The payment sandbox over HTTP: what the provider promises, and what it refuses.

#![cfg(feature = "sandbox")]
#![expect(clippy::unwrap_used, reason = "what stands between tests may panic like a test")]

use std::time::Duration;

use common::clock::Clock;
use common::config::{Secret, Telemetry};
use common::stop::Stop;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use testkit::sandbox::{Config, serve};
use tokio::net::TcpListener;

const SECRET: &str = "test_sk_here";
const ORDER: &str = "order-0001";

struct Sandbox {
    base: String,
    http: Client,
    clock: Clock,
    stop: Stop,
}

impl Sandbox {
    async fn start() -> Self {
        Self::slow(0).await
    }

    async fn slow(delay_ms: u32) -> Self {
        let (stop, clock) = (Stop::new(), Clock::manual("2026-11-21T01:39:13Z".parse().unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let service = serve(listener, config(SECRET, delay_ms, &clock), stop.clone());
        #[expect(clippy::disallowed_methods, reason = "the service itself ends with its stop")]
        tokio::spawn(async move { service.await.unwrap() });
        Self { base, http: Client::builder().no_proxy().build().unwrap(), clock, stop }
    }

    async fn get(&self, path: &str) -> (u16, Value) {
        send(self.http.get(format!("{}{path}", self.base)).basic_auth(SECRET, Some(""))).await
    }

    fn request(&self, path: &str, key: Option<&str>, body: &Value) -> RequestBuilder {
        let request = self.http.post(format!("{}{path}", self.base)).json(body);
        let request = request.basic_auth(SECRET, Some(""));
        key.iter().fold(request, |request, key| request.header("Idempotency-Key", *key))
    }

    async fn post(&self, path: &str, key: Option<&str>, body: &Value) -> (u16, Value) {
        send(self.request(path, key, body)).await
    }

    /// Returns the payment's key.
    async fn check_out(&self, order: &str, outcome: &str) -> String {
        let body = json!({"orderId": order, "amount": 10_000, "outcome": outcome});
        let answer = send(self.http.post(format!("{}/sandbox/checkouts", self.base)).json(&body)).await;
        assert_eq!(answer.0, 201, "{}", answer.1);
        answer.1["paymentKey"].as_str().unwrap().to_owned()
    }

    async fn confirm(&self, payment: &str, order: &str, amount: i64) -> (u16, Value) {
        self.post("/v1/payments/confirm", None, &wish(payment, order, amount)).await
    }

    async fn cancel(&self, payment: &str, body: Value) -> (u16, Value) {
        self.post(&format!("/v1/payments/{payment}/cancel"), None, &body).await
    }

    /// A confirmed payment of 10,000 won.
    async fn paid(&self) -> String {
        let payment = self.check_out(ORDER, "approve").await;
        assert_eq!(self.confirm(&payment, ORDER, 10_000).await.0, 200);
        payment
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

fn config(secret: &str, delay_ms: u32, clock: &Clock) -> Config {
    Config {
        listen: ([127, 0, 0, 1], 0).into(),
        telemetry: Telemetry { log: "info".into(), log_format: "text".into() },
        secret_key: Secret(secret.into()),
        delay_ms,
        clock: clock.clone(),
    }
}

fn wish(payment: &str, order: &str, amount: i64) -> Value {
    json!({"paymentKey": payment, "orderId": order, "amount": amount})
}

async fn send(request: RequestBuilder) -> (u16, Value) {
    let response = request.send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

#[track_caller]
fn assert_refused((status, body): (u16, Value), expected: u16, code: &str) {
    assert_eq!((status, body["code"].as_str()), (expected, Some(code)), "{body}");
    assert!(body["message"].as_str().is_some_and(|text| !text.is_empty()), "{body}");
}

#[tokio::test]
async fn a_payment_is_confirmed_once_and_found_by_key_and_by_order() {
    let sandbox = Sandbox::start().await;
    let payment = sandbox.check_out(ORDER, "approve").await;
    let path = format!("/v1/payments/{payment}");
    let before = sandbox.get(&path).await.1;
    assert_eq!((&before["status"], &before["approvedAt"]), (&json!("IN_PROGRESS"), &Value::Null));

    let (status, confirmed) = sandbox.confirm(&payment, ORDER, 10_000).await;
    assert_eq!(status, 200, "{confirmed}");
    for (field, value) in [
        ("paymentKey", json!(payment)),
        ("orderId", json!(ORDER)),
        ("orderName", json!(ORDER)),
        ("status", json!("DONE")),
        ("totalAmount", json!(10_000)),
        ("balanceAmount", json!(10_000)),
        ("currency", json!("KRW")),
        ("method", json!("카드")),
        ("type", json!("NORMAL")),
        ("version", json!("2022-11-16")),
        ("mId", json!("astraphe-sandbox")),
        ("requestedAt", json!("2026-11-21T10:39:13+09:00")),
        ("approvedAt", json!("2026-11-21T10:39:13+09:00")),
        ("cancels", Value::Null),
        ("failure", Value::Null),
    ] {
        assert_eq!(confirmed[field], value, "{field} in {confirmed}");
    }
    assert_eq!(sandbox.get(&path).await, (200, confirmed.clone()));
    assert_eq!(sandbox.get(&format!("/v1/payments/orders/{ORDER}")).await, (200, confirmed));
    assert_refused(sandbox.confirm(&payment, ORDER, 10_000).await, 400, "ALREADY_PROCESSED_PAYMENT");
}

#[tokio::test]
async fn only_the_shops_key_opens_the_door() {
    let sandbox = Sandbox::start().await;
    let payment = sandbox.check_out(ORDER, "approve").await;
    let confirm = || {
        let request = sandbox.http.post(format!("{}/v1/payments/confirm", sandbox.base));
        request.json(&wish(&payment, ORDER, 10_000))
    };
    for request in [
        confirm(),
        confirm().basic_auth("test_sk_other", Some("")),
        confirm().basic_auth(SECRET, Some("password")),
        confirm().bearer_auth(SECRET),
        sandbox.http.get(format!("{}/v1/payments/{payment}", sandbox.base)),
        sandbox.http.get(format!("{}/v1/payments/orders/{ORDER}", sandbox.base)),
        sandbox.http.post(format!("{}/v1/payments/{payment}/cancel", sandbox.base)),
    ] {
        assert_refused(send(request).await, 401, "UNAUTHORIZED_KEY");
    }
    assert_eq!(sandbox.get(&format!("/v1/payments/{payment}")).await.1["status"], "IN_PROGRESS");
}

#[tokio::test]
async fn a_real_key_is_never_taken() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = config("live_sk_real", 0, &Clock::system());
    assert!(serve(listener, config, Stop::new()).await.is_err());
}

#[tokio::test]
async fn a_declined_card_and_a_closed_page_take_no_money() {
    let sandbox = Sandbox::start().await;
    let declined = sandbox.check_out("order-declined", "decline").await;
    for _ in 0..2 {
        let answer = sandbox.confirm(&declined, "order-declined", 10_000).await;
        assert_refused(answer, 403, "REJECT_CARD_PAYMENT");
    }
    let shown = sandbox.get(&format!("/v1/payments/{declined}")).await.1;
    assert_eq!(
        (&shown["status"], &shown["failure"]["code"]),
        (&json!("ABORTED"), &json!("REJECT_CARD_PAYMENT"))
    );

    let closed = sandbox.check_out("order-closed", "close").await;
    let answer = sandbox.confirm(&closed, "order-closed", 10_000).await;
    assert_refused(answer, 404, "NOT_FOUND_PAYMENT_SESSION");
    assert_eq!(sandbox.get(&format!("/v1/payments/{closed}")).await.1["status"], "READY");
}

#[tokio::test]
async fn a_confirmation_must_name_what_the_shopper_agreed_to() {
    let sandbox = Sandbox::start().await;
    let payment = sandbox.check_out(ORDER, "approve").await;
    assert_refused(sandbox.confirm("sandbox_none", ORDER, 10_000).await, 404, "NOT_FOUND_PAYMENT");
    assert_refused(sandbox.confirm(&payment, "order-0002", 10_000).await, 404, "NOT_FOUND_PAYMENT_SESSION");
    assert_refused(sandbox.confirm(&payment, ORDER, 9_999).await, 400, "INVALID_REQUEST");
    let answer = sandbox.post("/v1/payments/confirm", None, &json!({"paymentKey": payment})).await;
    assert_refused(answer, 400, "INVALID_REQUEST");
    assert_eq!(sandbox.confirm(&payment, ORDER, 10_000).await.0, 200, "the right one still goes through");
}

#[tokio::test]
async fn an_order_is_paid_by_one_payment_and_shows_that_one() {
    let sandbox = Sandbox::start().await;
    let first = sandbox.paid().await;
    let second = sandbox.check_out(ORDER, "approve").await;
    assert_refused(sandbox.confirm(&second, ORDER, 10_000).await, 400, "DUPLICATED_ORDER_ID");
    let shown = sandbox.get(&format!("/v1/payments/orders/{ORDER}")).await.1;
    assert_eq!(shown["paymentKey"], json!(first));
    assert_refused(sandbox.get("/v1/payments/orders/order-none").await, 404, "NOT_FOUND_PAYMENT");
}

#[tokio::test]
async fn an_agreement_ends_after_ten_minutes() {
    let sandbox = Sandbox::start().await;
    let payment = sandbox.check_out(ORDER, "approve").await;
    sandbox.clock.advance(Duration::from_secs(600));
    assert_refused(sandbox.confirm(&payment, ORDER, 10_000).await, 404, "NOT_FOUND_PAYMENT_SESSION");
    assert_eq!(sandbox.get(&format!("/v1/payments/{payment}")).await.1["status"], "EXPIRED");
}

#[tokio::test]
async fn partial_cancels_never_give_back_more_than_was_paid() {
    let sandbox = Sandbox::start().await;
    let payment = sandbox.paid().await;
    let (status, after) =
        sandbox.cancel(&payment, json!({"cancelReason": "one", "cancelAmount": 3_000})).await;
    assert_eq!((status, &after["status"]), (200, &json!("PARTIAL_CANCELED")), "{after}");
    assert_eq!((&after["balanceAmount"], &after["totalAmount"]), (&json!(7_000), &json!(10_000)));
    let cancel = &after["cancels"][0];
    assert_eq!(
        (&cancel["cancelReason"], &cancel["cancelAmount"], &cancel["refundableAmount"]),
        (&json!("one"), &json!(3_000), &json!(7_000))
    );
    assert_eq!(cancel["canceledAt"], "2026-11-21T10:39:13+09:00");

    let answer = sandbox.cancel(&payment, json!({"cancelReason": "two", "cancelAmount": 7_001})).await;
    assert_refused(answer, 403, "NOT_CANCELABLE_AMOUNT");
    for amount in [0, -1] {
        let answer = sandbox.cancel(&payment, json!({"cancelReason": "two", "cancelAmount": amount})).await;
        assert_refused(answer, 400, "INVALID_REQUEST");
    }
    let (status, after) = sandbox.cancel(&payment, json!({"cancelReason": "the rest"})).await;
    assert_eq!((status, &after["status"], &after["balanceAmount"]), (200, &json!("CANCELED"), &json!(0)));
    let amounts: Vec<_> =
        after["cancels"].as_array().unwrap().iter().map(|cancel| cancel["cancelAmount"].clone()).collect();
    assert_eq!(amounts, [3_000, 7_000]);
    let answer = sandbox.cancel(&payment, json!({"cancelReason": "again"})).await;
    assert_refused(answer, 400, "ALREADY_CANCELED_PAYMENT");
}

#[tokio::test]
async fn a_cancel_needs_a_reason_and_a_payment_that_was_made() {
    let sandbox = Sandbox::start().await;
    let payment = sandbox.check_out(ORDER, "approve").await;
    let answer = sandbox.cancel(&payment, json!({"cancelReason": "early"})).await;
    assert_refused(answer, 403, "NOT_CANCELABLE_PAYMENT");
    assert_eq!(sandbox.confirm(&payment, ORDER, 10_000).await.0, 200);
    for body in [json!({}), json!({"cancelReason": ""}), json!({"cancelReason": "x".repeat(201)})] {
        assert_refused(sandbox.cancel(&payment, body).await, 400, "INVALID_REQUEST");
    }
    let answer = sandbox.cancel("sandbox_none", json!({"cancelReason": "what"})).await;
    assert_refused(answer, 404, "NOT_FOUND_PAYMENT");
}

#[tokio::test]
async fn a_key_replays_the_first_answer_whatever_the_body() {
    let sandbox = Sandbox::start().await;
    let payment = sandbox.paid().await;
    let path = format!("/v1/payments/{payment}/cancel");
    let first =
        sandbox.post(&path, Some("key-1"), &json!({"cancelReason": "a", "cancelAmount": 1_000})).await;
    assert_eq!(first.0, 200);
    for amount in [1_000, 2_000] {
        let body = json!({"cancelReason": "b", "cancelAmount": amount});
        assert_eq!(sandbox.post(&path, Some("key-1"), &body).await, first);
    }
    // Refusals are replayed too; another path with the same key is another request.
    let confirm = wish(&payment, ORDER, 10_000);
    let refused = sandbox.post("/v1/payments/confirm", Some("key-1"), &confirm).await;
    assert_refused(refused.clone(), 400, "ALREADY_PROCESSED_PAYMENT");
    assert_eq!(sandbox.post("/v1/payments/confirm", Some("key-1"), &confirm).await, refused);
    assert_eq!(sandbox.get(&format!("/v1/payments/{payment}")).await.1["balanceAmount"], 9_000);
    for key in ["", &"k".repeat(301)] {
        let answer = sandbox.post(&path, Some(key), &json!({"cancelReason": "c"})).await;
        assert_refused(answer, 400, "INVALID_IDEMPOTENCY_KEY");
    }
}

#[tokio::test]
async fn a_key_in_flight_is_refused_and_the_work_is_done_once() {
    let sandbox = Sandbox::slow(1_000).await;
    let payment = sandbox.check_out(ORDER, "approve").await;
    let body = wish(&payment, ORDER, 10_000);
    let ask = || sandbox.post("/v1/payments/confirm", Some("key-1"), &body);
    let (one, two) = tokio::join!(ask(), ask());
    let (done, refused) = if one.0 == 200 { (one, two) } else { (two, one) };
    assert_eq!(done.0, 200, "{}", done.1);
    assert_refused(refused, 409, "IDEMPOTENT_REQUEST_PROCESSING");
    assert_eq!(ask().await, done);
}

#[tokio::test]
async fn a_client_that_hangs_up_finds_its_answer_later() {
    let sandbox = Sandbox::slow(1_000).await;
    let payment = sandbox.check_out(ORDER, "approve").await;
    let body = wish(&payment, ORDER, 10_000);
    let request = sandbox.request("/v1/payments/confirm", Some("key-1"), &body);
    assert!(request.timeout(Duration::from_millis(300)).send().await.unwrap_err().is_timeout());
    assert_eq!(sandbox.get(&format!("/v1/payments/{payment}")).await.1["status"], "DONE");
    let ask = || sandbox.post("/v1/payments/confirm", Some("key-1"), &body);
    let mut answer = ask().await;
    while answer.0 == 409 {
        answer = ask().await;
    }
    assert_eq!((answer.0, &answer.1["status"]), (200, &json!("DONE")));
}

#[tokio::test]
async fn bad_checkouts_are_refused_and_good_ones_listed() {
    let sandbox = Sandbox::start().await;
    for (body, code) in [
        (json!({"orderId": "short", "amount": 1_000}), "INVALID_REQUEST"),
        (json!({"orderId": "order 0001", "amount": 1_000}), "INVALID_REQUEST"),
        (json!({"orderId": ORDER, "amount": "1000"}), "INVALID_REQUEST"),
        (json!({"orderId": ORDER, "amount": 1_000, "outcome": "maybe"}), "INVALID_REQUEST"),
        (json!({"orderId": ORDER, "amount": 99}), "BELOW_MINIMUM_AMOUNT"),
    ] {
        assert_refused(sandbox.post("/sandbox/checkouts", None, &body).await, 400, code);
    }
    let without = json!({"orderId": "order-first", "amount": 100});
    assert_eq!(sandbox.post("/sandbox/checkouts", None, &without).await.0, 201, "approved by default");
    sandbox.check_out("order-second", "close").await;
    let (status, list) = send(sandbox.http.get(format!("{}/sandbox/payments", sandbox.base))).await;
    let orders: Vec<_> =
        list["items"].as_array().unwrap().iter().map(|item| item["orderId"].as_str().unwrap()).collect();
    assert_eq!((status, orders), (200, vec!["order-first", "order-second"]));
}

#[tokio::test]
async fn health_is_told_and_unknown_paths_are_refused() {
    let sandbox = Sandbox::start().await;
    for path in ["/livez", "/readyz"] {
        assert_eq!(sandbox.http.get(format!("{}{path}", sandbox.base)).send().await.unwrap().status(), 200);
    }
    assert_refused(sandbox.get("/v1/nothing").await, 404, "NOT_FOUND");
    assert_refused(sandbox.get("/v1/payments/confirm/more/of/it").await, 404, "NOT_FOUND");
}
