//! Requests whose end two programs could see in two places. Whatever the gateway makes of them, nothing that was not
//! answered as a request of its own may reach a service.

use crate::gate::Gate;

/// Inside the body of every attack: what the attacker wants a service to take for a request.
const HIDDEN: &str = "GET /api/companies HTTP/1.1\r\nHost: a\r\n\r\n";

fn attack(head: &str, body: &str) -> String {
    format!("POST /api/auth/login HTTP/1.1\r\nHost: a\r\n{head}\r\n{body}")
}

#[tokio::test]
async fn nothing_hidden_in_a_body_becomes_a_request() {
    let gate = Gate::start().await;
    let length = HIDDEN.len();
    let chunked = format!("{length:x}\r\n{HIDDEN}\r\n0\r\n\r\n");
    let cl = format!("Content-Length: {}\r\n", chunked.len());
    let lines = |body: &str| attack("Transfer-Encoding: chunked\r\n", body);
    let refused = [
        ("a coding that is not chunked", attack("Transfer-Encoding: gzip\r\n", &chunked)),
        ("chunked not last", attack("Transfer-Encoding: chunked, gzip\r\n", &chunked)),
        ("a misspelt coding", attack("Transfer-Encoding: xchunked\r\n", &chunked)),
        ("a coding in quotes", attack("Transfer-Encoding: \"chunked\"\r\n", &chunked)),
        ("two lengths", attack(&format!("Content-Length: 0\r\nContent-Length: {length}\r\n"), HIDDEN)),
        ("a list of lengths", attack(&format!("Content-Length: 0, {length}\r\n"), HIDDEN)),
        ("a signed length", attack(&format!("Content-Length: +{length}\r\n"), HIDDEN)),
        ("a negative length", attack("Content-Length: -1\r\n", HIDDEN)),
        ("a length in hex", attack("Content-Length: 0x10\r\n", HIDDEN)),
        ("a huge length", attack("Content-Length: 99999999999999999999999\r\n", HIDDEN)),
        ("a blank before the colon", attack(&format!("Content-Length : {length}\r\n"), HIDDEN)),
        ("a blank before the coding's colon", attack("Transfer-Encoding : chunked\r\n", &chunked)),
        ("a folded coding", attack("Transfer-Encoding:\r\n chunked\r\n", &chunked)),
        ("a zero byte in a name", attack("Transfer\0-Encoding: chunked\r\nContent-Length: 0\r\n", HIDDEN)),
        ("a chunk size that is none", attack("Transfer-Encoding: chunked\r\n", &format!("zz\r\n{chunked}"))),
        ("a signed chunk size", attack("Transfer-Encoding: chunked\r\n", &format!("+{chunked}"))),
        (
            "a chunk size beyond 64 bits",
            attack("Transfer-Encoding: chunked\r\n", &format!("1{:0>17}\r\n{HIDDEN}", 0)),
        ),
        (
            "a chunk that is longer than it says",
            attack("Transfer-Encoding: chunked\r\n", &format!("1\r\n{HIDDEN}")),
        ),
        ("a coding and a comma", attack("Transfer-Encoding: chunked,\r\n", &chunked)),
        ("a chunk size that a line feed ends", lines(&format!("{length:x}\n{HIDDEN}\r\n0\r\n\r\n"))),
        ("a chunk size that a return ends", lines(&format!("{length:x}\r{HIDDEN}\r\n0\r\n\r\n"))),
        ("a chunk that a line feed ends", lines(&format!("{length:x}\r\n{HIDDEN}\n0\r\n\r\n"))),
        ("an extension with a line feed", lines(&format!("{length:x};a\nb\r\n{HIDDEN}\r\n0\r\n\r\n"))),
        ("an end that a line feed ends", lines(&format!("0\n\n{HIDDEN}"))),
    ];
    for (what, bytes) in refused {
        let answer = gate.raw(&bytes).await;
        assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("\"code\":"), "{what}: {answer}");
        assert!(gate.log.all().is_empty(), "{what}: {:?}", gate.log.all());
    }
    // HTTP/1.0 knows no codings.
    for length in ["", &cl] {
        let old =
            format!("POST /api/auth/login HTTP/1.0\r\n{length}Transfer-Encoding: chunked\r\n\r\n{chunked}");
        let answer = gate.raw(old).await;
        assert!(answer.contains(" 400 "), "{answer}");
        assert!(gate.log.all().is_empty());
    }

    for (what, head) in [
        ("length, then coding", format!("{cl}Transfer-Encoding: chunked\r\n")),
        ("coding, then length", format!("Transfer-Encoding: chunked\r\n{cl}")),
        ("a shorter length and a coding", "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n".into()),
        ("the coding in capitals", "Transfer-Encoding: CHUNKED\r\n".into()),
        ("the coding with blanks", "Transfer-Encoding: \t chunked \t\r\n".into()),
        ("a coding before it", "Transfer-Encoding: gzip, chunked\r\n".into()),
        ("the coding twice", "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n".into()),
    ] {
        gate.log.clear();
        let answer = gate.raw(attack(&format!("Connection: close\r\n{head}"), &chunked)).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{what}: {answer}");
        let all = gate.log.all();
        assert_eq!(all.len(), 1, "{what}");
        assert_eq!(all[0].body, HIDDEN, "{what}: the coding wins");
        let framing = (all[0].header("content-length"), all[0].header("transfer-encoding"));
        assert_eq!(framing, (Some(&*length.to_string()), None), "{what}: one framing goes on");
    }
}

#[tokio::test]
async fn what_is_refused_takes_its_body_along() {
    let gate = Gate::start().await;
    for before in [0, 200_000] {
        let body = format!("{}{HIDDEN}", "a".repeat(before));
        for (target, status) in [
            ("POST /api/orders", "401"),
            ("POST /api/nothing", "404"),
            ("PATCH /api/auth/login", "405"),
            ("POST /api//orders", "400"),
        ] {
            let head = format!("{target} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", body.len());
            let next = "GET /api/none HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
            let answers = gate.raw(format!("{head}{body}{next}")).await;
            assert!(answers.starts_with(&format!("HTTP/1.1 {status}")), "{target}: {answers}");
            assert!(gate.log.all().is_empty(), "{target}: {:?}", gate.log.all());
        }
    }
}

#[tokio::test]
async fn two_equal_lengths_go_on_as_one() {
    let gate = Gate::start().await;
    let answer =
        gate.raw(attack("Connection: close\r\nContent-Length: 2\r\nContent-Length: 2\r\n", "{}")).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(gate.log.last().headers.get_all("content-length").iter().count(), 1);
}

#[tokio::test]
async fn after_a_request_with_two_framings_the_connection_ends() {
    let gate = Gate::start().await;
    let head = "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n";
    let answer = gate.raw(attack(head, &format!("0\r\n\r\n{HIDDEN}"))).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let paths: Vec<String> = gate.log.all().iter().map(|reached| reached.uri.to_string()).collect();
    assert_eq!(paths, ["/api/auth/login"]);
}

#[tokio::test]
async fn requests_after_an_upgrade_or_a_refused_connect_are_judged_like_any_other() {
    let gate = Gate::start().await;
    let pipelined = "GET /api/products HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\
                     GET /internal/products/7/snapshot HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let answer = gate.raw(pipelined).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("HTTP/1.1 404"), "{answer}");
    assert_eq!(gate.log.all().len(), 1);

    let connect = "CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\nGET /api/products HTTP/1.1\r\nHost: a\r\n\r\n";
    let answer = gate.raw(connect).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(gate.log.all().len(), 1);
}

#[tokio::test]
async fn trailers_say_nothing() {
    let gate = Gate::start().await;
    let head = "Connection: close\r\nTrailer: X-Identity\r\nTransfer-Encoding: chunked\r\n";
    let answer = gate.raw(attack(head, "2\r\n{}\r\n0\r\nX-Identity: forged\r\n\r\n")).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let reached = gate.log.last();
    assert_eq!(reached.header("trailer"), None);
    assert_ne!(reached.header("x-identity"), Some("forged"));
}

#[tokio::test]
async fn a_bare_line_feed_does_not_hide_a_header() {
    let gate = Gate::start().await;
    let answer = gate
        .raw("GET /api/products HTTP/1.1\r\nHost: a\r\nX: 1\nX-Identity: forged\r\nConnection: close\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 200") || answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(gate.log.all().iter().all(|reached| reached.header("x-identity").is_none()));
}
