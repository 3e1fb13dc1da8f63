//! HTTP plumbing of the services: the accept loop here, [`door`] while a service starts, [`extract`] in front of
//! handlers, [`problem`] behind them, [`observe`] around them; [`live`] is event streams, [`cookie`] the login of
//! browsers, [`origin`] where a request comes from.

pub mod cookie;
pub mod door;
pub mod extract;
pub mod live;
pub mod observe;
pub mod origin;
pub mod problem;

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use axum::Router;
use futures::FutureExt as _;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tower::ServiceExt as _;

use crate::stop::Stop;

/// A connection that sends no whole request head for this long is closed, idle ones too. Longer than the
/// gateway keeps idle connections (30 s), so that it is always the client who closes first.
pub const HEAD_MAX: Duration = Duration::from_secs(60);
/// What the kernel keeps of an answer before its turn to be sent, in bytes: a client that does not read holds up who
/// writes, instead of some megabytes of memory. It costs no speed: what is on its way does not count.
const UNSENT_MAX_BYTES: u32 = 16 << 10;
/// A client that takes nothing for so long, of what is there for it, is gone. Event streams have no other way to tell.
const SILENT_MAX: Duration = Duration::from_secs(60);
/// Connections that wait to be accepted at most, unless the system allows fewer (Linux: `net.core.somaxconn`, 4,096 by
/// default). Whoever comes beyond them tries again after a second, and at a sale's start everybody comes at once; the
/// libraries' own limit is 128.
const BACKLOG: u32 = 4_096;
/// Requests in flight at a stop may take this long.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// Who is at the other end of a request's connection, among the request's extensions.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// Listens on an address, for a crowd.
///
/// # Errors
/// When somebody else listens there, or the address is not this machine's.
pub fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    // Connections of the process before may still be ending on that port.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// Serves `router` on `listener` until `stop`, then finishes the requests in flight.
///
/// HTTP/1, with an explicit timer: hyper's head deadline is inert without one. Who begins with HTTP/2's preface is served
/// with that: the gateway sends its event streams over a few connections that they share.
pub async fn serve(listener: TcpListener, router: Router, stop: Stop) {
    let graceful = GracefulShutdown::new();
    // Connections outlive the stop while they drain, but not the drain.
    let cut = Stop::new();
    while let Some(socket) = accept(&listener, &stop).await {
        // A connection that is gone already has no address, and no request.
        let Ok(peer) = socket.peer_addr().map(|address| Peer(address.ip())) else { continue };
        let service = router.clone().map_request(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer);
            request
        });
        let (watcher, cut, until) = (graceful.watcher(), cut.clone(), stop.clone());
        stop.spawn("connection", async move {
            let begun = tokio::select! {
                begun = begins_http2(&socket) => begun,
                () = until.stopped() => None,
            };
            let Some(is_http2) = begun else { return };
            let (socket, service) = (TokioIo::new(socket), TowerToHyperService::new(service));
            let connection = if is_http2 {
                watcher.watch(http2().serve_connection(socket, service)).boxed()
            } else {
                watcher.watch(http1().serve_connection(socket, service)).boxed()
            };
            tokio::select! {
                ended = connection => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "connection ended");
                    }
                }
                () = cut.stopped() => {}
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_MAX, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests in flight did not end in time");
    }
    cut.stop();
}

fn http1() -> http1::Builder {
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_MAX);
    server
}

/// Its peer is the gateway, which counts streams and requests itself. hyper's limits are for strangers: they end the whole
/// connection when many clients of the gateway go away at once.
fn http2() -> http2::Builder<TokioExecutor> {
    let mut server = http2::Builder::new(TokioExecutor::new());
    server
        .max_concurrent_streams(None)
        .max_pending_accept_reset_streams(usize::MAX)
        .max_local_error_reset_streams(None);
    server
}

/// Whether a connection begins as HTTP/2 does, which no HTTP/1 request does; its first packet says so. `None` when nothing
/// comes for [`HEAD_MAX`], or the connection fails.
pub async fn begins_http2(socket: &TcpStream) -> Option<bool> {
    let mut first = [0; 3];
    let length = tokio::time::timeout(HEAD_MAX, socket.peek(&mut first)).await.ok()?.ok()?;
    Some(first[..length] == *b"PRI")
}

/// Raises the number of files that this process may have open, and so of its connections, to what the system allows it.
/// The usual first limit of 1,024 is there for programs that cannot count further.
pub fn allow_connections() {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(files) => tracing::info!(files, "open files at most"),
        Err(error) => tracing::warn!(%error, "the limit of open files stays as it is"),
    }
}

/// The next connection, or `None` at the stop. Running out of file handles is waited out, not fatal.
pub async fn accept(listener: &TcpListener, stop: &Stop) -> Option<TcpStream> {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.stopped() => return None,
        };
        match accepted {
            Ok((socket, _)) => {
                // Answers are small and awaited: Nagle's algorithm would only add its delay.
                socket.set_nodelay(true).ok();
                let options = SockRef::from(&socket);
                options.set_tcp_notsent_lowat(UNSENT_MAX_BYTES).ok();
                options.set_tcp_user_timeout(Some(SILENT_MAX)).ok();
                return Some(socket);
            }
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                stop.pause(Duration::from_millis(50)).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    #[tokio::test]
    async fn a_crowd_that_nobody_has_accepted_yet_is_connected() {
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let mut crowd = Vec::new();
        for number in 0..400 {
            // One that finds no room is tried again by the kernel after a second.
            let connected =
                tokio::time::timeout(Duration::from_millis(900), TcpStream::connect(address)).await;
            crowd.push(connected.unwrap_or_else(|_| panic!("{number} are connected, and no more")).unwrap());
        }
    }

    #[tokio::test]
    async fn a_connection_that_never_said_a_word_does_not_hold_up_the_stop() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stop = Stop::new();
        let router = Router::new().route("/", axum::routing::get(async || "here"));
        let serving = serve(listener, router, stop.clone());
        let talking = async {
            let _silent = TcpStream::connect(address).await.unwrap();
            // It has been accepted when one that came later is answered.
            let mut other = TcpStream::connect(address).await.unwrap();
            other.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.unwrap();
            let mut answer = String::new();
            other.read_to_string(&mut answer).await.unwrap();
            assert!(answer.ends_with("here"), "{answer}");
            stop.stop();
            tokio::time::timeout(DRAIN_MAX / 2, stop.drained()).await.expect("held up");
        };
        tokio::join!(serving, talking);
    }
}
