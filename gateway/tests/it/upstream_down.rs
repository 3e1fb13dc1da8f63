//! Services that are not there, hang, die or talk nonsense.

use common::stop::Stop;
use common::wire::token::Role;
use http::Method;
use serde_json::json;

use crate::gate::{Gate, nowhere, scripted};

#[tokio::test]
async fn a_service_that_is_not_there_is_502() {
    let (service, _held) = nowhere();
    let gate = Gate::before(vec![service], Stop::new()).await;
    gate.http.get("/api/products").await.unwrap().problem(502, "upstream-unreachable");
    gate.http.post("/api/auth/login", &json!({})).await.unwrap().problem(502, "upstream-unreachable");
    let figures = gate.admin.get("/metrics").await.unwrap().body.to_string();
    assert!(
        figures.contains(r#"astraphe_gateway_upstream_errors_total{upstream=\"product\"} 1"#),
        "{figures}"
    );
    assert!(figures.contains(r#"astraphe_gateway_upstream_errors_total{upstream=\"user\"} 1"#), "{figures}");
    gate.admin.get("/readyz").await.unwrap().expect(200);
}

#[tokio::test]
async fn a_reading_request_goes_to_another_replica() {
    let stop = Stop::new();
    let (dead, _held) = nowhere();
    let alive = scripted(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false, &stop).await;
    let gate = Gate::before(vec![dead, alive], stop).await.knowing().await;
    let seller = gate.as_role(Role::Seller);
    for _ in 0..8 {
        gate.http.get("/api/products").await.unwrap().expect(200);
    }
    // The dead one rests now, so that nothing is sent to it.
    for _ in 0..8 {
        seller.post("/api/companies", &json!({})).await.unwrap().expect(200);
    }
}

#[tokio::test]
async fn a_service_that_hangs_is_504() {
    let stop = Stop::new();
    let service = scripted(b"", true, &stop).await;
    let gate = Gate::before(vec![service], stop).await;
    gate.http.get("/api/products").await.unwrap().problem(504, "upstream-timeout");
    gate.http.post("/api/auth/login", &json!({"a": 1})).await.unwrap().problem(504, "upstream-timeout");
}

#[tokio::test]
async fn an_answer_that_is_none_is_502() {
    for answer in [
        &b"SSH-2.0-OpenSSH_9.2\r\n"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent",
        b"",
    ] {
        let stop = Stop::new();
        let service = scripted(answer, false, &stop).await;
        let gate = Gate::before(vec![service], stop).await;
        let got = gate.http.get("/api/products").await.unwrap();
        assert_eq!(got.status, 502, "{:?}: {}", String::from_utf8_lossy(answer), got.body);
        got.problem(502, "bad-upstream-answer");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_passed_off_as_whole() {
    for (answer, hangs) in [
        (&b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"[..], false),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", false),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n", true),
    ] {
        let stop = Stop::new();
        let service = scripted(answer, hangs, &stop).await;
        let gate = Gate::before(vec![service], stop).await;
        let got = gate.http.request(Method::GET, "/api/products").send().await.unwrap();
        assert_eq!(got.status(), 200);
        assert!(got.bytes().await.is_err(), "{:?}", String::from_utf8_lossy(answer));
    }
}

#[tokio::test]
async fn what_belongs_to_the_services_connection_stays_there() {
    let stop = Stop::new();
    let service = scripted(
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5\r\n\
          X-Identity: leaked\r\nX-Kept: 1\r\n\r\nok",
        false,
        &stop,
    )
    .await;
    let gate = Gate::before(vec![service], stop).await;
    let answer = gate.http.get("/api/products").await.unwrap().expect(200);
    for name in ["connection", "x-hop", "keep-alive", "x-identity"] {
        assert!(!answer.headers.contains_key(name), "{name}");
    }
    assert_eq!(answer.headers["x-kept"], "1");
}
