//! WebSockets, on real sockets at both ends.

use std::convert::Infallible;
use std::time::{Duration, Instant};

use common::stop::Stop;
use common::wire::token::{Identity, Role};
use http::Uri;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::gate::{Gate, LONG, bind, read_all, uri};

const OPENED: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Accept: x\r\n\
     X-Identity: secret\r\nKeep-Alive: 5\r\n\r\n";
const ASKED: &str = "Connection: keep-alive, Upgrade\r\nUpgrade: WebSocket\r\nSec-WebSocket-Key: k\r\nSec-WebSocket-Version: 13\r\n";

/// A service whose connections the test serves by hand.
struct Service {
    listener: TcpListener,
    gate: Gate,
}

/// A connection that has been asked something.
struct Asked {
    socket: TcpStream,
    head: String,
}

impl Service {
    async fn start() -> Self {
        let listener = bind().await;
        let gate = Gate::before(vec![uri(&listener)], Stop::new()).await.knowing().await;
        Self { listener, gate }
    }

    async fn asked(&self) -> Asked {
        let (mut socket, _) = timeout(LONG, self.listener.accept()).await.expect("a connection").unwrap();
        let head = head(&mut socket).await;
        Asked { socket, head }
    }

    /// A client that has sent this to the path, with these headers.
    async fn client(&self, path: &str, headers: &str, behind: &str) -> TcpStream {
        let mut socket = TcpStream::connect(self.gate.address).await.unwrap();
        let token = self.gate.token(&self.gate.claims(Role::Customer));
        let ask = format!(
            "GET {path} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n{headers}\r\n{behind}"
        );
        socket.write_all(ask.as_bytes()).await.unwrap();
        socket
    }

    /// Both ends of a tunnel.
    async fn tunnel(&self) -> (TcpStream, TcpStream) {
        let mut client = self.client("/api/queue/7/live", ASKED, "").await;
        let mut asked = self.asked().await;
        asked.socket.write_all(OPENED.as_bytes()).await.unwrap();
        head(&mut client).await;
        (client, asked.socket)
    }
}

async fn head(socket: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(timeout(LONG, socket.read_u8()).await.expect("a head").expect("a whole head"));
    }
    String::from_utf8(head).unwrap().to_lowercase()
}

async fn hears(socket: &mut TcpStream, text: &str) {
    let mut heard = vec![0; text.len()];
    timeout(LONG, socket.read_exact(&mut heard)).await.expect(text).unwrap();
    assert_eq!(String::from_utf8(heard).unwrap(), text);
}

#[tokio::test]
async fn a_websocket_goes_both_ways_and_rests_longer_than_any_request() {
    let service = Service::start().await;
    let mut client = service.client("/api/queue/7/live", ASKED, "early").await;
    let mut asked = service.asked().await;
    assert!(asked.head.contains("\r\nupgrade: websocket\r\n"), "{}", asked.head);
    assert!(asked.head.contains("\r\nconnection: upgrade\r\n"), "{}", asked.head);
    assert!(asked.head.contains("\r\nsec-websocket-key: k\r\n"), "{}", asked.head);
    assert!(asked.head.contains("\r\nx-identity: ") && !asked.head.contains("bearer"), "{}", asked.head);
    // Nothing goes on before the service has agreed.
    let silence = timeout(Duration::from_millis(200), asked.socket.read_u8()).await;
    assert!(silence.is_err(), "{silence:?}");
    asked.socket.write_all(format!("{OPENED}hello").as_bytes()).await.unwrap();
    let answer = head(&mut client).await;
    assert!(answer.starts_with("http/1.1 101 "), "{answer}");
    assert!(answer.contains("\r\nconnection: upgrade\r\n") && answer.contains("\r\nupgrade: websocket\r\n"));
    assert!(answer.contains("\r\nsec-websocket-accept: x\r\n") && !answer.contains("secret"), "{answer}");
    assert!(!answer.contains("keep-alive"), "{answer}");
    hears(&mut client, "hello").await;
    hears(&mut asked.socket, "early").await;
    for text in ["one", "two"] {
        client.write_all(text.as_bytes()).await.unwrap();
        hears(&mut asked.socket, text).await;
        asked.socket.write_all(text.as_bytes()).await.unwrap();
        hears(&mut client, text).await;
    }
}

#[tokio::test]
async fn a_websocket_outlives_the_rest_between_two_requests() {
    let listener = bind().await;
    let replicas = vec![uri(&listener)];
    let gate = Gate::with(|config| {
        (config.head_max_ms, config.idle_max_ms) = (200, 200);
        config.queue_upstreams = replicas;
    });
    let service = Service { listener, gate: gate.await.knowing().await };
    let (mut client, mut far) = service.tunnel().await;
    let silence = timeout(Duration::from_millis(700), client.read_u8()).await;
    assert!(silence.is_err(), "{silence:?}");
    client.write_all(b"still here").await.unwrap();
    hears(&mut far, "still here").await;
}

#[tokio::test]
async fn when_one_side_of_a_websocket_closes_so_does_the_other() {
    let service = Service::start().await;
    let (mut client, mut far) = service.tunnel().await;
    far.write_all(b"bye").await.unwrap();
    drop(far);
    assert_eq!(read_all(&mut client).await, "bye");
    let (mut client, mut far) = service.tunnel().await;
    client.write_all(b"bye").await.unwrap();
    drop(client);
    assert_eq!(read_all(&mut far).await, "bye");
}

#[tokio::test]
async fn a_side_that_does_not_read_stops_the_other_from_writing() {
    const ALL: usize = 64 << 20;
    let service = Service::start().await;
    for from_client in [true, false] {
        let (client, far) = service.tunnel().await;
        let (mut writer, mut reader) = if from_client { (client, far) } else { (far, client) };
        let (count, mut counted) = mpsc::unbounded_channel();
        let writing = async move {
            let piece = vec![7; 64 << 10];
            for _ in 0..ALL / piece.len() {
                writer.write_all(&piece).await.unwrap();
                count.send(piece.len()).ok();
            }
        };
        let reading = async {
            let mut written = 0;
            // Until no more is taken: what is written stands in buffers then.
            while let Ok(Some(more)) = timeout(Duration::from_millis(500), counted.recv()).await {
                written += more;
            }
            assert!(written > 0 && written < ALL / 2, "{written} bytes went into buffers");
            let mut all = 0;
            let mut piece = vec![0; 64 << 10];
            while let Ok(count @ 1..) = reader.read(&mut piece).await {
                all += count;
            }
            assert_eq!(all, ALL);
        };
        tokio::join!(writing, reading);
    }
}

#[tokio::test]
async fn at_a_stop_a_websocket_is_closed_on_both_sides() {
    let service = Service::start().await;
    let (mut client, mut far) = service.tunnel().await;
    let stopped = Instant::now();
    service.gate.running.stop();
    assert_eq!(read_all(&mut client).await, "");
    assert_eq!(read_all(&mut far).await, "");
    assert!(stopped.elapsed() < Duration::from_secs(5), "not only when nobody waits any longer");
}

#[tokio::test]
async fn what_stands_behind_an_upgrade_that_is_not_answered_with_one_is_a_request_of_its_own() {
    let service = Service::start().await;
    let hidden = "GET /internal/products/7/snapshot HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let mut client = service.client("/api/queue/7/live", ASKED, hidden).await;
    let mut asked = service.asked().await;
    asked.socket.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nno").await.unwrap();
    let answers = read_all(&mut client).await;
    assert!(answers.starts_with("HTTP/1.1 200") && answers.contains("HTTP/1.1 404"), "{answers}");
    let more = timeout(Duration::from_millis(200), asked.socket.read_u8()).await;
    assert!(!matches!(more, Ok(Ok(_))), "nothing of it reached the service: {more:?}");
}

#[tokio::test]
async fn an_upgrade_is_overlooked_where_it_is_none_of_ours() {
    let service = Service::start().await;
    let plain = "Connection: close, upgrade\r\nUpgrade: websocket\r\n";
    for (path, headers) in [("/api/orders", plain), ("/api/orders", &format!("{plain}Content-Length: 1\r\n"))]
    {
        let mut client = service.client(path, headers, "x").await;
        let mut asked = service.asked().await;
        assert!(!asked.head.contains("upgrade"), "{path} {headers}: {}", asked.head);
        // Whatever a service then says, there is no tunnel.
        asked.socket.write_all(OPENED.as_bytes()).await.unwrap();
        let answer = read_all(&mut client).await;
        assert!(answer.starts_with("HTTP/1.1 502"), "{path} {headers}: {answer}");
    }
    for headers in [
        "Connection: close, upgrade\r\nUpgrade: h2c\r\n",
        "Connection: close, upgrade\r\nUpgrade: h2c, websocket\r\n",
        "Connection: close, upgrade\r\nUpgrade: websocket\r\nUpgrade: h2c\r\n",
        "Connection: close\r\nUpgrade: websocket\r\n",
        &format!("{plain}Content-Length: 1\r\n"),
    ] {
        let service = Service::start().await;
        let mut client = service.client("/api/queue/7/live", headers, "x").await;
        let hang_up = async || -> Infallible {
            loop {
                let asked = service.asked().await;
                assert_eq!(asked.head, "pri * http/2.0\r\n\r\n", "a stream, which knows no upgrade");
            }
        };
        let answer =
            tokio::select! { answer = read_all(&mut client) => answer, never = hang_up() => match never {} };
        assert!(answer.starts_with("HTTP/1.1 502"), "{headers}: {answer}");
    }
}

#[tokio::test]
async fn a_service_opens_nothing_but_what_it_was_asked_for() {
    let service = Service::start().await;
    for answer in ["101 Switching\r\nConnection: upgrade\r\nUpgrade: h2c", "101 Switching"] {
        let mut client =
            service.client("/api/queue/7/live", &format!("Connection: close\r\n{ASKED}"), "").await;
        let mut asked = service.asked().await;
        asked.socket.write_all(format!("HTTP/1.1 {answer}\r\n\r\n").as_bytes()).await.unwrap();
        drop(asked);
        let answer = read_all(&mut client).await;
        assert!(answer.contains("502") && answer.contains("bad-upstream-answer"), "{answer}");
    }
}

#[tokio::test]
async fn a_browsers_cookie_opens_a_websocket_for_our_own_pages_only() {
    let service = Service::start().await;
    let claims: Identity = service.gate.claims(Role::Customer);
    let cookie = format!("Cookie: identity={}\r\n", service.gate.token(&claims));
    let ask = |origin: &str| {
        format!("GET /api/queue/7/live HTTP/1.1\r\nHost: 127.0.0.1\r\n{cookie}{origin}{ASKED}\r\n")
    };
    for origin in ["", "Origin: https://evil.example\r\n"] {
        let mut socket = TcpStream::connect(service.gate.address).await.unwrap();
        socket.write_all(ask(origin).replace("keep-alive", "close").as_bytes()).await.unwrap();
        let answer = read_all(&mut socket).await;
        assert!(answer.starts_with("HTTP/1.1 403") && answer.contains("foreign-origin"), "{answer}");
    }
    let mut socket = TcpStream::connect(service.gate.address).await.unwrap();
    socket.write_all(ask("Origin: http://127.0.0.1\r\n").as_bytes()).await.unwrap();
    let mut asked = service.asked().await;
    asked.socket.write_all(OPENED.as_bytes()).await.unwrap();
    assert!(head(&mut socket).await.starts_with("http/1.1 101"));
}

#[tokio::test]
async fn a_websocket_counts_as_a_connection_and_as_a_stream() {
    let listener = bind().await;
    let replicas: Vec<Uri> = vec![uri(&listener)];
    let gate = Gate::with(|config| {
        config.streams_max = 1;
        config.queue_upstreams = replicas;
    });
    let service = Service { listener, gate: gate.await.knowing().await };
    let (client, _far) = service.tunnel().await;
    let http = service.gate.as_role(Role::Customer);
    http.get("/api/queue/7/live").await.unwrap().problem(503, "upstream-busy");
    let count = async || -> anyhow::Result<String> {
        let figures = service.gate.admin.get("/metrics").await?.body.to_string();
        let (_, rest) = figures.split_once("\\nastraphe_gateway_connections ").expect("the figure");
        Ok(rest.split("\\n").next().unwrap_or_default().to_owned())
    };
    let with = count().await.unwrap().parse::<i64>().unwrap();
    drop(client);
    testkit::eventually(LONG, async || {
        let without = count().await?.parse::<i64>()?;
        anyhow::ensure!(without < with, "{without} connections of {with}");
        Ok(())
    })
    .await;
}
