//! Event streams share a worker's connection to a service, and do not feel each other.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use bytes::Bytes;
use common::stop::Stop;
use common::wire::token::Role;
use futures::stream::{self, StreamExt as _};
use http::{Method, Version};
use testkit::wire::Wire;

use crate::gate::{Gate, LONG, serve, settled};

type Piece = Result<Bytes, std::io::Error>;

fn events(pieces: impl futures::Stream<Item = Piece> + Send + 'static) -> Response {
    ([("content-type", "text/event-stream")], Body::from_stream(pieces)).into_response()
}

/// An event with the version of HTTP, and then nothing.
async fn version(version: Version) -> Response {
    let first = Bytes::from(format!("data: {version:?}\n\n"));
    events(stream::iter([Ok(first)]).chain(stream::pending()))
}

#[tokio::test]
async fn streams_that_nobody_reads_do_not_hold_up_the_one_beside_them() {
    const UNREAD: usize = 8;
    const PIECE: usize = 64 << 10;
    let stop = Stop::new();
    let written = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&written);
    let endless = move || {
        let counted = Arc::clone(&counted);
        let pieces = stream::repeat_with(move || {
            counted.fetch_add(PIECE, Ordering::Relaxed);
            Piece::Ok(Bytes::from(vec![b'.'; PIECE]))
        });
        async { events(pieces) }
    };
    let router =
        Router::new().route("/api/queue/7/live", get(endless)).route("/api/queue/8/live", get(version));
    let gate = Gate::before(vec![serve(router, &stop).await], stop.clone()).await.knowing().await;
    let http = gate.as_role(Role::Customer);
    let mut unread = Vec::new();
    for _ in 0..UNREAD {
        unread.push(http.request(Method::GET, "/api/queue/7/live").send().await.unwrap());
    }
    settled(&written).await;
    // On each of the two workers' connections.
    for _ in 0..4 {
        let mut answer = http.request(Method::GET, "/api/queue/8/live").send().await.unwrap();
        let event = tokio::time::timeout(LONG, answer.chunk()).await.expect("held up").unwrap().unwrap();
        assert_eq!(event, "data: HTTP/2.0\n\n", "streams share a connection");
        unread.push(answer);
    }
}

#[tokio::test]
async fn a_cut_wire_ends_all_its_streams_and_the_next_one_finds_a_new_connection() {
    let stop = Stop::new();
    let service = serve(Router::new().route("/api/queue/8/live", get(version)), &stop).await;
    let wire = Wire::to(service.authority().unwrap().as_str()).await.unwrap();
    let far = format!("http://{}", wire.address).parse().unwrap();
    let gate = Gate::before(vec![far], stop.clone()).await.knowing().await;
    let http = gate.as_role(Role::Customer);
    let open = async || {
        let mut answer = http.request(Method::GET, "/api/queue/8/live").send().await?;
        anyhow::ensure!(answer.status() == 200, "{}", answer.status());
        anyhow::ensure!(answer.chunk().await?.is_some(), "no event");
        Ok(answer)
    };
    let mut streams = Vec::new();
    for _ in 0..6 {
        streams.push(open().await.unwrap());
    }
    wire.cut();
    for stream in &mut streams {
        let end = tokio::time::timeout(LONG, stream.chunk()).await.expect("the stream goes on");
        assert!(!matches!(end, Ok(Some(_))), "{end:?}");
    }
    wire.restore();
    testkit::eventually(LONG, async || open().await.map(drop)).await;
}
