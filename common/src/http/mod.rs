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

use std::net::IpAddr;
use std::time::Duration;

use axum::Router;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream};
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
/// Requests in flight at a stop may take this long.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// Who is at the other end of a request's connection, among the request's extensions.
#[derive(Debug, Clone, Copy)]
pub struct Peer(pub IpAddr);

/// Serves `router` on `listener` until `stop`, then finishes the requests in flight.
///
/// HTTP/1 only and with an explicit timer: hyper's head deadline is inert without one, and its protocol sniffing
/// waits for ever for a peer that sends nothing.
pub async fn serve(listener: TcpListener, router: Router, stop: Stop) {
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_MAX);
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
        let connection = server.serve_connection(TokioIo::new(socket), TowerToHyperService::new(service));
        let (connection, cut) = (graceful.watch(connection), cut.clone());
        stop.spawn("connection", async move {
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
