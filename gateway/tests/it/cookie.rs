//! The login of browsers: a cookie, and the page that asks.

use common::wire::token::Role;
use http::header;

use crate::gate::Gate;

const ME: &str = "/api/users/me";
const LEAVE: &str = "/api/queue/7";

/// Sends a request with these header lines, and gives back status and problem code.
async fn ask(gate: &Gate, method: &str, path: &str, lines: &[&str]) -> (u16, String) {
    let lines: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
    let request =
        format!("{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: 0\r\n{lines}\r\n");
    let answer = gate.raw(request).await;
    let status = answer[9..12].parse().unwrap();
    let code = answer.split("\"code\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default();
    (status, code.to_owned())
}

#[tokio::test]
async fn a_cookie_counts_for_a_change_only_where_our_own_page_asks() {
    let gate = Gate::start().await.knowing().await;
    let token = gate.token(&gate.claims(Role::Customer));
    let cookie = format!("Cookie: a=b; identity={token}");
    let here = format!("Host: {}", gate.address);
    let own = format!("Origin: http://{}", gate.address);
    let upper = own.to_uppercase().replace("ORIGIN: HTTP", "Origin: http");
    let other_port = format!("Origin: http://{}:{}", gate.address.ip(), gate.address.port() ^ 1);
    let no_port = format!("Origin: http://{}", gate.address.ip());
    let longer = format!("{own}.example");
    let shop = "Host: shop.example";
    for (what, host, origin, fine) in [
        ("our own page", &*here, &*own, true),
        ("our own page, shouted", &here, &upper, true),
        ("our own page over TLS", &here, &own.replace("http:", "https:"), true),
        ("no Origin", &here, "X-Nothing: 1", false),
        ("a foreign page", &here, "Origin: https://evil.example", false),
        ("a page that hides where it is from", &here, "Origin: null", false),
        ("an empty Origin", &here, "Origin:", false),
        ("another port", &here, &other_port, false),
        ("no port", &here, &no_port, false),
        ("a name that begins with ours", &here, &longer, false),
        ("no scheme", &here, &own.replace("http://", ""), false),
        ("another scheme", &here, &own.replace("http:", "ftp:"), false),
        ("two pages", &here, &format!("{own}\r\nOrigin: https://evil.example"), false),
        ("the shop", shop, "Origin: https://shop.example", true),
        ("the shop without TLS", shop, "Origin: http://shop.example", false),
        ("the shop's neighbour", shop, "Origin: https://a.shop.example", false),
    ] {
        let (status, code) = ask(&gate, "DELETE", LEAVE, &[host, origin, &cookie]).await;
        let wanted = if fine { (200, "") } else { (403, "foreign-origin") };
        assert_eq!((status, &*code), wanted, "{what}");
        // To look is always fine: what it shows goes to nobody else.
        for method in ["GET", "HEAD"] {
            assert_eq!(ask(&gate, method, ME, &[host, origin, &cookie]).await.0, 200, "{method} by {what}");
        }
    }
    let reached = gate.log.all();
    let deletions = reached.iter().filter(|one| one.method == "DELETE").count();
    assert_eq!(deletions, 4);
    assert!(reached.iter().all(|one| one.header("cookie").is_none()), "a cookie is not passed on");
    assert!(reached.iter().all(|one| one.header("x-identity").is_some()));
}

#[tokio::test]
async fn one_login_is_taken_and_a_bearers_before_a_cookie() {
    let gate = Gate::start().await.knowing().await;
    let (claims, mut other) = (gate.claims(Role::Customer), gate.claims(Role::Customer));
    other.sub = common::wire::id::UserId(43);
    let mut ended = claims.clone();
    ended.exp -= 1_000;
    let [good, other, ended] = [&claims, &other, &ended].map(|claims| gate.token(claims));
    let here = format!("Host: {}", gate.address);
    let bearer = |token: &str| format!("Authorization: Bearer {token}");
    let cookie = |token: &str| format!("Cookie: identity={token}");
    for (what, lines, wanted) in [
        ("a cookie", vec![cookie(&good)], (200, "")),
        (
            "a bearer, whatever the cookie and the page",
            vec![bearer(&other), cookie("x"), "Origin: null".into()],
            (200, ""),
        ),
        ("no fall-back to the cookie", vec![bearer("x"), cookie(&good)], (401, "invalid-token")),
        ("nothing", vec![], (401, "login-required")),
        ("other cookies", vec!["Cookie: a=b; Identity=x; identity".into()], (401, "login-required")),
        (
            "two cookies in a line",
            vec![format!("{}; identity={good}", cookie(&good))],
            (401, "invalid-token"),
        ),
        ("two cookies in two lines", vec![cookie(&good), cookie(&other)], (401, "invalid-token")),
        ("garbage", vec![cookie("garbage")], (401, "invalid-token")),
        ("empty", vec![cookie("")], (401, "invalid-token")),
        ("quoted", vec![cookie(&format!("\"{good}\""))], (401, "invalid-token")),
        ("ended", vec![cookie(&ended)], (401, "invalid-token")),
        ("an access token", vec![cookie(&gate.pass(&claims, 7))], (401, "invalid-token")),
    ] {
        let lines: Vec<&str> = lines.iter().map(String::as_str).chain([&*here]).collect();
        let (status, code) = ask(&gate, "GET", ME, &lines).await;
        assert_eq!((status, &*code), wanted, "{what}");
    }
    let users: Vec<i64> = gate
        .log
        .all()
        .iter()
        .map(|one| gate.verifier.assertion(one.header("x-identity").unwrap()).unwrap().sub.0)
        .collect();
    assert_eq!(users, [42, 43]);
}

#[tokio::test]
async fn a_foreign_page_cannot_log_a_browser_in_or_out() {
    let gate = Gate::start().await;
    let here = format!("Host: {}", gate.address);
    let own = format!("Origin: http://{}", gate.address);
    for path in ["/api/auth/login", "/api/auth/refresh", "/api/auth/logout", "/login"] {
        for (origin, status) in
            [("X-App: 1", 200), (&*own, 200), ("Origin: https://evil.example", 403), ("Origin: null", 403)]
        {
            assert_eq!(ask(&gate, "POST", path, &[&here, origin]).await.0, status, "{path} {origin}");
        }
    }
}

#[tokio::test]
async fn a_page_for_visitors_is_told_of_a_valid_login_alone() {
    let gate = Gate::start().await.knowing().await;
    let here = format!("Host: {}", gate.address);
    let good = format!("Cookie: identity={}", gate.token(&gate.claims(Role::Customer)));
    for (lines, is_known) in [
        (vec![&*here], false),
        (vec![&*here, "Cookie: identity=garbage"], false),
        (vec![&*here, "Authorization: Basic x"], false),
        (vec![&*here, &*good], true),
    ] {
        assert_eq!(ask(&gate, "GET", "/queue/7/plain", &lines).await.0, 200, "{lines:?}");
        let reached = gate.log.last();
        assert_eq!(reached.header("x-identity").is_some(), is_known, "{lines:?}");
        assert_eq!((reached.header("cookie"), reached.header("authorization")), (None, None));
    }
    let form = ask(&gate, "POST", "/queue/7/plain", &[&here, "Origin: https://evil.example", &good]).await;
    assert_eq!(form, (403, "foreign-origin".into()));
}

#[tokio::test]
async fn an_event_stream_is_opened_with_a_cookie() {
    let gate = Gate::start().await.knowing().await;
    let live =
        gateway::routes::TABLE.iter().find(|route| route.pattern == "/api/queue/{productId}/live").unwrap();
    assert!(live.deadline.is_none() && live.rule == gateway::routes::Rule::Login);
    let token = gate.token(&gate.claims(Role::Customer));
    let browser = gate.http.with(header::COOKIE.as_str(), format!("identity={token}"));
    browser.with("accept", "text/event-stream").get("/api/queue/7/live").await.unwrap().expect(200);
}

#[tokio::test]
async fn the_cookies_of_a_login_reach_its_service_on_its_routes_alone() {
    let gate = Gate::start().await.knowing().await;
    let here = format!("Host: {}", gate.address);
    let own = format!("Origin: http://{}", gate.address);
    let identity = gate.token(&gate.claims(Role::Customer));
    let cookies = format!("Cookie: a=b; refresh=r1; identity={identity}; device=d1; refresh=r2");
    for (method, path, passed) in [
        ("POST", "/api/auth/login", Some("refresh=r1; refresh=r2; device=d1")),
        ("POST", "/api/auth/refresh", Some("refresh=r1; refresh=r2; device=d1")),
        ("POST", "/api/auth/logout", Some("refresh=r1; refresh=r2; device=d1")),
        ("POST", "/login", Some("refresh=r1; refresh=r2; device=d1")),
        ("POST", "/api/auth/signup", None),
        ("GET", "/api/auth/sessions", None),
        ("POST", "/api/auth/password", None),
        ("GET", ME, None),
        ("DELETE", LEAVE, None),
    ] {
        assert_eq!(ask(&gate, method, path, &[&here, &own, &cookies]).await.0, 200, "{method} {path}");
        assert_eq!(gate.log.last().header("cookie"), passed, "{method} {path}");
    }
    ask(&gate, "POST", "/api/auth/login", &[&here, "Cookie: identity=x; b=c"]).await;
    assert_eq!(gate.log.last().header("cookie"), None);
}

#[tokio::test]
async fn the_gateway_gives_its_word_for_the_address_of_whoever_logs_in() {
    let gate = Gate::start().await.knowing().await;
    let here = format!("Host: {}", gate.address);
    let forged = ["X-Identity: forged", "X-Forwarded-For: 203.0.113.7"];
    let bearer = format!("Authorization: Bearer {}", gate.token(&gate.claims(Role::Seller)));
    for (path, lines, role) in [
        ("/api/auth/login", vec![], Some(Role::Service)),
        ("/api/auth/login", vec![&*bearer], Some(Role::Service)),
        ("/api/auth/refresh", vec![], Some(Role::Service)),
        ("/api/auth/logout", vec![], Some(Role::Service)),
        ("/api/auth/logout", vec![&*bearer], Some(Role::Seller)),
        ("/api/auth/signup", vec![], None),
    ] {
        let lines: Vec<&str> = lines.into_iter().chain(forged).chain([&*here]).collect();
        assert_eq!(ask(&gate, "POST", path, &lines).await.0, 200, "{path}");
        let reached = gate.log.last();
        let said = reached.header("x-identity").map(|said| gate.verifier.assertion(said).unwrap().role);
        assert_eq!(said, role, "{path}");
        assert_eq!(reached.header("x-forwarded-for"), Some("127.0.0.1"));
    }
}
