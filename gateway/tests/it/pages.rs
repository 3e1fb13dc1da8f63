//! The static pages.

use std::io::Read as _;

use flate2::read::GzDecoder;
use http::{Method, header};
use testkit::client::{Answer, Http};

use crate::gate::Gate;

async fn ask(http: &Http, method: Method, path: &str) -> Answer {
    Http::send(format!("{method} {path}"), http.request(method, path)).await.unwrap()
}

fn header<'a>(answer: &'a Answer, name: &str) -> Option<&'a str> {
    answer.headers.get(name).and_then(|value| value.to_str().ok())
}

#[tokio::test]
async fn pages_come_with_validators_and_a_policy() {
    let gate = Gate::start().await;
    let page = gate.http.get("/").await.unwrap().expect(200);
    assert_eq!(header(&page, "content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(header(&page, "cache-control"), Some("no-cache"));
    assert_eq!(header(&page, "x-content-type-options"), Some("nosniff"));
    let policy = header(&page, "content-security-policy").unwrap();
    assert!(policy.contains("default-src 'self'") && policy.contains("frame-ancestors 'none'"));
    assert!(!policy.contains("unsafe"), "{policy}");
    gate.http.get("/shopper/page.js").await.unwrap().expect(200);
    let head = ask(&gate.http, Method::HEAD, "/index.html").await.expect(200);
    assert_eq!(header(&head, "content-length"), Some("35"));
    for path in ["/.hidden", "/shopper/none.js", "/shopper", "/shopper/", "/queue/7/none"] {
        gate.http.get(path).await.unwrap().problem(404, "no-such-route");
    }
}

#[tokio::test]
async fn each_form_of_a_page_has_its_own_validator() {
    let gate = Gate::start().await;
    let plain = gate.http.get("/queue/wait.html").await.unwrap().expect(200);
    let zipped = gate.http.with("accept-encoding", "gzip");
    let zipped = zipped.request(Method::GET, "/queue/wait.html").send().await.unwrap();
    assert_eq!(zipped.headers()[header::CONTENT_ENCODING], "gzip");
    assert_eq!((header(&plain, "content-encoding"), header(&plain, "vary")), (None, Some("accept-encoding")));
    assert_eq!(zipped.headers()[header::VARY], "accept-encoding");
    let tags = [&plain.headers[header::ETAG], &zipped.headers()[header::ETAG]]
        .map(|tag| tag.to_str().unwrap().to_owned());
    assert_ne!(tags[0], tags[1]);
    let mut text = String::new();
    GzDecoder::new(&*zipped.bytes().await.unwrap()).read_to_string(&mut text).unwrap();
    assert_eq!(Some(&*text), plain.body.as_str());

    let [own, other] = tags;
    for (known, status) in [
        (own.clone(), 304),
        (format!("W/{own}"), 304),
        (format!("\"x\", {own}"), 304),
        ("*".into(), 304),
        (other, 200),
        ("\"x\"".into(), 200),
        (own.trim_matches('"').into(), 200),
    ] {
        let answer = gate.http.with("if-none-match", &known).get("/queue/wait.html").await.unwrap();
        assert_eq!(answer.status, status, "{known}");
        assert_eq!(header(&answer, "etag"), Some(&*own), "{known}");
        assert_eq!(answer.body.is_null(), status == 304);
    }
}

#[tokio::test]
async fn a_page_is_compressed_for_whom_it_helps() {
    let gate = Gate::start().await;
    for (accepted, path, zipped) in [
        ("gzip", "/queue/wait.html", true),
        ("br, GZIP;q=0.5", "/queue/wait.html", true),
        ("*", "/queue/wait.html", true),
        ("gzip;q=0", "/queue/wait.html", false),
        ("gzip; q=0.000, *", "/queue/wait.html", false),
        ("identity", "/queue/wait.html", false),
        ("br", "/queue/wait.html", false),
        ("gzip;q=much", "/queue/wait.html", false),
        // Too short to gain anything.
        ("gzip", "/index.html", false),
    ] {
        let answer =
            gate.http.with("accept-encoding", accepted).request(Method::HEAD, path).send().await.unwrap();
        let coding = answer.headers().get(header::CONTENT_ENCODING).map(|coding| coding.to_str().unwrap());
        assert_eq!(coding, zipped.then_some("gzip"), "{accepted} {path}");
    }
}

#[tokio::test]
async fn the_waiting_page_is_the_same_bytes_at_every_address() {
    let gate = Gate::start().await;
    let page = gate.http.get("/queue/wait.html").await.unwrap().expect(200);
    for path in ["/queue/7/wait", "/queue/8/wait", "/queue/anything/wait?a=b"] {
        let other = gate.http.with("cookie", "identity=x").get(path).await.unwrap().expect(200);
        assert_eq!((&other.body, header(&other, "etag")), (&page.body, header(&page, "etag")), "{path}");
    }
    assert!(gate.log.all().is_empty());
}

#[tokio::test]
async fn what_a_page_loads_is_kept_for_good_under_a_name_of_its_bytes() {
    let gate = Gate::start().await;
    let page = gate.http.get("/shop.html").await.unwrap().expect(200);
    assert_eq!(header(&page, "cache-control"), Some("no-cache"));
    let html = page.body.as_str().unwrap();
    let name = html.split('"').nth(1).unwrap();
    assert!(name.starts_with("/shopper/page.") && name.ends_with(".js") && name.len() == 29, "{name}");
    let plain = gate.http.get("/shopper/page.js").await.unwrap().expect(200);
    let versioned = gate.http.get(name).await.unwrap().expect(200);
    assert_eq!((&versioned.body, header(&versioned, "etag")), (&plain.body, header(&plain, "etag")));
    assert_eq!(header(&versioned, "cache-control"), Some("public, max-age=31536000, immutable"));
    assert_eq!(header(&plain, "cache-control"), Some("no-cache"));
    // Of the replica beside this one, which has other bytes: not to be kept.
    let other = gate.http.get("/shopper/page.0123456789ab.js").await.unwrap().expect(200);
    assert_eq!((&other.body, header(&other, "cache-control")), (&plain.body, Some("no-cache")));
    gate.http.get("/shopper/none.0123456789ab.js").await.unwrap().problem(404, "no-such-route");
}

#[tokio::test]
async fn the_api_describes_itself() {
    let gate = Gate::start().await;
    let document = gate.http.get("/openapi.json").await.unwrap().expect(200);
    assert_eq!(header(&document, "content-type"), Some("application/json"));
    assert_eq!(document.body["openapi"], "3.1.0");
    let place = &document.body["paths"]["/api/orders"]["post"];
    assert_eq!(
        place["responses"]["202"]["content"]["application/json"]["schema"]["$ref"],
        "#/components/schemas/OrderView"
    );
    assert_eq!(place["security"][0], serde_json::json!({"bearer": [], "pass": []}));
    gate.http.get("/docs").await.unwrap().expect(200);
}
