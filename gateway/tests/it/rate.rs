//! Who asks too often.

use common::config::{Redis, Secret};
use common::wire::token::Role;
use serde_json::json;
use testkit::client::Http;

use crate::gate::{Gate, LONG};

fn redis() -> Redis {
    Redis { redis_url: Secret(testkit::redis_url()), redis_connections: 1 }
}

/// Counts everybody, without Redis.
fn alone(config: &mut gateway::Config) {
    config.rate_factor = 1;
    config.loopback_exempt = false;
}

/// Asks until it is refused; returns how often it was not.
async fn asked(http: &Http, path: &str, most: usize) -> usize {
    for count in 0..most {
        let answer = http.post(path, &json!({})).await.unwrap();
        if answer.status == 429 {
            let wait: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
            assert!((1..=60).contains(&wait), "{wait}");
            answer.problem(429, "too-many-requests");
            return count;
        }
    }
    most
}

#[tokio::test]
async fn an_account_that_asks_too_often_is_refused_and_no_other() {
    let gate = Gate::with(alone).await.knowing().await;
    let as_user = |user| {
        let mut claims = gate.claims(Role::Customer);
        claims.sub.0 = user;
        gate.http.login(&gate.token(&claims))
    };
    let (one, other) = (as_user(1), as_user(2));
    let count = asked(&one, "/api/orders/7/cancel", 40).await;
    assert!((10..30).contains(&count), "{count} of 10 and what refilled meanwhile");
    // From another login it is the same account.
    assert_eq!(as_user(1).post("/api/orders/7/cancel", &json!({})).await.unwrap().status, 429);
    other.post("/api/orders/7/cancel", &json!({})).await.unwrap().expect(200);
    one.get("/api/orders").await.unwrap().expect(200);
    let figures = gate.admin.get("/metrics").await.unwrap().body.to_string();
    assert!(figures.contains(r#"limited_total{by=\"account\",rate=\"buy\"}"#), "{figures}");
}

#[tokio::test]
async fn an_address_that_asks_too_often_is_refused_before_its_token_is_read() {
    let proxy = |config: &mut gateway::Config| {
        config.rate_factor = 1;
        config.loopback_exempt = false;
        config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
        config.redis = redis();
    };
    let gate = Gate::with(proxy).await;
    // A test's own addresses: what they asked stays in Redis for a minute.
    let number = || (uuid::Uuid::new_v4().as_u128() % 250 + 1) as u8;
    let [one, other] = [(); 2].map(|()| format!("198.51.{}.{}", number(), number()));
    let one = gate.http.with("x-forwarded-for", format!("1.2.3.4, {one}"));
    let count = asked(&one, "/api/auth/signup", 200).await;
    assert!((120..160).contains(&count), "{count}");
    gate.http.with("x-forwarded-for", other).post("/api/auth/signup", &json!({})).await.unwrap().expect(200);
    let reached = gate.log.last();
    assert_eq!(reached.header("x-forwarded-proto"), Some("http"));
}

#[tokio::test]
async fn gateways_count_together_where_it_matters() {
    // Every call gives another database.
    let shared = redis();
    let change = |config: &mut gateway::Config| {
        config.rate_factor = 1;
        config.loopback_exempt = false;
        config.redis = shared.clone();
    };
    let gates = [Gate::with(change).await.knowing().await, Gate::with(change).await.knowing().await];
    // Until both are connected to Redis, each counts for itself.
    testkit::eventually(LONG, async || {
        let user = (uuid::Uuid::new_v4().as_u128() % 1_000_000_000) as i64;
        let mut count = 0;
        for gate in &gates {
            let mut claims = gate.claims(Role::Customer);
            claims.sub.0 = user;
            count += asked(&gate.http.login(&gate.token(&claims)), "/api/orders/7/cancel", 40).await;
        }
        anyhow::ensure!((10..19).contains(&count), "{count}: each for itself would let 20 pass");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn without_redis_some_routes_go_on_and_some_do_not() {
    let change = |config: &mut gateway::Config| {
        config.trusted_proxies = vec!["127.0.0.0/8".parse().unwrap()];
    };
    let gate = Gate::with(change).await.knowing().await;
    let http = gate.http.with("x-forwarded-for", "198.51.100.7");
    for _ in 0..3 {
        let answer = http.post("/api/auth/signup", &json!({})).await.unwrap();
        assert_eq!(answer.headers["retry-after"], "1");
        answer.problem(503, "limits-unknown");
        http.post("/api/auth/login", &json!({})).await.unwrap().expect(200);
        gate.as_role(Role::Customer).post("/api/orders/7/cancel", &json!({})).await.unwrap().expect(200);
    }
}
