//! Several replicas, some of which are better than others.

use std::time::Duration;

use common::stop::Stop;
use common::wire::token::Role;
use http::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::gate::{Gate, LONG, nowhere, scripted};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

#[tokio::test]
async fn a_service_that_is_down_is_left_alone_and_found_again() {
    let (service, held) = nowhere();
    let stop = Stop::new();
    let gate = Gate::before(vec![service], stop.clone()).await;
    gate.http.get("/api/products").await.unwrap().problem(502, "upstream-unreachable");
    let answer = gate.http.get("/api/products").await.unwrap();
    assert!(answer.headers.contains_key("retry-after"));
    answer.problem(503, "upstream-down");
    // Somebody listens there now.
    let listener = held.listen(16).unwrap();
    let within = stop.clone();
    stop.spawn("service", async move {
        while let Some(mut socket) = common::http::accept(&listener, &within).await {
            // What is closed over unread bytes is reset, and its answer may be lost.
            let _any = socket.read(&mut [0; 4_096]).await;
            socket.write_all(OK).await.ok();
        }
    });
    testkit::eventually(LONG, async || {
        let answer = gate.http.get("/api/products").await?;
        anyhow::ensure!(answer.status == 200, "{}", answer.status);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_replica_that_fails_at_once_gets_few_requests() {
    let stop = Stop::new();
    let good = scripted(OK, false, &stop).await;
    let bad = scripted(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", false, &stop).await;
    let gate = Gate::before(vec![bad, good], stop).await;
    let mut failed = 0;
    for _ in 0..50 {
        failed += u32::from(gate.http.get("/api/products").await.unwrap().status != 200);
    }
    assert!(failed <= 5, "{failed} of 50 went to the replica that only says no");
}

#[tokio::test]
async fn a_reading_request_survives_a_replica_that_dies_over_it_and_a_writing_one_is_sent_once() {
    let stop = Stop::new();
    let (good, bad) = (scripted(OK, false, &stop).await, scripted(b"", false, &stop).await);
    let gate = Gate::before(vec![bad, good], stop).await.knowing().await;
    for _ in 0..10 {
        gate.http.get("/api/products").await.unwrap().expect(200);
    }
    let stop = Stop::new();
    let bad = scripted(b"", false, &stop).await;
    let gate = Gate::before(vec![bad], stop).await.knowing().await;
    gate.as_role(Role::Seller)
        .post("/api/companies", &json!({}))
        .await
        .unwrap()
        .problem(502, "bad-upstream-answer");
}

#[tokio::test]
async fn a_client_that_breaks_off_its_body_blames_no_service() {
    let gate = Gate::start().await;
    for _ in 0..12 {
        let mut socket = TcpStream::connect(gate.address).await.unwrap();
        let head = b"POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: 20000\r\n\r\n";
        socket.write_all(head).await.unwrap();
        // So much of it that it is passed on as it comes.
        socket.write_all(&[b'a'; 18_000]).await.unwrap();
        drop(socket);
    }
    testkit::eventually(LONG, async || {
        let figures = gate.admin.get("/metrics").await?.body.to_string();
        anyhow::ensure!(figures.contains("astraphe_gateway_in_flight 0"), "not all have ended");
        Ok(())
    })
    .await;
    gate.http.post("/api/auth/login", &json!({})).await.unwrap().expect(200);
}

#[tokio::test]
async fn a_service_that_hangs_again_and_again_is_left_alone() {
    let stop = Stop::new();
    let service = scripted(b"", true, &stop).await;
    let gate = Gate::before(vec![service], stop).await;
    for _ in 0..5 {
        gate.http.get("/api/products").await.unwrap().problem(504, "upstream-timeout");
    }
    let began = std::time::Instant::now();
    gate.http.get("/api/products").await.unwrap().problem(503, "upstream-down");
    assert!(began.elapsed() < Duration::from_millis(250), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_replica_that_says_it_is_not_ready_gets_no_requests() {
    let stop = Stop::new();
    let router = |name: &'static str, is_ready: bool| {
        let ready = if is_ready { http::StatusCode::OK } else { http::StatusCode::SERVICE_UNAVAILABLE };
        let router = axum::Router::new().route("/readyz", axum::routing::get(move || async move { ready }));
        router.fallback(move || async move { name })
    };
    let services = [("ready", true), ("not ready", false)];
    let [good, bad] = services.map(|(name, is_ready)| crate::gate::serve(router(name, is_ready), &stop));
    let (good, bad) = (good.await, bad.await);
    let gate = Gate::with(|config| {
        config.health_ms = 50;
        config.product_upstreams = vec![good, bad];
    })
    .await;
    testkit::eventually(LONG, async || {
        let figures = gate.admin.get("/metrics").await?.body.to_string();
        let line = r#"upstream_replicas{state=\"down\",upstream=\"product\"} 1"#;
        anyhow::ensure!(figures.contains(line), "it is still asked");
        Ok(())
    })
    .await;
    for _ in 0..20 {
        let answer = gate.http.request(Method::GET, "/api/products").send().await.unwrap();
        assert_eq!(answer.text().await.unwrap(), "ready");
    }
    stop.stop();
}
