//! Servers that do nothing, for the price of asking: the HTTP library alone, and the same under the platform's own
//! plumbing.

use std::convert::Infallible;
use std::net::SocketAddr;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use common::http::observe::{self, Ready};
use common::stop::Stop;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// As long as a place in the line.
const BODY: &[u8] = &[b'x'; 220];

/// A server that ends with this value.
pub(super) struct Echo {
    /// Where it listens.
    pub(super) address: SocketAddr,
    stop: Stop,
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

impl Echo {
    /// Nothing but hyper.
    pub(super) async fn bare() -> anyhow::Result<Self> {
        let (listener, echo) = Self::listen().await?;
        let stop = echo.stop.clone();
        echo.stop.spawn("echo", async move {
            while let Some(socket) = common::http::accept(&listener, &stop).await {
                let answer = |_: Request<Incoming>| async {
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(BODY))))
                };
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(socket), service_fn(answer));
                stop.spawn("echo", async move {
                    // The client closes; how is nobody's business.
                    connection.await.ok();
                });
            }
        });
        Ok(echo)
    }

    /// A handler that does nothing behind everything that stands in front of a service's handlers.
    pub(super) async fn in_frame() -> anyhow::Result<Self> {
        let (listener, echo) = Self::listen().await?;
        let api = Router::new().route("/echo/{id}", get(|| async { BODY }));
        let router = observe::observed(api, &common::metrics::registry(), &Ready::default())?;
        echo.stop.spawn("echo", common::http::serve(listener, router, echo.stop.clone()));
        Ok(echo)
    }

    async fn listen() -> anyhow::Result<(TcpListener, Self)> {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
        let address = listener.local_addr()?;
        Ok((listener, Self { address, stop: Stop::new() }))
    }
}
