//! HTTP plumbing of the services: the accept loop here, [`door`] while a service starts, [`extract`] in front of
//! handlers, [`problem`] behind them, [`observe`] around them.

pub mod door;
pub mod extract;
pub mod observe;
pub mod problem;

use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};

use crate::stop::Stop;

/// A connection that sends no whole request head for this long is closed, idle ones too. Longer than the
/// gateway keeps idle connections (30 s), so that it is always the client who closes first.
pub const HEAD_MAX: Duration = Duration::from_secs(60);
/// Requests in flight at a stop may take this long.
const DRAIN_MAX: Duration = Duration::from_secs(5);

/// Serves `router` on `listener` until `stop`, then finishes the requests in flight.
///
/// HTTP/1 only and with an explicit timer: hyper's head deadline is inert without one, and its protocol sniffing
/// waits for ever for a peer that sends nothing.
pub async fn serve(listener: TcpListener, router: Router, stop: Stop) {
    let service = TowerToHyperService::new(router);
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(HEAD_MAX);
    let graceful = GracefulShutdown::new();
    // Connections outlive the stop while they drain, but not the drain.
    let cut = Stop::new();
    while let Some(socket) = accept(&listener, &stop).await {
        let connection = server.serve_connection(TokioIo::new(socket), service.clone());
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
                return Some(socket);
            }
            Err(error) => {
                tracing::warn!(%error, "accept failed");
                stop.pause(Duration::from_millis(50)).await;
            }
        }
    }
}
