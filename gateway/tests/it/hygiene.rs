//! What a client may not say does not reach a service.

use common::wire::id::UserId;
use common::wire::token::Role;

use crate::gate::Gate;

#[tokio::test]
async fn nobody_gets_an_identity_by_saying_so() {
    let gate = Gate::start().await.knowing().await;
    let forged = gate.verifier.assert_service().unwrap();
    let names = [
        "X-Identity",
        "x-identity",
        "X_Identity",
        "X-Identity-2",
        "X.Identity",
        "X-User-Id",
        "X_User_Id",
        "X-USER-ROLE",
        "X-User",
        "x_user_name",
        "X-Forwarded-For",
        "X-Forwarded-Host",
        "X-Forwarded-User",
        "Forwarded",
        "X-Real-IP",
        "X-Original-URL",
        "X-HTTP-Method-Override",
        "Any_Other",
    ];
    let lines: String = names.iter().map(|name| format!("{name}: {forged}\r\n")).collect();
    let request = format!("GET /api/products HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n{lines}\r\n");
    assert!(gate.raw(request).await.starts_with("HTTP/1.1 200"));
    let reached = gate.log.last();
    assert!(reached.headers.values().all(|value| value != forged.as_str()), "{:?}", reached.headers);
    assert_eq!(reached.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(reached.header("x-forwarded-host"), Some("shop"));
    assert_eq!(reached.header("x-forwarded-proto"), Some("http"));
}

#[tokio::test]
async fn a_login_reaches_the_service_as_the_gateways_assertion_only() {
    let gate = Gate::start().await.knowing().await;
    let claims = gate.claims(Role::Customer);
    let forged = gate.verifier.assert_service().unwrap();
    gate.http
        .login(&gate.token(&claims))
        .with("x-identity", forged)
        .get("/api/users/me")
        .await
        .unwrap()
        .expect(200);
    let reached = gate.log.last();
    assert_eq!(reached.header("authorization"), None);
    assert_eq!(reached.headers.get_all("x-identity").iter().count(), 1);
    let said = gate.verifier.assertion(reached.header("x-identity").unwrap()).unwrap();
    assert_eq!((said.sub, said.role, said.sid), (UserId(42), Role::Customer, claims.sid));
    assert!(said.passes.is_empty() && said.exp <= gate.clock.now_s() + 60);
}

#[tokio::test]
async fn connection_cannot_take_the_gateways_own_headers_away() {
    let gate = Gate::start().await.knowing().await;
    let token = gate.token(&gate.claims(Role::Customer));
    let request = format!(
        "GET /api/users/me HTTP/1.1\r\nHost: shop\r\nAuthorization: Bearer {token}\r\nX-Mine: 1\r\n\
         Connection: close, x-identity, X-Request-Id, traceparent, x-forwarded-for, host, X-Mine\r\n\r\n"
    );
    assert!(gate.raw(request).await.starts_with("HTTP/1.1 200"));
    let reached = gate.log.last();
    for kept in ["x-identity", "x-request-id", "traceparent", "x-forwarded-for", "host"] {
        assert!(reached.header(kept).is_some(), "{kept}");
    }
    assert_eq!(reached.header("x-mine"), None);
}

#[tokio::test]
async fn what_belongs_to_one_connection_stays_there() {
    let gate = Gate::start().await;
    let answer = gate
        .raw(
            "GET /api/products HTTP/1.1\r\nHost: shop\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\nTE: trailers\r\n\
             Upgrade: websocket\r\nProxy-Authorization: Basic x\r\nConnection: upgrade\r\nConnection: close\r\n\r\n",
        )
        .await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let reached = gate.log.last();
    for name in ["keep-alive", "proxy-connection", "te", "upgrade", "proxy-authorization", "connection"] {
        assert_eq!(reached.header(name), None, "{name}");
    }
}

#[tokio::test]
async fn tokens_are_not_passed_on_where_nobody_asked_for_them() {
    let gate = Gate::start().await;
    gate.http.login("stale").pass("stale").get("/api/products").await.unwrap().expect(200);
    let reached = gate.log.last();
    assert_eq!(reached.header("authorization"), None);
    assert_eq!(reached.header("x-access-token"), None);
}

#[tokio::test]
async fn a_request_keeps_one_id_and_one_trace() {
    let gate = Gate::start().await;
    let trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
    let http =
        gate.http.with("x-request-id", "client-id-1").with("traceparent", trace).with("tracestate", "a=b");
    let answer = http.get("/api/products").await.unwrap().expect(200);
    assert_eq!(answer.headers["x-request-id"], "client-id-1");
    let reached = gate.log.last();
    assert_eq!(reached.header("x-request-id"), Some("client-id-1"));
    assert!(reached.header("traceparent").unwrap().starts_with("00-4bf92f3577b34da6a3ce929d0e0e4736-"));
    assert_eq!(reached.header("tracestate"), Some("a=b"));

    let http =
        gate.http.with("x-request-id", "short").with("traceparent", "nonsense").with("tracestate", "a=b");
    let problem = http.get("/api/users/me").await.unwrap();
    assert_eq!(problem.headers["x-request-id"], problem.body["requestId"].as_str().unwrap());
    problem.problem(401, "login-required");
    http.get("/api/products").await.unwrap().expect(200);
    assert_eq!(gate.log.last().header("tracestate"), None);
}

#[tokio::test]
async fn a_request_with_two_logins_or_two_hosts_is_refused() {
    let gate = Gate::start().await.knowing().await;
    let token = gate.token(&gate.claims(Role::Customer));
    let bearer = format!("Authorization: Bearer {token}\r\n");
    for (lines, status) in [
        (format!("Host: a\r\n{bearer}{bearer}"), "401"),
        (format!("Host: a\r\nHost: b\r\n{bearer}"), "400"),
        (bearer.clone(), "400"),
    ] {
        let request = format!("GET /api/users/me HTTP/1.1\r\nConnection: close\r\n{lines}\r\n");
        let answer = gate.raw(request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{answer}");
    }
    let other = format!("GET http://b/api/users/me HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{bearer}\r\n");
    assert!(gate.raw(other).await.starts_with("HTTP/1.1 400"));
    let same = format!("GET http://a/api/users/me HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{bearer}\r\n");
    assert!(gate.raw(same).await.starts_with("HTTP/1.1 200"));
    assert_eq!(gate.log.all().len(), 1);
}
