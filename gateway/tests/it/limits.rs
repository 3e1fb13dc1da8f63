//! Size, time and number.

use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use common::stop::Stop;
use common::wire::token::Role;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::gate::{Gate, read_all, serve};

const MIB: usize = 1 << 20;

fn chunked(size: usize) -> Vec<u8> {
    let mut bytes =
        b"POST /api/auth/login HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..size / 0x8000 {
        bytes.extend_from_slice(b"8000\r\n");
        bytes.resize(bytes.len() + 0x8000, b'a');
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

#[tokio::test]
async fn a_body_too_large_by_its_length_is_refused_unread_and_the_connection_ends() {
    let gate = Gate::start().await;
    let head = format!("POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", MIB + 1);
    let answer = gate.raw(&head).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("\"body-too-large\""), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    // More than all buffers on the way hold: a reset instead of an answer would show.
    let mut whole =
        format!("POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", 7 * MIB)
            .into_bytes();
    whole.resize(whole.len() + 7 * MIB, b'a');
    assert!(
        gate.raw(whole).await.starts_with("HTTP/1.1 413"),
        "the answer arrives though nobody reads the body"
    );
    assert!(gate.log.all().is_empty());
}

#[tokio::test]
async fn a_body_too_large_is_refused_while_it_streams() {
    let gate = Gate::start().await;
    let answer = gate.raw(chunked(2 * MIB)).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("connection: close"), "{answer}");
    assert!(gate.log.all().is_empty());
}

#[tokio::test]
async fn a_body_of_exactly_the_limit_passes() {
    let gate = Gate::start().await;
    let body = vec![b'a'; MIB];
    let answer = gate.http.request(http::Method::POST, "/api/auth/login").body(body).send().await.unwrap();
    assert_eq!(answer.status(), 200);
    assert_eq!(gate.log.last().body.len(), MIB);
}

#[tokio::test]
async fn a_body_that_trickles_is_given_up() {
    let gate = Gate::with(|config| config.upload_max_ms = 300).await;
    let started = Instant::now();
    let answer = gate.raw("POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n{").await;
    assert!(answer.starts_with("HTTP/1.1 408") && answer.contains("\"body-too-slow\""), "{answer}");
    assert!(started.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_body_that_breaks_off_gets_no_further() {
    let gate = Gate::start().await;
    let mut socket = TcpStream::connect(gate.address).await.unwrap();
    socket
        .write_all(b"POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n{")
        .await
        .unwrap();
    socket.shutdown().await.unwrap();
    read_all(&mut socket).await;
    assert!(gate.log.all().is_empty());
}

#[tokio::test]
async fn a_slow_or_silent_head_ends_the_connection() {
    let gate = Gate::with(|config| config.head_max_ms = 300).await;
    for start in ["", "G", "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: "] {
        let started = Instant::now();
        let answer = gate.raw(start).await;
        if start.is_empty() {
            assert_eq!(answer, "");
        } else {
            assert_refused(&answer, 408, "head-too-slow");
        }
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(250) && took < Duration::from_secs(5), "{start}: {took:?}");
    }
}

#[tokio::test]
async fn a_connection_at_rest_outlives_the_deadline_of_a_head_and_ends_by_its_own() {
    let gate = Gate::with(|config| {
        config.head_max_ms = 200;
        config.idle_max_ms = 900;
    })
    .await;
    let request = b"GET /api/products HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut socket = TcpStream::connect(gate.address).await.unwrap();
    for _ in 0..2 {
        socket.write_all(request).await.unwrap();
        let mut answer = vec![0; 4_096];
        let count = socket.read(&mut answer).await.unwrap();
        assert!(answer[..count].starts_with(b"HTTP/1.1 200"));
        // Longer than a head may take.
        let silence = tokio::time::timeout(Duration::from_millis(450), socket.read(&mut answer)).await;
        assert!(silence.is_err(), "{silence:?}");
    }
    // A head in pieces is held to its own deadline also here.
    let started = Instant::now();
    socket.write_all(b"GET /").await.unwrap();
    assert_refused(&read_all(&mut socket).await, 408, "head-too-slow");
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(150) && took < Duration::from_millis(700), "{took:?}");

    let mut socket = TcpStream::connect(gate.address).await.unwrap();
    socket.write_all(request).await.unwrap();
    let started = Instant::now();
    assert!(read_all(&mut socket).await.starts_with("HTTP/1.1 200"));
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(850) && took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn a_connection_too_many_is_told_so() {
    let gate = Gate::with(|config| config.connections_max = 1).await;
    let first = TcpStream::connect(gate.address).await.unwrap();
    testkit::eventually(crate::gate::LONG, async || {
        let answer = gate.raw("").await;
        anyhow::ensure!(!answer.is_empty(), "not refused");
        assert_refused(&answer, 503, "overloaded");
        Ok(())
    })
    .await;
    drop(first);
    testkit::eventually(crate::gate::LONG, async || {
        let answer = gate.raw("GET /api/products HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await;
        anyhow::ensure!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_head_has_a_bound_in_bytes_and_in_lines() {
    let gate = Gate::start().await;
    let wide = format!("GET / HTTP/1.1\r\nHost: a\r\nX-Wide: {}\r\n\r\n", "a".repeat(40 << 10));
    assert_refused(&gate.raw(wide).await, 431, "head-too-large");
    let lines: String = (0..120).map(|n| format!("X-{n}: 1\r\n")).collect();
    let many = format!("GET / HTTP/1.1\r\nHost: a\r\n{lines}\r\n");
    assert_refused(&gate.raw(many).await, 431, "head-too-large");
}

#[tokio::test]
async fn a_head_that_is_none_is_told_so_also_behind_one_that_was_answered() {
    let gate = Gate::start().await;
    for broken in ["nonsense\r\n\r\n", "GET / HTTP/1.1\r\nHost : a\r\n\r\n", "GET / HTTP/3.0\r\n\r\n"] {
        assert_refused(&gate.raw(broken).await, 400, "head-unreadable");
        let first = "GET /api/products HTTP/1.1\r\nHost: a\r\n\r\n";
        // In one piece, and after the first answer.
        let answers = gate.raw(format!("{first}{broken}")).await;
        let (one, other) = answers.split_at(answers.rfind("HTTP/1.1 ").unwrap());
        assert!(one.starts_with("HTTP/1.1 200") && one.ends_with("{\"from\":\"service\"}"), "{one}");
        assert_refused(other, 400, "head-unreadable");
    }
}

/// A whole problem, after which the connection has ended.
fn assert_refused(answer: &str, status: u16, code: &str) {
    let (head, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no head: {answer:?}"));
    assert!(head.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
    let value = |name: &str| head.lines().find_map(|line| line.strip_prefix(name)).map(|line| &line[2..]);
    assert_eq!(value("content-type"), Some("application/problem+json"), "{answer}");
    assert_eq!(value("connection"), Some("close"), "{answer}");
    assert_eq!(value("content-length"), Some(&*body.len().to_string()), "{answer}");
    let problem: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!((problem["code"].as_str(), problem["status"].as_u64()), (Some(code), Some(status.into())));
    assert!(value("x-request-id").is_some_and(|id| problem["requestId"] == id), "{answer}");
    assert_eq!(value("retry-after").is_some(), status == 503, "{answer}");
}

/// A connection from this address of the machine.
async fn from(source: [u8; 4], gate: &Gate) -> TcpStream {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind((source, 0).into()).unwrap();
    socket.connect(gate.address).await.unwrap()
}

/// One from there that is served.
async fn served(source: [u8; 4], gate: &Gate) -> anyhow::Result<TcpStream> {
    let mut socket = from(source, gate).await;
    socket.write_all(b"GET /api/products HTTP/1.1\r\nHost: a\r\n\r\n").await?;
    let mut answer = vec![0; 4_096];
    let count = tokio::time::timeout(crate::gate::LONG, socket.read(&mut answer)).await??;
    anyhow::ensure!(answer[..count].starts_with(b"HTTP/1.1 200"), "not served");
    Ok(socket)
}

#[tokio::test]
async fn one_address_may_have_so_many_connections_and_leaves_the_others_theirs() {
    let gate = Gate::with(|config| {
        config.address_connections_max = 2;
        config.loopback_exempt = false;
        config.trusted_proxies = vec!["127.0.0.9/32".parse().unwrap()];
    })
    .await;
    let (greedy, other, proxy) = ([127, 0, 0, 2], [127, 0, 0, 3], [127, 0, 0, 9]);
    let first = served(greedy, &gate).await.unwrap();
    let _second = served(greedy, &gate).await.unwrap();
    // Refused before it has said anything.
    assert_refused(&read_all(&mut from(greedy, &gate).await).await, 503, "overloaded");
    served(other, &gate).await.expect("somebody else");
    let mut behind_proxy = Vec::new();
    for _ in 0..4 {
        behind_proxy.push(served(proxy, &gate).await.unwrap());
    }
    drop(first);
    testkit::eventually(crate::gate::LONG, async || {
        served(greedy, &gate).await?;
        Ok(())
    })
    .await;
}

/// A service whose answers wait until `go`.
async fn waiting(go: &Stop, stop: &Stop) -> http::Uri {
    let go = go.clone();
    let wait = move || {
        let go = go.clone();
        async move {
            go.stopped().await;
            "at last"
        }
    };
    serve(Router::new().fallback(get(wait)), stop).await
}

#[tokio::test]
async fn more_than_the_gateway_can_carry_is_refused_at_once() {
    let (go, stop) = (Stop::new(), Stop::new());
    let service = waiting(&go, &stop).await;
    let gate = Gate::with(|config| {
        config.in_flight_max = 1;
        config.product_upstreams = vec![service];
    })
    .await
    .knowing()
    .await;
    let (first, ()) = tokio::join!(gate.http.get("/api/products"), async {
        testkit::eventually(crate::gate::LONG, async || {
            let answer = gate.http.get("/api/companies").await?;
            anyhow::ensure!(answer.status == 503);
            assert_eq!(answer.headers["retry-after"], "1");
            answer.problem(503, "overloaded");
            Ok(())
        })
        .await;
        go.stop();
    });
    first.unwrap().expect(200);
    gate.http.get("/api/products").await.unwrap().expect(200);
    stop.stop();
}

#[tokio::test]
async fn one_busy_service_does_not_hold_up_the_others() {
    let (go, stop) = (Stop::new(), Stop::new());
    let service = waiting(&go, &stop).await;
    let gate = Gate::with(|config| {
        config.upstream_in_flight_max = 1;
        config.product_upstreams = vec![service];
    })
    .await
    .knowing()
    .await;
    let (one, other, ()) =
        tokio::join!(gate.http.get("/api/products"), gate.http.get("/api/products"), async {
            gate.as_role(Role::Customer).get("/api/users/me").await.unwrap().expect(200);
            testkit::eventually(crate::gate::LONG, async || {
                let figures = gate.admin.get("/metrics").await?.body.to_string();
                anyhow::ensure!(figures.contains(r#"upstream_errors_total{upstream=\"product\"} 1"#));
                Ok(())
            })
            .await;
            go.stop();
        });
    let mut statuses = [one.unwrap().status, other.unwrap().status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 503]);
    stop.stop();
}
