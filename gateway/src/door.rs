//! Accepts connections: HTTP/1.1 in the clear, with a deadline on every head, and ends them without losing an answer.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use common::http::accept;
use common::stop::Stop;
use http::Response;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::{Sleep, sleep};
use tower::Service;

use crate::body::Body;
use crate::call::Arrived;
use crate::config::Config;

/// A request's head in bytes. (hyper takes at most 100 headers by itself.)
const HEAD_MAX_BYTES: usize = 32 << 10;
/// Requests in flight at a stop may take this long.
const DRAIN_MAX: Duration = Duration::from_secs(8);
/// How long, and for how many bytes, a closed connection is still read.
const LINGER_MAX: Duration = Duration::from_secs(1);
const LINGER_MAX_BYTES: usize = 8 << 20;

/// Serves `stack` on `listener` until `stop`, then finishes the requests in flight.
pub async fn serve<S>(listener: TcpListener, stack: S, config: &Config, stop: &Stop)
where
    S: Service<Arrived, Response = Response<Body>, Error = Infallible, Future: Send> + Clone + Send + 'static,
{
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(config.head_max()).max_header_size(HEAD_MAX_BYTES);
    let graceful = GracefulShutdown::new();
    let too_late = Stop::new();
    while let Some(socket) = accept(&listener, stop).await {
        let peer = socket.peer_addr().map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |peer| peer.ip());
        let stack = stack.clone();
        let service = service_fn(move |request| stack.clone().call(Arrived { request, peer }));
        let connection = server.serve_connection(TokioIo::new(Lingering::new(socket)), service);
        let (connection, too_late) = (graceful.watch(connection), too_late.clone());
        stop.spawn("connection", async move {
            tokio::select! {
                ended = connection => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, "connection ended");
                    }
                }
                () = too_late.stopped() => {}
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(DRAIN_MAX, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests in flight did not end in time");
    }
    too_late.stop();
}

/// A socket that, once closed for writing, is read for a moment longer. A socket closed with unread bytes sends a
/// reset, which makes the client lose the answer: a 413 is written while the body is still coming.
#[derive(Debug)]
struct Lingering {
    socket: TcpStream,
    closing: Option<Pin<Box<Sleep>>>,
    left: usize,
}

impl Lingering {
    fn new(socket: TcpStream) -> Self {
        Self { socket, closing: None, left: LINGER_MAX_BYTES }
    }
}

impl AsyncRead for Lingering {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, into)
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.closing.is_none() {
            ready!(Pin::new(&mut this.socket).poll_shutdown(cx))?;
        }
        let until = this.closing.get_or_insert_with(|| Box::pin(sleep(LINGER_MAX)));
        let mut scrap = [0; 8 << 10];
        while until.as_mut().poll(cx).is_pending() && this.left > 0 {
            let mut into = ReadBuf::new(&mut scrap);
            match Pin::new(&mut this.socket).poll_read(cx, &mut into) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if !into.filled().is_empty() => {
                    this.left = this.left.saturating_sub(into.filled().len());
                }
                Poll::Ready(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}
