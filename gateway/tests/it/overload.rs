//! How much of a service may be asked at once, and who takes that up.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::routing::{get, post};
use common::stop::Stop;
use common::wire::token::Role;
use futures::future::join_all;
use http::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, broadcast};
use tokio::time::{sleep, timeout};

use crate::gate::{Gate, LONG, read_all, serve};

/// Where a limit begins.
const START: f64 = 32.0;
/// What a service takes for an answer: long enough that a busy machine does not count.
const WORK: Duration = Duration::from_millis(200);

/// Works on a whole request for [`WORK`].
async fn work(_: Bytes) -> &'static str {
    sleep(WORK).await;
    "{}"
}

async fn gate(router: Router, stop: &Stop) -> Gate {
    let service = serve(router.route("/readyz", get(async || "")), stop).await;
    let gate = Gate::with(|config| {
        config.health_ms = 50;
        config.upstream_in_flight_max = 512;
        config.user_upstreams = vec![service.clone()];
        config.order_upstreams = vec![service];
    });
    gate.await.knowing().await
}

/// How many requests the service is asked at once now.
async fn limit(gate: &Gate, service: &str) -> anyhow::Result<f64> {
    let figures = gate.admin.get("/metrics").await?.body;
    let line = format!("astraphe_gateway_upstream_limit{{upstream=\"{service}\"}} ");
    let after = figures.as_str().and_then(|text| text.split(&line).nth(1));
    let figure = after.and_then(|rest| rest.lines().next()).and_then(|figure| figure.parse().ok());
    figure.ok_or_else(|| anyhow::anyhow!("no limit yet"))
}

/// So many people ask over and over, until `is_so`.
async fn asking(
    people: usize,
    ask: impl AsyncFn() -> anyhow::Result<()>,
    is_so: impl AsyncFnMut() -> anyhow::Result<()>,
) {
    let people = join_all((0..people).map(|_| async {
        for _ in 0..u32::MAX {
            if ask().await.is_err() {
                tokio::task::yield_now().await;
            }
        }
    }));
    tokio::select! {
        _ = people => {}
        () = testkit::eventually(LONG, is_so) => {}
    }
}

/// Logs in with a body of which the second half comes later by `pause`.
async fn slow_login(gate: &Gate, pause: impl Future<Output = ()>) -> anyhow::Result<String> {
    let mut socket = TcpStream::connect(gate.address).await?;
    let head = "POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{";
    socket.write_all(head.as_bytes()).await?;
    pause.await;
    socket.write_all(b"}").await?;
    Ok(read_all(&mut socket).await)
}

#[tokio::test]
async fn a_service_that_is_quick_is_asked_for_more_also_with_bodies() {
    let stop = Stop::new();
    let gate = gate(Router::new().route("/api/auth/login", post(work)), &stop).await;
    let ask = async || gate.http.post("/api/auth/login", &json!({"a": 1})).await.map(drop);
    let is_raised = async || {
        let limit = limit(&gate, "user").await?;
        anyhow::ensure!(limit >= START + 8.0, "{limit}");
        Ok(())
    };
    asking(40, ask, is_raised).await;
    stop.stop();
}

#[tokio::test]
async fn a_client_that_is_slow_with_its_body_does_not_make_its_service_look_slow() {
    let (stop, count) = (Stop::new(), Arc::new(AtomicUsize::new(0)));
    let counted = Arc::clone(&count);
    let login = post(move |body: Bytes| {
        counted.fetch_add(1, Ordering::Relaxed);
        work(body)
    });
    let gate = gate(Router::new().route("/api/auth/login", login), &stop).await;
    let served = async |least: usize| {
        anyhow::ensure!(count.load(Ordering::Relaxed) >= least, "not yet");
        Ok(())
    };
    // Now its best is known.
    let ask = async || gate.http.post("/api/auth/login", &json!({"a": 1})).await.map(drop);
    asking(8, ask, async || served(60).await).await;
    let before = limit(&gate, "user").await.unwrap();
    count.store(0, Ordering::Relaxed);
    let ask = async || slow_login(&gate, sleep(4 * WORK)).await.map(drop);
    asking(24, ask, async || served(48).await).await;
    let after = limit(&gate, "user").await.unwrap();
    assert!(after >= before, "{before} → {after}");
    stop.stop();
}

/// Orders are taken in batches, one after the other, of all who have come meanwhile: whoever comes alone waits for one
/// batch, in a crowd for two.
#[derive(Default)]
struct Batches {
    /// Ends with the batch that has not begun.
    next: Mutex<Option<broadcast::Sender<()>>>,
    at_work: Mutex<()>,
}

async fn order(State(batches): State<Arc<Batches>>, _: Bytes) -> &'static str {
    let mut next = batches.next.lock().await;
    if let Some(batch) = &*next {
        let mut done = batch.subscribe();
        drop(next);
        done.recv().await.ok();
        return "{}";
    }
    *next = Some(broadcast::Sender::new(1));
    drop(next);
    let _at_work = batches.at_work.lock().await;
    let _batch = batches.next.lock().await.take();
    sleep(WORK / 2).await;
    "{}"
}

#[tokio::test]
async fn a_service_that_takes_many_at_once_is_asked_for_many() {
    let stop = Stop::new();
    let router = Router::new().route("/api/orders", post(order)).with_state(Arc::<Batches>::default());
    let gate = gate(router, &stop).await;
    let claims = gate.claims(Role::Customer);
    let buyer = gate.http.login(&gate.token(&claims)).pass(&gate.pass(&claims, 7));
    let ask = async || buyer.post("/api/orders", &json!({"a": 1})).await.map(drop);
    // Alone, it is answered after one batch: now its best is known.
    for _ in 0..20 {
        ask().await.unwrap();
    }
    let is_raised = async || {
        let limit = limit(&gate, "order").await?;
        anyhow::ensure!(limit >= 100.0, "{limit}");
        Ok(())
    };
    asking(128, ask, is_raised).await;
    stop.stop();
}

#[tokio::test]
async fn whoever_is_slow_with_a_body_leaves_the_service_to_others() {
    let stop = Stop::new();
    let gate = Gate::with(|config| config.upstream_in_flight_max = 1).await;
    let (go, went) = tokio::sync::oneshot::channel::<()>();
    let slow = slow_login(&gate, async { went.await.unwrap() });
    let (slow, ()) = tokio::join!(slow, async {
        testkit::eventually(LONG, async || {
            let figures = gate.admin.get("/metrics").await?.body;
            let is_there = figures.as_str().is_some_and(|text| text.contains("astraphe_gateway_in_flight 1"));
            anyhow::ensure!(is_there, "the slow one is not there");
            Ok(())
        })
        .await;
        gate.http.post("/api/auth/login", &json!({})).await.unwrap().expect(200);
        go.send(()).unwrap();
    });
    assert!(slow.unwrap().starts_with("HTTP/1.1 200"));
    stop.stop();
}

#[tokio::test]
async fn long_bodies_that_trickle_give_way_to_one_that_does_not() {
    let gate = Gate::start().await;
    let long = vec![b'a'; 20 << 10];
    let mut trickling = Vec::new();
    // As many as a service takes.
    for _ in 0..64 {
        let mut socket = TcpStream::connect(gate.address).await.unwrap();
        let head = format!("POST /api/auth/login HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n", 1 << 20);
        socket.write_all(head.as_bytes()).await.unwrap();
        socket.write_all(&long).await.unwrap();
        trickling.push(socket);
    }
    testkit::eventually(LONG, async || {
        let figures = gate.admin.get("/metrics").await?.body;
        let are_there = figures.as_str().is_some_and(|text| text.contains("astraphe_gateway_in_flight 64"));
        anyhow::ensure!(are_there, "not all are there");
        Ok(())
    })
    .await;
    testkit::eventually(LONG, async || {
        let request = gate.http.request(Method::POST, "/api/auth/login").body(long.clone());
        let status = request.send().await?.status();
        anyhow::ensure!(status == 200, "{status}");
        Ok(())
    })
    .await;
    // One of them was enough.
    let mut answers: futures::stream::FuturesUnordered<_> = trickling.iter_mut().map(read_all).collect();
    let told = futures::StreamExt::next(&mut answers).await.unwrap();
    assert!(told.starts_with("HTTP/1.1 503") && told.contains("\"upstream-busy\""), "{told}");
    assert!(told.contains("retry-after: 1"), "{told}");
    assert!(
        futures::FutureExt::now_or_never(futures::StreamExt::next(&mut answers)).is_none(),
        "a second one"
    );
}

/// A service whose answer is larger than all buffers on the way.
async fn verbose(stop: &Stop) -> http::Uri {
    let all = async || {
        let pieces = futures::stream::repeat_with(|| Ok::<_, std::io::Error>(Bytes::from(vec![0; 64 << 10])));
        Body::from_stream(futures::StreamExt::take(pieces, 1_024))
    };
    let router = Router::new().route("/api/products", get(all)).route("/api/companies", get(async || "{}"));
    serve(router, stop).await
}

#[tokio::test]
async fn whoever_is_slow_with_an_answer_leaves_the_service_to_others() {
    let stop = Stop::new();
    let service = verbose(&stop).await;
    let gate = Gate::with(|config| {
        config.upstream_in_flight_max = 1;
        config.product_upstreams = vec![service];
    })
    .await;
    let mut slow = gate.http.request(Method::GET, "/api/products").send().await.unwrap();
    gate.http.get("/api/companies").await.unwrap().expect(200);
    assert!(slow.chunk().await.unwrap().is_some());
    stop.stop();
}

#[tokio::test]
async fn whoever_takes_nothing_of_an_answer_loses_the_connection() {
    let stop = Stop::new();
    let service = verbose(&stop).await;
    let gate = Gate::with(|config| {
        config.stall_max_ms = 300;
        config.product_upstreams = vec![service];
    })
    .await;
    let mut socket = TcpStream::connect(gate.address).await.unwrap();
    socket.write_all(b"GET /api/products HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    testkit::eventually(LONG, async || {
        let figures = gate.admin.get("/metrics").await?.body;
        let is_gone = figures.as_str().is_some_and(|text| text.contains("astraphe_gateway_connections 0"));
        anyhow::ensure!(is_gone, "still there");
        Ok(())
    })
    .await;
    // What stood in buffers is still to be had, the rest is not.
    let mut bytes = Vec::new();
    timeout(LONG, socket.read_to_end(&mut bytes)).await.unwrap().ok();
    assert!(bytes.len() < 64 << 20, "{}", bytes.len());
    stop.stop();
}
