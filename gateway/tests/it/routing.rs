//! The route table seen from outside.

use common::wire::token::Role;
use http::{Method, header};
use serde_json::json;
use testkit::client::{Answer, Http};

use crate::gate::Gate;

async fn ask(http: &Http, method: Method, path: &str) -> Answer {
    Http::send(format!("{method} {path}"), http.request(method, path)).await.unwrap()
}

#[tokio::test]
async fn every_route_is_reached() {
    let gate = Gate::start().await.knowing().await;
    let admin = gate.claims(Role::Admin);
    let http = gate.http.login(&gate.token(&admin)).pass(&gate.pass(&admin, 7));
    for route in gateway::routes::TABLE.iter().filter(|route| !route.pattern.contains('*')) {
        let path = route.pattern.replace("{id}", "7").replace("{productId}", "7").replace(['{', '}'], "");
        ask(&http, route.method.clone(), &path).await.expect(200);
    }
}

#[tokio::test]
async fn each_service_gets_its_own_routes_with_path_and_query_as_sent() {
    let gate = Gate::start().await.knowing().await;
    gate.http.get("/api/products?search=%EA%B0%80%20b&page=2").await.unwrap().expect(200);
    let reached = gate.log.last();
    assert_eq!(reached.uri, "/api/products?search=%EA%B0%80%20b&page=2");
    assert_eq!(reached.method, Method::GET);
    assert_eq!(reached.header("host"), Some(&*gate.address.to_string()), "the host as the client named it");
}

#[tokio::test]
async fn an_unknown_path_is_404_and_a_wrong_method_405_with_allow() {
    let gate = Gate::start().await;
    for path in ["/api/nothing", "/api/orders/1/2/3", "/nothing.html", "/api/products/seven", "/api/orders/"]
    {
        gate.http.get(path).await.unwrap().problem(404, "no-such-route");
    }
    gate.http.post("/nothing", &json!({})).await.unwrap().problem(404, "no-such-route");
    for (path, allow) in [
        ("/api/auth/login", "POST"),
        ("/api/queue/7", "DELETE, GET, HEAD, POST"),
        ("/api/products/7/summary", "GET, HEAD"),
        ("/", "GET, HEAD"),
    ] {
        let answer = ask(&gate.http, Method::PATCH, path).await;
        assert_eq!(answer.headers[header::ALLOW], allow);
        answer.problem(405, "method-not-allowed");
    }
    assert!(gate.log.all().is_empty());
}

#[tokio::test]
async fn what_is_inside_is_not_reachable() {
    let gate = Gate::start().await;
    for path in ["/internal/products/7/snapshot", "/livez", "/readyz", "/metrics", "/internal"] {
        for method in [Method::GET, Method::POST] {
            ask(&gate.http, method, path).await.problem(404, "no-such-route");
        }
    }
    assert!(gate.log.all().is_empty());
}

#[tokio::test]
async fn a_path_with_two_readings_is_refused() {
    let gate = Gate::start().await;
    for path in [
        "/api/products/../../internal/products/7/snapshot",
        "/api/products/%2e%2e/7",
        "/api%2fproducts",
        "/api/products%5c7",
        "/api/products%00",
        "//api/products",
        "/api//products",
        "/api/products;x=1",
        "/api/./products",
        "/api/%70roducts",
        "/api/products\\7",
        "/api/products/%c3%a9",
        "/%2e%2e/Cargo.toml",
        "*",
    ] {
        let answer = gate.raw(format!("GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{path}: {answer}");
        // What hyper cannot read as a target at all never becomes a request.
        assert!(answer.contains("\"bad-path\"") || answer.contains("content-length: 0"), "{path}: {answer}");
    }
    assert!(gate.log.all().is_empty());
}

#[tokio::test]
async fn both_issuers_keys_are_published_together() {
    let gate = Gate::start().await.knowing().await;
    let answer = gate.http.get("/.well-known/jwks.json").await.unwrap().expect(200);
    assert_eq!(answer.headers[header::CACHE_CONTROL], "public, max-age=60");
    let kids: Vec<&str> =
        answer.body["keys"].as_array().unwrap().iter().filter_map(|key| key["kid"].as_str()).collect();
    assert_eq!(kids, [gate.issuers.identity.kid(), gate.issuers.pass.kid()]);
}

#[tokio::test]
async fn the_operators_side_is_ready_alone_and_counts_routes_by_pattern() {
    let gate = Gate::start().await;
    gate.admin.get("/livez").await.unwrap().expect(200);
    gate.admin.get("/readyz").await.unwrap().expect(200);
    gate.http.get("/api/companies/1").await.unwrap().expect(200);
    gate.http.get("/api/nothing/of/the/sort").await.unwrap().expect(404);
    let figures = gate.admin.get("/metrics").await.unwrap().expect(200).body;
    let figures = figures.as_str().unwrap();
    for line in [
        r#"astraphe_gateway_requests_total{route="/api/companies/{id}",status="200"} 1"#,
        r#"astraphe_gateway_requests_total{route="unmatched",status="404"} 1"#,
        r#"astraphe_gateway_request_seconds_count{route="unmatched"} 1"#,
        "astraphe_gateway_in_flight 0",
    ] {
        assert!(figures.contains(line), "{line} in {figures}");
    }
}

#[tokio::test]
async fn a_head_is_answered_like_its_get_without_a_body() {
    let gate = Gate::start().await;
    let answer = ask(&gate.http, Method::HEAD, "/api/products").await.expect(200);
    assert_eq!(answer.headers[header::CONTENT_LENGTH], "18");
    assert_eq!(gate.log.last().method, Method::HEAD);
}
