//! The service behind every proxy that is measured: it does as little as a service can, on one thread of its own.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use common::http::begins_http2;
use common::wire::token::Jwks;
use futures::{StreamExt as _, stream};
use http::{Request, Response};
use http_body_util::StreamBody;
use hyper::body::{Body, Frame, Incoming};
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// As long as a short answer in JSON.
const BODY: [u8; 300] = [b'x'; 300];
/// A slow path has so many hands, each of which needs this long.
pub(super) const HANDS: usize = 16;
pub(super) const SLOW: Duration = Duration::from_millis(10);

/// What is asked for by the beginning of a path.
struct Answers {
    fast: Vec<u8>,
    keys: Vec<u8>,
    hands: Semaphore,
}

/// Serves until the process ends; `keys` stand at `/keys`.
pub(super) fn start(keys: &Jwks) -> anyhow::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").context("no free port")?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    let answers = Arc::new(Answers {
        fast: answer(&BODY),
        keys: answer(&serde_json::to_vec(keys)?),
        hands: Semaphore::new(HANDS),
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    thread::Builder::new()
        .name("backend".into())
        .spawn(move || runtime.block_on(serve(listener, answers)))?;
    Ok(address)
}

fn answer(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

async fn serve(listener: std::net::TcpListener, answers: Arc<Answers>) {
    let listener = TcpListener::from_std(listener).expect("a listener of this machine");
    let mut lines = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => if let Ok((socket, _)) = accepted {
                socket.set_nodelay(true).ok();
                lines.spawn(line(socket, Arc::clone(&answers)));
            },
            Some(_) = lines.join_next() => {}
        }
    }
}

/// One connection; how it ends is nobody's business.
async fn line(mut socket: TcpStream, answers: Arc<Answers>) {
    if begins_http2(&socket).await == Some(true) {
        return streams(socket).await;
    }
    let mut buffer = Vec::with_capacity(4 << 10);
    loop {
        match socket.read_buf(&mut buffer).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
        // Requests have no body, and the next one comes after the answer.
        if !buffer.ends_with(b"\r\n\r\n") {
            continue;
        }
        let path = buffer.split(|byte| *byte == b' ').nth(1).unwrap_or_default();
        let written = if path.starts_with(b"/keys") {
            socket.write_all(&answers.keys).await
        } else if path.starts_with(b"/api/orders") {
            let hand = answers.hands.acquire().await;
            tokio::time::sleep(SLOW).await;
            drop(hand);
            socket.write_all(&answers.fast).await
        } else {
            socket.write_all(&answers.fast).await
        };
        if written.is_err() {
            return;
        }
        buffer.clear();
    }
}

/// Event streams over HTTP/2.
async fn streams(socket: TcpStream) {
    let mut server = http2::Builder::new(TokioExecutor::new());
    server.max_concurrent_streams(None).serve_connection(TokioIo::new(socket), service_fn(events)).await.ok();
}

/// A stream that has one event and then is silent.
async fn events(
    _: Request<Incoming>,
) -> http::Result<Response<impl Body<Data = Bytes, Error = Infallible> + Send + 'static>> {
    let event = Ok::<_, Infallible>(Frame::data(Bytes::from_static(b"data: \n\n")));
    let events = StreamBody::new(stream::iter([event]).chain(stream::pending()));
    Response::builder().header("content-type", "text/event-stream").body(events)
}
