//! The payment sandbox over HTTP: what the provider promises, and what it refuses.

#![cfg(feature = "sandbox")]
#![expect(clippy::unwrap_used, reason = "what stands between tests may panic like a test")]

use std::time::Duration;

use common::clock::Clock;
use common::config::{Secret, Telemetry};
use common::stop::Stop;
use reqwest::{Client, RequestBuilder};
use serde_json::{Value, json};
use testkit::sandbox::{Config, Faults, serve};
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
        Self::start_with(|config| config.delay_ms = delay_ms).await
    }

    async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let (stop, clock) = (Stop::new(), Clock::manual("2026-11-21T01:39:13Z".parse().unwrap()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let mut config = config(SECRET, 0, &clock);
        change(&mut config);
        let service = serve(listener, config, stop.clone());
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
        pace: 1.0,
        webhook_url: None,
        faults: Faults::default(),
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

#[tokio::test]
async fn clocks_run_as_fast_as_they_are_told() {
    let sandbox = Sandbox::start_with(|config| config.pace = 60.0).await;
    let agreed = sandbox.check_out(ORDER, "approve").await;
    let open = sandbox.check_out("order-open", "close").await;
    sandbox.clock.advance(Duration::from_secs(10));
    assert_refused(sandbox.confirm(&agreed, ORDER, 10_000).await, 404, "NOT_FOUND_PAYMENT_SESSION");
    assert_eq!(sandbox.get(&format!("/v1/payments/{open}")).await.1["status"], "READY");
    sandbox.clock.advance(Duration::from_secs(20));
    assert_eq!(sandbox.get(&format!("/v1/payments/{open}")).await.1["status"], "EXPIRED");
}

#[tokio::test]
async fn a_test_code_is_answered_before_anything_is_looked_at() {
    let sandbox = Sandbox::start().await;
    for (code, status) in [
        ("REJECT_CARD_PAYMENT", 403),
        ("NOT_CANCELABLE_AMOUNT", 403),
        ("NOT_FOUND_PAYMENT_SESSION", 404),
        ("ALREADY_PROCESSED_PAYMENT", 400),
        ("FAILED_INTERNAL_SYSTEM_PROCESSING", 500),
    ] {
        let request = sandbox.request("/v1/payments/confirm", None, &json!({"paymentKey": "none"}));
        assert_refused(send(request.header("TossPayments-Test-Code", code)).await, status, code);
    }
    let payment = sandbox.check_out(ORDER, "approve").await;
    let request = sandbox.request("/v1/payments/confirm", None, &wish(&payment, ORDER, 10_000));
    send(request.header("TossPayments-Test-Code", "PROVIDER_ERROR")).await;
    assert_eq!(sandbox.confirm(&payment, ORDER, 10_000).await.0, 200, "nothing was done");
}

#[tokio::test]
async fn a_fault_loses_the_answer_and_not_the_money() {
    let sandbox = Sandbox::start().await;
    let faults = async |body: Value| {
        let request = sandbox.http.put(format!("{}/sandbox/faults", sandbox.base)).json(&body);
        send(request).await
    };
    assert_refused(faults(json!({"dropPct": 60, "failPct": 60})).await, 400, "INVALID_REQUEST");
    assert_refused(faults(json!({"dropPct": -1})).await, 400, "INVALID_REQUEST");
    assert_eq!(faults(json!({"dropPct": 100})).await.0, 200);
    let dropped = sandbox.check_out("order-dropped", "approve").await;
    let request =
        sandbox.request("/v1/payments/confirm", Some("k"), &wish(&dropped, "order-dropped", 10_000));
    let answer = request.send().await;
    assert!(match answer {
        Ok(answer) => answer.bytes().await.is_err(),
        Err(_) => true,
    });
    let declined = sandbox.check_out("order-declined", "decline").await;
    let answer = sandbox.confirm(&declined, "order-declined", 10_000).await;
    assert_refused(answer, 403, "REJECT_CARD_PAYMENT");

    assert_eq!(faults(json!({"failPct": 100})).await.0, 200);
    let failed = sandbox.check_out("order-failed", "approve").await;
    let answer = sandbox.confirm(&failed, "order-failed", 10_000).await;
    assert_refused(answer, 500, "FAILED_INTERNAL_SYSTEM_PROCESSING");

    assert_eq!(faults(json!({"slowPct": 100, "slowMs": 500})).await.0, 200);
    let slow = sandbox.check_out("order-slow", "approve").await;
    let began = std::time::Instant::now();
    assert_eq!(sandbox.confirm(&slow, "order-slow", 10_000).await.0, 200);
    assert!(began.elapsed() >= Duration::from_millis(500));
    for payment in [dropped, failed, slow] {
        assert_eq!(sandbox.get(&format!("/v1/payments/{payment}")).await.1["status"], "DONE");
    }
    let half = faults(json!({"failPct": 50})).await;
    assert_eq!((half.0, &half.1["failPct"], &half.1["dropPct"]), (200, &json!(50), &json!(0)));
    let mut failures = 0;
    for order in 0..100 {
        let order = format!("order-{order:04}-half");
        let payment = sandbox.check_out(&order, "approve").await;
        failures += usize::from(sandbox.confirm(&payment, &order, 10_000).await.0 == 500);
    }
    assert_eq!(failures, 50);
}

/// What a shop was told: transmission, number of the try, payment and its state.
type Heard = std::sync::Arc<std::sync::Mutex<Vec<(String, String, String, String)>>>;

/// A shop that refuses the first `refused` messages.
async fn shop(refused: usize, stop: &Stop) -> (String, Heard) {
    let heard = Heard::default();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let into = heard.clone();
    let hook = async move |headers: axum::http::HeaderMap, axum::Json(body): axum::Json<Value>| {
        let header = |name: &str| headers[name].to_str().unwrap().to_owned();
        assert_eq!(body["eventType"], "PAYMENT_STATUS_CHANGED");
        let text = |field: &str| body["data"][field].as_str().unwrap().to_owned();
        let mut heard = into.lock().unwrap();
        heard.push((
            header("tosspayments-webhook-transmission-id"),
            header("tosspayments-webhook-transmission-retried-count"),
            text("paymentKey"),
            text("status"),
        ));
        if heard.len() <= refused { axum::http::StatusCode::BAD_GATEWAY } else { axum::http::StatusCode::OK }
    };
    let router = axum::Router::new().route("/hook", axum::routing::post(hook));
    stop.spawn("shop", common::http::serve(listener, router, stop.clone()));
    (url, heard)
}

async fn told(heard: &Heard, count: usize) -> Vec<(String, String, String, String)> {
    testkit::eventually(Duration::from_secs(10), async || {
        let heard = heard.lock().unwrap().clone();
        anyhow::ensure!(heard.len() >= count, "{heard:?}");
        Ok(heard)
    })
    .await
}

#[tokio::test]
async fn the_shop_is_told_until_it_listens() {
    let stop = Stop::new();
    let (url, heard) = shop(2, &stop).await;
    let sandbox = Sandbox::start_with(|config| {
        config.webhook_url = Some(url);
        // The first retries come after 10 and 40 ms.
        config.pace = 6_000.0;
    })
    .await;
    let payment = sandbox.paid().await;
    let heard = told(&heard, 3).await;
    let tries: Vec<&str> = heard.iter().map(|(_, tries, ..)| tries.as_str()).collect();
    assert_eq!(tries, ["0", "1", "2"]);
    assert!(heard.iter().all(|one| one.0 == heard[0].0 && one.2 == payment && one.3 == "DONE"), "{heard:?}");
    stop.stop();
}

#[tokio::test]
async fn webhooks_are_doubled_and_overtaken_on_demand() {
    let stop = Stop::new();
    let (url, heard) = shop(0, &stop).await;
    let doubled = Faults { duplicate_pct: 100, ..Faults::default() };
    let sandbox = Sandbox::start_with(|config| {
        config.webhook_url = Some(url);
        config.faults = doubled;
    })
    .await;
    let payment = sandbox.paid().await;
    let twice = told(&heard, 2).await;
    assert_eq!((&twice[0].0, &twice[0].3), (&twice[1].0, &twice[1].3));

    let faults = |body: Value| send(sandbox.http.put(format!("{}/sandbox/faults", sandbox.base)).json(&body));
    faults(json!({"reorderPct": 100})).await;
    sandbox.cancel(&payment, json!({"cancelReason": "one", "cancelAmount": 1_000})).await;
    faults(json!({})).await;
    sandbox.cancel(&payment, json!({"cancelReason": "rest"})).await;
    let states: Vec<_> = told(&heard, 4).await.into_iter().skip(2).map(|one| one.3).collect();
    assert_eq!(states, ["CANCELED", "PARTIAL_CANCELED"], "the later one came first");
    stop.stop();
}

#[tokio::test]
async fn a_person_pays_declines_tampers_or_closes_on_the_page() {
    let sandbox = Sandbox::start().await;
    let browser = Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let page = format!("{}/sandbox/checkout", sandbox.base);
    let query = [
        ("orderId", ORDER),
        ("amount", "10000"),
        ("orderName", "<script>\"tea\""),
        ("successUrl", "http://shop.test/order.html?order=1"),
        ("failUrl", "http://shop.test/order.html?order=1&payment=fail"),
    ];
    let show = |language: &str| browser.get(&page).query(&query).header("accept-language", language).send();
    let english = show("en-GB").await.unwrap().text().await.unwrap();
    assert!(english.contains("No money moves") && english.contains("&lt;script>&quot;tea"), "{english}");
    let korean = show("ko-KR").await.unwrap().text().await.unwrap();
    assert!(korean.contains("결제하기") && korean.contains("lang=\"ko\""), "{korean}");
    let choose = async |choice: &str| {
        // The form's own address.
        let action =
            english.split("action=\"").find(|part| part.contains(&format!("choice={choice}"))).unwrap();
        let action = action.split('"').next().unwrap().replace("&amp;", "&");
        let answer = browser.post(format!("{}{action}", sandbox.base)).send().await.unwrap();
        assert_eq!(answer.status(), 303);
        let back: reqwest::Url = answer.headers()["location"].to_str().unwrap().parse().unwrap();
        back.query_pairs().into_owned().collect::<std::collections::HashMap<_, _>>()
    };
    let paid = choose("approve").await;
    assert_eq!(
        (paid["order"].as_str(), paid["orderId"].as_str(), paid["amount"].as_str()),
        ("1", ORDER, "10000")
    );
    assert_eq!(choose("tamper").await["amount"], "9999");
    let closed = choose("close").await;
    assert_eq!((closed["code"].as_str(), closed.get("orderId")), ("PAY_PROCESS_CANCELED", None));
    let declined = choose("decline").await;
    assert_refused(sandbox.confirm(&declined["paymentKey"], ORDER, 10_000).await, 403, "REJECT_CARD_PAYMENT");
    assert_eq!(sandbox.confirm(&paid["paymentKey"], ORDER, 10_000).await.0, 200);

    let evil = browser.post(&page).query(&[
        ("orderId", ORDER),
        ("amount", "10000"),
        ("choice", "close"),
        ("successUrl", "http://a.test"),
        ("failUrl", "javascript:alert(1)"),
    ]);
    assert_refused(send(evil).await, 400, "INVALID_REQUEST");
}
