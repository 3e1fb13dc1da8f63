//! A TCP proxy in front of a server: cuts, delays and restores the wire, where tests would otherwise have to change
//! the code.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use common::stop::Stop;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// A wire to one server. It ends when dropped.
#[derive(Debug)]
pub struct Wire {
    /// Where to connect instead of the server.
    pub address: SocketAddr,
    state: Arc<State>,
    stop: Stop,
}

#[derive(Debug, Default)]
struct State {
    cut: AtomicBool,
    delay_ms: AtomicU64,
    cuts: Notify,
}

impl Wire {
    /// A wire to `server` (`host:port`), on a port of its own.
    ///
    /// # Errors
    /// When no port can be bound.
    pub async fn to(server: &str) -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let wire = Self { address: listener.local_addr()?, state: Arc::default(), stop: Stop::new() };
        let (state, stop, server) = (Arc::clone(&wire.state), wire.stop.clone(), server.to_owned());
        wire.stop.spawn("wire", async move {
            while let Some(client) = common::http::accept(&listener, &stop).await {
                stop.spawn("wire connection", join(client, server.clone(), Arc::clone(&state), stop.clone()));
            }
        });
        Ok(wire)
    }

    /// Breaks every connection and refuses new ones.
    pub fn cut(&self) {
        self.state.cut.store(true, Ordering::SeqCst);
        self.state.cuts.notify_waiters();
    }

    /// Lets new connections through again.
    pub fn restore(&self) {
        self.state.cut.store(false, Ordering::SeqCst);
    }

    /// Holds every piece back this long, in each direction.
    pub fn delay(&self, by: Duration) {
        self.state.delay_ms.store(u64::try_from(by.as_millis()).unwrap_or(u64::MAX), Ordering::SeqCst);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

async fn join(client: TcpStream, server: String, state: Arc<State>, stop: Stop) {
    // Listening before looking: a cut between the two would go unnoticed.
    let cut = state.cuts.notified();
    tokio::pin!(cut);
    cut.as_mut().enable();
    if state.cut.load(Ordering::SeqCst) {
        return;
    }
    let Ok(server) = TcpStream::connect(&server).await else { return };
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    tokio::select! {
        () = carry(from_client, to_server, &state) => {}
        () = carry(from_server, to_client, &state) => {}
        () = cut => {}
        () = stop.stopped() => {}
    }
}

async fn carry(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, state: &State) {
    let mut buffer = vec![0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut buffer).await {
        let delay = state.delay_ms.load(Ordering::SeqCst);
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}
