//! What browsers get to see.

use axum::Router;
use axum::routing::get;
use common::stop::Stop;
use common::wire::token::Role;
use http::{Method, header};

use crate::gate::{Gate, serve};

const PAGE: &str = "/api/products/7";
const GUEST: &str = "https://partner.example";

#[tokio::test]
async fn a_person_without_an_access_token_is_sent_to_the_waiting_page_and_a_program_told_where_to_queue() {
    let gate = Gate::start().await.knowing().await;
    let token = gate.token(&gate.claims(Role::Customer));
    for lines in [
        String::new(),
        format!("Authorization: Bearer {token}\r\n"),
        format!("Authorization: Bearer {token}\r\nX-Access-Token: forged\r\n"),
    ] {
        let kinds = "Accept: text/html,application/xhtml+xml,*/*;q=0.8";
        let answer = gate
            .raw(format!("GET {PAGE} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{kinds}\r\n{lines}\r\n"))
            .await;
        assert!(answer.starts_with("HTTP/1.1 303"), "{answer}");
        assert!(answer.contains("location: /queue/7/wait\r\n"), "{answer}");
        assert!(answer.contains("cache-control: no-store\r\n"), "{answer}");
    }
    let problem = gate.as_role(Role::Customer).get(PAGE).await.unwrap().problem(403, "access-token-required");
    assert_eq!(problem["queue"], "/api/queue/7");
    gate.http.with("accept", "application/json").get(PAGE).await.unwrap().problem(401, "login-required");
    assert!(gate.log.all().is_empty());
}

#[tokio::test]
async fn every_answer_says_how_browsers_are_to_take_it() {
    let proxies =
        |config: &mut gateway::Config| config.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
    let gate = Gate::with(proxies).await;
    for path in ["/api/products", "/api/nothing", "/"] {
        let answer = gate.http.with("x-forwarded-proto", "https").get(path).await.unwrap();
        assert_eq!(answer.headers["x-content-type-options"], "nosniff", "{path}");
        assert!(answer.headers.contains_key("cache-control"), "{path}");
        assert_eq!(answer.headers["strict-transport-security"], "max-age=31536000", "{path}");
        let answer = gate.http.get(path).await.unwrap();
        assert!(!answer.headers.contains_key("strict-transport-security"), "{path}");
    }
}

#[tokio::test]
async fn only_pages_that_the_settings_name_may_use_the_api_from_elsewhere() {
    let gate = Gate::with(|config| config.cors_origins = vec![GUEST.parse().unwrap()]).await.knowing().await;
    for (origin, is_guest) in [(GUEST, true), ("https://evil.example", false), ("null", false)] {
        let http = gate.http.with("origin", origin);
        let asked = http
            .with("access-control-request-method", "POST")
            .with("access-control-request-headers", "authorization");
        let answer = asked.request(Method::OPTIONS, "/api/orders").send().await.unwrap();
        let allowed = answer.headers().get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
        assert_eq!(allowed.is_some_and(|allowed| allowed == origin), is_guest, "{origin}");
        assert!(!answer.headers().contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS));
        let login = http.request(Method::POST, "/api/auth/login").send().await.unwrap();
        assert_eq!(login.status().as_u16(), if is_guest { 200 } else { 403 }, "{origin}");
        // A cookie counts for our own pages alone.
        let token = gate.token(&gate.claims(Role::Customer));
        let cookie = http.with("cookie", format!("identity={token}"));
        assert_eq!(
            cookie.request(Method::DELETE, "/api/queue/7").send().await.unwrap().status(),
            403,
            "{origin}"
        );
    }
}

#[tokio::test]
async fn long_answers_are_compressed_and_event_streams_never() {
    let stop = Stop::new();
    let text = "0123456789".repeat(1_000);
    let (long, events) = (text.clone(), text.clone());
    let router = Router::new()
        .route("/api/products", get(move || async move { ([("content-type", "application/json")], long) }))
        .route("/api/companies", get(|| async { ([("content-type", "application/json")], "short") }))
        .route(
            "/api/categories",
            get(move || async move { ([("content-type", "text/event-stream")], events) }),
        );
    let gate = Gate::before(vec![serve(router, &stop).await], stop).await;
    let ask = async |path: &str| {
        let http = gate.http.with("accept-encoding", "gzip");
        http.request(Method::GET, path).send().await.unwrap()
    };
    let answer = ask("/api/products").await;
    assert_eq!(answer.headers()[header::CONTENT_ENCODING], "gzip");
    assert!(answer.headers()[header::VARY].to_str().unwrap().contains("accept-encoding"));
    assert!(answer.bytes().await.unwrap().len() < text.len() / 5);
    for path in ["/api/companies", "/api/categories"] {
        assert!(!ask(path).await.headers().contains_key(header::CONTENT_ENCODING), "{path}");
    }
    let plain = gate.http.request(Method::GET, "/api/products").send().await.unwrap();
    assert_eq!(plain.text().await.unwrap(), text);
}
