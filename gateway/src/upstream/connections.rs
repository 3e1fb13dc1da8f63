//! Connections of one worker to one replica: over HTTP/1 one request each at a time, over HTTP/2 all event streams together.
//!
//! A stream costs the gateway 12 kB over a shared connection and 28 kB over one of its own, which has two buffers and a
//! queue of requests (`loadtest bench gateway --only streams`).

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use common::stop::Stop;
use http::uri::{PathAndQuery, Scheme};
use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::body::Upload;

/// Services are on the same network: what takes longer will not come.
const CONNECT_MAX: Duration = Duration::from_secs(1);
/// Shorter than services keep idle connections (60 s), so that a request never meets one that is just being closed.
const IDLE_MAX: Duration = Duration::from_secs(30);
/// What a stream whose client does not read may hold here, in bytes; more waits at the service.
const STREAM_WINDOW_BYTES: u32 = 16 << 10;
/// The most that HTTP/2 knows (RFC 9113 §6.9.1), so that streams which are not read do not hold up the others.
const SHARED_WINDOW_BYTES: u32 = (1 << 31) - 1;
/// A replica that is gone without a word is noticed after these two: its streams have no deadline.
const PING_EVERY: Duration = Duration::from_secs(20);
const PONG_MAX: Duration = Duration::from_secs(20);

/// One worker's connections to one replica.
#[derive(Debug)]
pub struct Connections {
    address: SocketAddr,
    idle: Mutex<VecDeque<Idle>>,
    /// Locked while it is opened, so that one is opened for all who ask.
    shared: tokio::sync::Mutex<Option<http2::SendRequest<Upload>>>,
}

#[derive(Debug)]
struct Idle {
    alone: http1::SendRequest<Upload>,
    since: Instant,
}

/// What a request can be sent over.
#[derive(Debug)]
pub enum Connection {
    /// For this request alone.
    Alone(http1::SendRequest<Upload>),
    /// Together with the worker's other streams.
    Shared(http2::SendRequest<Upload>, SocketAddr),
}

/// A connection, and whether it has served before.
#[derive(Debug)]
pub struct Ready {
    /// The connection.
    pub connection: Connection,
    /// One that has may just have been closed.
    pub is_reused: bool,
}

impl Connections {
    /// None yet.
    pub(super) fn to(address: SocketAddr) -> Self {
        Self { address, idle: Mutex::default(), shared: tokio::sync::Mutex::default() }
    }

    /// For one request: the connection that came to rest last, or a new one.
    ///
    /// # Errors
    /// When the replica cannot be reached in time.
    pub async fn alone(&self, stop: &Stop) -> anyhow::Result<Ready> {
        while let Some(mut alone) = self.take_idle() {
            if alone.ready().await.is_ok() {
                return Ok(Ready { connection: Connection::Alone(alone), is_reused: true });
            }
        }
        let (mut alone, connection) = http1::handshake(self.open().await?).await?;
        run(connection.with_upgrades(), stop);
        alone.ready().await?;
        Ok(Ready { connection: Connection::Alone(alone), is_reused: false })
    }

    /// For an event stream: the worker's one connection for them.
    ///
    /// # Errors
    /// When the replica cannot be reached in time.
    pub async fn shared(&self, stop: &Stop) -> anyhow::Result<Ready> {
        let mut shared = self.shared.lock().await;
        if let Some(open) = shared.as_ref().filter(|open| !open.is_closed()) {
            let connection = Connection::Shared(open.clone(), self.address);
            return Ok(Ready { connection, is_reused: true });
        }
        let mut client = http2::Builder::new(TokioExecutor::new());
        client
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(SHARED_WINDOW_BYTES)
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PONG_MAX)
            // What was still on its way to clients that have gone is no attack of the service's.
            .max_local_error_reset_streams(None);
        let (opened, connection) = client.handshake(self.open().await?).await?;
        run(connection, stop);
        *shared = Some(opened.clone());
        Ok(Ready { connection: Connection::Shared(opened, self.address), is_reused: false })
    }

    async fn open(&self) -> anyhow::Result<TokioIo<TcpStream>> {
        let connect = timeout(CONNECT_MAX, TcpStream::connect(self.address));
        let socket = connect.await.context("not connected in time")??;
        socket.set_nodelay(true)?;
        Ok(TokioIo::new(socket))
    }

    fn idle(&self) -> MutexGuard<'_, VecDeque<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_idle(&self) -> Option<http1::SendRequest<Upload>> {
        let (mut idle, now) = (self.idle(), Instant::now());
        while let Some(Idle { alone, since }) = idle.pop_back() {
            if !alone.is_closed() && now.duration_since(since) < IDLE_MAX {
                return Some(alone);
            }
        }
        None
    }

    /// Its request has been answered: it rests until the next.
    pub fn keep(&self, connection: Connection) {
        let Connection::Alone(alone) = connection else { return };
        let (mut idle, now) = (self.idle(), Instant::now());
        while idle.front().is_some_and(|idle| now.duration_since(idle.since) >= IDLE_MAX) {
            idle.pop_front();
        }
        idle.push_back(Idle { alone, since: now });
    }
}

fn run(connection: impl Future<Output = Result<(), hyper::Error>> + Send + 'static, stop: &Stop) {
    // In a box: a task that owns a future by value has room for it several times over.
    let connection = Box::pin(connection);
    stop.spawn("connection to a service", async move {
        if let Err(error) = connection.await {
            tracing::debug!(%error, "connection to a service ended");
        }
    });
}

impl Connection {
    /// Sends a request whose URI is a path.
    ///
    /// # Errors
    /// When it was not answered; with the request, where the service has seen nothing of it.
    pub async fn send(
        &mut self,
        mut request: Request<Upload>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Upload>>> {
        match self {
            Self::Alone(alone) => alone.try_send_request(request).await,
            Self::Shared(shared, address) => {
                *request.uri_mut() = whole(request.uri(), *address);
                shared.try_send_request(request).await
            }
        }
    }
}

/// HTTP/2 asks for a URI with all its parts.
fn whole(path: &Uri, address: SocketAddr) -> Uri {
    let path = path.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/"));
    let uri = Uri::builder().scheme(Scheme::HTTP).authority(address.to_string()).path_and_query(path);
    uri.build().expect("an address is an authority")
}
