//! Several replicas, some of which are better than others.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::stop::Stop;
use common::wire::token::Role;
use http::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::gate::{Gate, LONG, bind, nowhere, scripted, uri};

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
    let (stop, asked) = (Stop::new(), Arc::new(AtomicUsize::new(0)));
    let bad = dying(1, &asked, &stop).await;
    let gate = Gate::before(vec![bad], stop).await.knowing().await;
    let seller = gate.as_role(Role::Seller);
    seller.post("/api/companies", &json!({})).await.unwrap().problem(502, "bad-upstream-answer");
    assert_eq!(asked.swap(0, Ordering::Relaxed), 1, "a writing one");
    seller.get("/api/companies").await.unwrap().problem(502, "bad-upstream-answer");
    assert_eq!(asked.load(Ordering::Relaxed), 2, "a reading one");
}

/// A service that dies over every request of so many, and answers the others.
async fn dying(every: usize, asked: &Arc<AtomicUsize>, stop: &Stop) -> http::Uri {
    let listener = bind().await;
    let address = uri(&listener);
    let (within, asked) = (stop.clone(), Arc::clone(asked));
    stop.spawn("dying service", async move {
        while let Some(mut socket) = common::http::accept(&listener, &within).await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                match socket.read_u8().await {
                    Ok(byte) => head.push(byte),
                    Err(_) => break,
                }
            }
            if !head.is_empty() && asked.fetch_add(1, Ordering::Relaxed) % every != 0 {
                let answer = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok";
                socket.write_all(answer).await.ok();
            }
        }
    });
    address
}

#[tokio::test]
async fn a_service_in_trouble_is_not_asked_much_more_often_by_retries() {
    let (stop, asked) = (Stop::new(), Arc::new(AtomicUsize::new(0)));
    let service = dying(3, &asked, &stop).await;
    let gate = Gate::before(vec![service], stop).await;
    let mut failed = 0;
    for _ in 0..300 {
        failed += usize::from(gate.http.get("/api/products").await.unwrap().status != 200);
    }
    let retries = asked.load(Ordering::Relaxed) - 300;
    // One of ten, and 50 that are there at once. Nothing that was sent twice failed.
    assert!((50..=80).contains(&retries) && failed > 0, "{retries} retries, {failed} failed");
}

#[tokio::test]
async fn an_answer_that_comes_before_its_request_has_ended_ends_the_connection() {
    let listener = bind().await;
    let (service, connections) = (uri(&listener), Arc::new(AtomicUsize::new(0)));
    let (stop, count) = (Stop::new(), Arc::clone(&connections));
    let within = stop.clone();
    stop.spawn("early service", async move {
        let mut open = Vec::new();
        while let Some(mut socket) = common::http::accept(&listener, &within).await {
            count.fetch_add(1, Ordering::Relaxed);
            let _head = socket.read(&mut [0; 4_096]).await;
            socket.write_all(OK).await.ok();
            open.push(socket);
        }
    });
    let gate = Gate::with(|config| {
        config.workers = 1;
        config.deadline_max_ms = 2_000;
        config.user_upstreams = vec![service.clone()];
        config.product_upstreams = vec![service];
    })
    .await;
    let mut socket = TcpStream::connect(gate.address).await.unwrap();
    let head = b"POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\n";
    socket.write_all(head).await.unwrap();
    socket.write_all(&[b'a'; 20_000]).await.unwrap();
    let mut answer = [0; 12];
    socket.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    // Its service would wait for the rest of the other's body.
    gate.http.post("/api/auth/login", &json!({})).await.unwrap().expect(200);
    assert_eq!(connections.load(Ordering::Relaxed), 2);
    stop.stop();
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
