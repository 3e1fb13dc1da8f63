//! Accepts connections, no more than can be carried, and hands them in turn to the workers: one thread each, so that
//! a request never waits for another thread to wake up.

use std::collections::HashMap;
use std::convert::Infallible;
use std::io::Write as _;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use common::http::accept;
use common::stop::Stop;
use http::{HeaderValue, Response, StatusCode};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ipnet::IpNet;
use prometheus::IntGauge;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use crate::body::{Body, Reply};
use crate::browser::facing;
use crate::call::Arrived;
use crate::config::Config;
use crate::error::Error;
use crate::refusal::refusal;
use crate::socket::{Patience, Socket};

/// A request's head in bytes. (hyper takes at most 100 headers by itself.)
const HEAD_MAX_BYTES: usize = 32 << 10;
/// What is read of a connection at once, in bytes: most heads fit, and longer ones make it grow.
const READ_MAX_BYTES: usize = 64 << 10;
/// Requests in flight at a stop may take this long.
const DRAIN_MAX: Duration = Duration::from_secs(8);
/// Connections that a worker has not yet taken.
const HANDED_MAX: usize = 1_024;

/// What a connection's requests go into.
pub trait Stack:
    Service<Arrived, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

impl<S> Stack for S where
    S: Service<Arrived, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static
{
}

/// Serves `stacks`, one per worker, on `listener` until `stop`, then finishes the requests in flight.
///
/// # Errors
/// When a thread cannot be started.
pub async fn serve<S: Stack>(
    listener: TcpListener,
    stacks: Vec<S>,
    config: &Config,
    open: IntGauge,
    stop: &Stop,
) -> anyhow::Result<()> {
    let terms = Terms { patience: config.patience(), origins: config.cors_origins.as_slice().into() };
    let mut workers = Vec::new();
    for (number, stack) in stacks.into_iter().enumerate() {
        workers.push(Worker::start(number, stack, terms.clone(), stop.clone())?);
    }
    let counts = Counts {
        open,
        all_max: config.connections_max,
        each_max: config.address_connections_max,
        loopback_exempt: config.loopback_exempt,
        proxies: config.trusted_proxies.as_slice().into(),
        each: Arc::default(),
    };
    let mut next = 0;
    while let Some(socket) = accept(&listener, stop).await {
        // A connection that is gone already has no address, and no request.
        let Ok(peer) = socket.peer_addr().map(|peer| peer.ip().to_canonical()) else { continue };
        let Ok(mut socket) = socket.into_std() else { continue };
        let Some(counted) = counts.one_more(peer) else {
            // A new connection's buffer is empty: it is written, or the client is gone.
            socket.write_all(&refusal(Error::TooManyConnections)).ok();
            continue;
        };
        next = (next + 1) % workers.len();
        // A worker that takes nothing is as good as full: the socket is dropped.
        workers[next].connections.try_send(Handed { socket, peer, counted }).ok();
    }
    drop(listener);
    for worker in workers {
        drop(worker.connections);
        worker.done.await.ok();
    }
    Ok(())
}

/// How many connections there are, and from where.
struct Counts {
    open: IntGauge,
    all_max: usize,
    each_max: usize,
    loopback_exempt: bool,
    /// Behind one of them is everybody.
    proxies: Arc<[IpNet]>,
    each: Arc<Mutex<HashMap<IpAddr, usize>>>,
}

impl Counts {
    /// `None` when it would be one too many.
    fn one_more(&self, peer: IpAddr) -> Option<Counted> {
        if usize::try_from(self.open.get()).unwrap_or(0) >= self.all_max {
            return None;
        }
        let is_exempt = (self.loopback_exempt && peer.is_loopback())
            || self.proxies.iter().any(|proxy| proxy.contains(&peer));
        if !is_exempt {
            let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
            let count = each.entry(peer).or_default();
            if *count >= self.each_max {
                return None;
            }
            *count += 1;
        }
        self.open.inc();
        let peer = (!is_exempt).then_some(peer);
        Some(Counted { open: self.open.clone(), each: Arc::clone(&self.each), peer })
    }
}

/// An open connection; counted until it is dropped.
struct Counted {
    open: IntGauge,
    each: Arc<Mutex<HashMap<IpAddr, usize>>>,
    /// Where it counts as one of so many.
    peer: Option<IpAddr>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.open.dec();
        let Some(peer) = self.peer else { return };
        let mut each = self.each.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = each.get_mut(&peer) {
            *count -= 1;
            if *count == 0 {
                each.remove(&peer);
            }
        }
    }
}

struct Handed {
    socket: std::net::TcpStream,
    peer: IpAddr,
    counted: Counted,
}

/// What holds for every connection.
#[derive(Clone)]
struct Terms {
    patience: Patience,
    /// Of other hosts' pages that may use the API.
    origins: Arc<[HeaderValue]>,
}

/// A thread that serves connections.
struct Worker {
    connections: mpsc::Sender<Handed>,
    done: oneshot::Receiver<()>,
}

impl Worker {
    fn start<S: Stack>(number: usize, stack: S, terms: Terms, stop: Stop) -> anyhow::Result<Self> {
        let (connections, handed) = mpsc::channel(HANDED_MAX);
        let (ended, done) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        thread::Builder::new().name(format!("worker-{number}")).spawn(move || {
            runtime.block_on(work(handed, stack, terms, &stop));
            drop(ended);
        })?;
        Ok(Self { connections, done })
    }
}

async fn work<S: Stack>(mut handed: mpsc::Receiver<Handed>, stack: S, terms: Terms, stop: &Stop) {
    let Terms { patience, origins } = terms;
    let mut server = http1::Builder::new();
    // The socket has the deadlines.
    server.header_read_timeout(None).max_header_size(HEAD_MAX_BYTES).max_buf_size(READ_MAX_BYTES);
    // Of this thread alone, so that no request waits for a lock that another thread holds.
    let (drain, sockets) = (CancellationToken::new(), TaskTracker::new());
    while let Some(Handed { socket, peer, counted }) = handed.recv().await {
        let Ok(socket) = TcpStream::from_std(socket) else { continue };
        let socket = Socket::new(socket, patience, (counted, sockets.token()));
        let (turns, facing) = (socket.turns(), facing(stack.clone(), peer, &origins));
        let service = service_fn(move |request| {
            let mut busy = turns.begin();
            let answer = facing.clone().call(request);
            async move {
                let response = answer.await?;
                if response.status() == StatusCode::SWITCHING_PROTOCOLS {
                    busy.stay();
                }
                Ok::<_, Infallible>(response.map(|body| Reply::new(body, busy)))
            }
        });
        // In a box: a task that owns a future by value has room for it several times over.
        let connection = server.serve_connection(TokioIo::new(socket), service).with_upgrades();
        let mut connection = Box::pin(connection);
        let drain = drain.clone();
        stop.spawn("connection", async move {
            let ended = tokio::select! {
                biased;
                ended = connection.as_mut() => ended,
                () = drain.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "connection ended");
            }
        });
    }
    drain.cancel();
    sockets.close();
    // What does not end in time ends with the thread's runtime.
    if tokio::time::timeout(DRAIN_MAX, sockets.wait()).await.is_err() {
        tracing::warn!("requests in flight did not end in time");
    }
}
