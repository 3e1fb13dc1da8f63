//! The payment sandbox between which and the service there is a wire that can be cut.

use std::time::Duration;

use common::clock::Clock;
use common::config::{Secret, Telemetry};
use common::stop::Stop;
use common::wire::id::OrderId;
use serde_json::{Value, json};
use testkit::sandbox::{Config, Faults, serve};
use testkit::wire::Wire;
use tokio::net::TcpListener;

use crate::provider::SECRET_KEY;
use crate::{Shopper, TestOrder};

pub(crate) struct Bank {
    base: String,
    http: reqwest::Client,
    pub(crate) wire: Wire,
    stop: Stop,
}

impl Bank {
    /// A sandbox with the real time, and a service that pays there.
    pub(crate) async fn start() -> (Self, TestOrder) {
        let stop = Stop::new();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let config = Config {
            listen: ([127, 0, 0, 1], 0).into(),
            telemetry: Telemetry { log: "info".into(), log_format: "text".into() },
            secret_key: Secret(SECRET_KEY.into()),
            delay_ms: 0,
            pace: 1.0,
            webhook_url: None,
            faults: Faults::default(),
            clock: Clock::system(),
        };
        let until = stop.clone();
        stop.spawn("sandbox", async move { serve(listener, config, until).await.unwrap() });
        let wire = Wire::to(&address).await.unwrap();
        let url = format!("http://{}", wire.address);
        let test = TestOrder::start_with(|config| config.payment_url = url).await;
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(10)).build().unwrap();
        (Self { base: format!("http://{address}"), http, wire, stop }, test)
    }

    /// The shopper agrees to pay 1,000 won.
    pub(crate) async fn agreed(&self, order: OrderId) -> String {
        let wish = json!({"orderId": order, "amount": 1_000});
        let answer =
            self.http.post(format!("{}/sandbox/checkouts", self.base)).json(&wish).send().await.unwrap();
        answer.json::<Value>().await.unwrap()["paymentKey"].as_str().unwrap().to_owned()
    }

    /// An order that was paid.
    pub(crate) async fn paid<'a>(&self, test: &'a TestOrder) -> (Shopper<'a>, OrderId) {
        let (shopper, order) = test.reserved(7).await;
        let payment_key = self.agreed(order).await;
        shopper.pay(order, "paid", &payment_key).await.expect(200);
        (shopper, order)
    }

    pub(crate) async fn faults(&self, faults: Value) {
        let answer =
            self.http.put(format!("{}/sandbox/faults", self.base)).json(&faults).send().await.unwrap();
        assert!(answer.status().is_success());
    }

    /// What the bank keeps of an order's money, and in how many pieces the rest went back.
    pub(crate) async fn balance(&self, order: OrderId) -> (i64, usize) {
        let request = self.http.get(format!("{}/v1/payments/orders/{order}", self.base));
        let answer = request.basic_auth(SECRET_KEY, Some("")).send().await.unwrap();
        let payment: Value = answer.json().await.unwrap();
        (payment["balanceAmount"].as_i64().unwrap(), payment["cancels"].as_array().map_or(0, Vec::len))
    }
}

impl Drop for Bank {
    fn drop(&mut self) {
        self.stop.stop();
    }
}
