//! Bodies pass piece by piece, in both directions.

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use bytes::Bytes;
use common::stop::Stop;
use common::wire::token::Role;
use futures::{SinkExt as _, StreamExt as _, channel::mpsc};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::gate::{Gate, serve, settled};

type Pieces = mpsc::Receiver<Result<Bytes, std::io::Error>>;

async fn read_until(socket: &mut TcpStream, text: &str) -> String {
    let mut seen = Vec::new();
    while !seen.ends_with(text.as_bytes()) {
        seen.push(tokio::time::timeout(crate::gate::LONG, socket.read_u8()).await.expect(text).unwrap());
    }
    String::from_utf8_lossy(&seen).into_owned()
}

#[tokio::test]
async fn an_answer_arrives_piece_by_piece() {
    let stop = Stop::new();
    let (mut send, pieces) = mpsc::channel(1);
    let pieces: std::sync::Arc<std::sync::Mutex<Option<Pieces>>> = std::sync::Arc::new(Some(pieces).into());
    let router = Router::new().route(
        "/api/products",
        get(move || async move { Body::from_stream(pieces.lock().unwrap().take().unwrap()) }),
    );
    let gate = Gate::before(vec![serve(router, &stop).await], stop.clone()).await;
    let mut answer = None;
    for piece in ["one", "two", "three"] {
        send.send(Ok(Bytes::from(piece))).await.unwrap();
        if answer.is_none() {
            answer = Some(gate.http.request(http::Method::GET, "/api/products").send().await.unwrap());
        }
        let got = answer.as_mut().unwrap().chunk().await.unwrap();
        assert_eq!(got.as_deref(), Some(piece.as_bytes()), "before the next one is sent");
    }
    drop(send);
    assert_eq!(answer.unwrap().chunk().await.unwrap(), None);
}

#[tokio::test]
async fn a_request_arrives_piece_by_piece_and_is_answered_meanwhile() {
    async fn echo(State(()): State<()>, body: Body) -> Response {
        let frames = body.into_data_stream().map(|piece| piece.map_err(std::io::Error::other));
        Response::new(Body::from_stream(frames))
    }
    let stop = Stop::new();
    let router = Router::new().route("/api/auth/login", post(echo)).with_state(());
    let gate = Gate::before(vec![serve(router, &stop).await], stop.clone()).await;
    let mut socket = TcpStream::connect(gate.address).await.unwrap();
    // A short one is waited for.
    let long = "a".repeat(16 << 10);
    let head = "POST /api/auth/login HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n4000\r\n";
    socket.write_all(format!("{head}{long}\r\n").as_bytes()).await.unwrap();
    for piece in ["first", "other"] {
        socket.write_all(format!("5\r\n{piece}\r\n").as_bytes()).await.unwrap();
        let seen = read_until(&mut socket, piece).await;
        assert!(seen.contains(piece), "the service has it before the request ends");
    }
    socket.write_all(b"0\r\n\r\n").await.unwrap();
    read_until(&mut socket, "0\r\n\r\n").await;
}

#[tokio::test]
async fn a_client_that_does_not_read_stops_the_service_from_writing() {
    const ALL: usize = 64 << 20;
    let stop = Stop::new();
    let written = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counted = written.clone();
    let router = Router::new().route(
        "/api/products",
        get(move || async move {
            let pieces = futures::stream::repeat_with(move || {
                counted.fetch_add(64 << 10, std::sync::atomic::Ordering::Relaxed);
                Ok::<_, std::io::Error>(Bytes::from(vec![0; 64 << 10]))
            });
            Body::from_stream(pieces.take(ALL >> 16))
        }),
    );
    let gate = Gate::before(vec![serve(router, &stop).await], stop.clone()).await;
    let mut answer = gate.http.request(http::Method::GET, "/api/products").send().await.unwrap();
    let buffered = settled(&written).await;
    assert!(buffered < ALL / 2, "{buffered} bytes went into buffers");
    let mut read = 0;
    while let Some(piece) = answer.chunk().await.unwrap() {
        read += piece.len();
    }
    assert_eq!(read, ALL, "slow is not too late");
}

#[tokio::test]
async fn a_live_stream_may_be_silent_longer_than_any_answer() {
    let stop = Stop::new();
    let (mut send, pieces) = mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    let pieces = std::sync::Arc::new(std::sync::Mutex::new(Some(pieces)));
    let events = get(move || async move {
        let events = Body::from_stream(pieces.lock().unwrap().take().unwrap());
        ([("content-type", "text/event-stream")], events)
    });
    let router = Router::new().route("/api/queue/7/live", events);
    let gate = Gate::before(vec![serve(router, &stop).await], stop.clone()).await.knowing().await;
    send.send(Ok(Bytes::from("event: place\n\n"))).await.unwrap();
    let http = gate.as_role(Role::Customer).with("accept-encoding", "gzip, br");
    let mut answer = http.request(http::Method::GET, "/api/queue/7/live").send().await.unwrap();
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    assert!(!answer.headers().contains_key("content-encoding"));
    assert_eq!(answer.chunk().await.unwrap().as_deref(), Some(&b"event: place\n\n"[..]));
    // The deadline of all other routes is 300 ms here.
    let silence = tokio::time::timeout(std::time::Duration::from_millis(600), answer.chunk()).await;
    assert!(silence.is_err(), "{silence:?}");
    send.send(Ok(Bytes::from(":\n\n"))).await.unwrap();
    assert_eq!(answer.chunk().await.unwrap().as_deref(), Some(&b":\n\n"[..]));
}

#[tokio::test]
async fn when_the_client_goes_away_the_service_hears_of_it() {
    let stop = Stop::new();
    let (mut send, pieces) = mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    let pieces = std::sync::Arc::new(std::sync::Mutex::new(Some(pieces)));
    let router = Router::new()
        .fallback(get(move || async move { Body::from_stream(pieces.lock().unwrap().take().unwrap()) }));
    let gate = Gate::before(vec![serve(router, &stop).await], stop.clone()).await.knowing().await;
    send.send(Ok(Bytes::from("one"))).await.unwrap();
    let http = gate.as_role(Role::Customer);
    let answer = http.request(http::Method::GET, "/api/orders").send().await.unwrap();
    drop(answer);
    testkit::eventually(crate::gate::LONG, async || {
        anyhow::ensure!(send.is_closed(), "the stream is still open");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_stop_lets_answers_end_and_takes_no_new_requests() {
    let stop = Stop::new();
    let (mut send, pieces) = mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    let pieces = std::sync::Arc::new(std::sync::Mutex::new(Some(pieces)));
    let router = Router::new()
        .fallback(get(move || async move { Body::from_stream(pieces.lock().unwrap().take().unwrap()) }));
    let gate = Gate::before(vec![serve(router, &stop).await], stop.clone()).await;
    send.send(Ok(Bytes::from("one"))).await.unwrap();
    let mut answer = gate.http.request(http::Method::GET, "/api/products").send().await.unwrap();
    assert_eq!(answer.chunk().await.unwrap().as_deref(), Some(&b"one"[..]));
    gate.running.stop();
    testkit::eventually(crate::gate::LONG, async || {
        anyhow::ensure!(TcpStream::connect(gate.address).await.is_err(), "still listening");
        Ok(())
    })
    .await;
    send.send(Ok(Bytes::from("two"))).await.unwrap();
    drop(send);
    let rest = http_body_util::Full::new(answer.bytes().await.unwrap()).collect().await.unwrap().to_bytes();
    assert_eq!(rest, "two");
}

#[tokio::test]
async fn at_a_stop_an_event_stream_ends_between_two_events_and_asks_to_come_again() {
    let stop = Stop::new();
    let (mut send, pieces) = mpsc::channel::<Result<Bytes, std::io::Error>>(1);
    let pieces = std::sync::Arc::new(std::sync::Mutex::new(Some(pieces)));
    let events = get(move || async move {
        let events = Body::from_stream(pieces.lock().unwrap().take().unwrap());
        ([("content-type", "text/event-stream")], events)
    });
    let router = Router::new().route("/api/queue/7/live", events);
    let gate = Gate::before(vec![serve(router, &stop).await], stop.clone()).await.knowing().await;
    send.send(Ok(Bytes::from("data: ha"))).await.unwrap();
    let http = gate.as_role(Role::Customer);
    let mut answer = http.request(http::Method::GET, "/api/queue/7/live").send().await.unwrap();
    assert_eq!(answer.chunk().await.unwrap().as_deref(), Some(&b"data: ha"[..]));
    gate.running.stop();
    testkit::eventually(crate::gate::LONG, async || {
        anyhow::ensure!(TcpStream::connect(gate.address).await.is_err(), "still listening");
        Ok(())
    })
    .await;
    // In the middle of an event it goes on.
    send.send(Ok(Bytes::from("lf\n\n"))).await.unwrap();
    let rest = String::from_utf8(answer.bytes().await.unwrap().to_vec()).unwrap();
    assert!(rest.starts_with("lf\n\nretry: ") && rest.ends_with("\n\n"), "{rest}");
    testkit::eventually(crate::gate::LONG, async || {
        anyhow::ensure!(send.is_closed(), "the service is still asked");
        Ok(())
    })
    .await;
}
