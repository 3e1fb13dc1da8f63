//! Replicas come and go while everything runs: names are resolved again and again, and every replica is asked whether it
//! is ready. What it is doing badly, requests themselves tell sooner.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use common::stop::Stop;
use futures::future::join_all;
use http::{Request, header};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;

use super::replica::Replica;
use super::{Upstream, Upstreams};
use crate::metrics::Metrics;

/// Between two looks at a name.
const RESOLVE: Duration = Duration::from_secs(5);
/// A replica has this long to say that it is ready.
const READY_MAX: Duration = Duration::from_secs(1);
/// Not ready so often in a row, it gets no requests.
const NOT_READY_MAX: u32 = 2;

/// Watches all services until the stop; asks replicas every `health`, or never.
pub async fn watch(upstreams: Arc<Upstreams>, health: Option<Duration>, metrics: Metrics, stop: Stop) {
    let mut refusals = HashMap::new();
    loop {
        for upstream in upstreams.all() {
            upstream.resolve().await;
            if health.is_some() {
                upstream.ask(&mut refusals).await;
            }
            let replicas = upstream.replicas();
            let up = replicas.iter().filter(|replica| replica.is_up()).count();
            let figure = |state| metrics.upstream_replicas.with_label_values(&[upstream.name, state]);
            figure("up").set(i64::try_from(up).unwrap_or(0));
            figure("down").set(i64::try_from(replicas.len() - up).unwrap_or(0));
            metrics.upstream_limit.with_label_values(&[upstream.name]).set(upstream.limit() as i64);
        }
        if !stop.pause(health.unwrap_or(RESOLVE).min(RESOLVE)).await {
            return;
        }
    }
}

impl Upstream {
    /// Looks names up. Known replicas stay what they are, with their connections; what is no longer named gets no further
    /// requests. A name that cannot be resolved changes nothing.
    async fn resolve(&self) {
        if self.authorities.iter().all(|authority| authority.as_str().parse::<SocketAddr>().is_ok()) {
            return;
        }
        let mut addresses = Vec::new();
        for authority in &self.authorities {
            let port = authority.port_u16().unwrap_or(80);
            match lookup_host((authority.host(), port)).await {
                Ok(found) => addresses.extend(found),
                Err(error) => {
                    tracing::warn!(%authority, %error, upstream = self.name, "name not resolved");
                    return;
                }
            }
        }
        addresses.sort_unstable();
        addresses.dedup();
        self.set(&addresses);
    }

    fn set(&self, addresses: &[SocketAddr]) {
        let known = self.replicas();
        if known.iter().map(|replica| replica.address).eq(addresses.iter().copied()) {
            return;
        }
        tracing::info!(upstream = self.name, ?addresses, "replicas");
        let made = |&address: &SocketAddr| match known.iter().find(|replica| replica.address == address) {
            Some(replica) => Arc::clone(replica),
            None if known.is_empty() => Arc::new(Replica::new(address, self.workers).seasoned()),
            None => Arc::new(Replica::new(address, self.workers)),
        };
        let replicas = addresses.iter().map(made).collect();
        *self.replicas.write().unwrap_or_else(PoisonError::into_inner) = replicas;
    }

    /// Asks all replicas whether they are ready.
    async fn ask(&self, refusals: &mut HashMap<SocketAddr, u32>) {
        let replicas = self.replicas();
        let answers =
            join_all(replicas.iter().map(|replica| timeout(READY_MAX, is_ready(replica.address)))).await;
        for (replica, answer) in replicas.iter().zip(answers) {
            let count = refusals.entry(replica.address).or_default();
            let is_ready = matches!(answer, Ok(Ok(true)));
            *count = if is_ready { 0 } else { count.saturating_add(1) };
            replica.set_ready(*count < NOT_READY_MAX);
        }
    }
}

async fn is_ready(address: SocketAddr) -> anyhow::Result<bool> {
    let socket = TcpStream::connect(address).await?;
    let (mut line, connection) = http1::handshake(TokioIo::new(socket)).await?;
    let request =
        Request::get("/readyz").header(header::HOST, address.to_string()).body(Empty::<Bytes>::new())?;
    let answer = line.send_request(request);
    tokio::select! {
        answer = answer => Ok(answer?.status().is_success()),
        ended = connection => { ended?; Ok(false) }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;
    use crate::Config;

    #[test]
    fn replicas_come_and_go_and_those_that_stay_keep_what_they_know() {
        let config = Config::parse_from([
            "gateway",
            "--user-upstreams",
            "http://user:8081",
            "--internal-key-file",
            "k",
        ]);
        let upstreams = Upstreams::new(&config).unwrap();
        let upstream = upstreams.all().next().unwrap();
        assert!(upstream.replicas().is_empty(), "a name is nobody yet");
        let address = |last| SocketAddr::from(([10, 0, 0, last], 8081));
        upstream.set(&[address(1), address(2)]);
        let before = upstream.replicas();
        upstream.set(&[address(2), address(3)]);
        let after = upstream.replicas();
        assert!(Arc::ptr_eq(&before[1], &after[0]), "2 stays");
        assert_eq!(after[1].address, address(3));
        let now = tokio::time::Instant::now();
        assert!(after[1].load(now) > after[0].load(now) * 5.0, "3 is new");
    }

    #[tokio::test]
    async fn a_name_is_resolved() {
        let config = Config::parse_from([
            "gateway",
            "--user-upstreams",
            "http://localhost:8081",
            "--internal-key-file",
            "k",
        ]);
        let upstreams = Upstreams::new(&config).unwrap();
        let upstream = upstreams.all().next().unwrap();
        upstream.resolve().await;
        assert!(upstream.replicas().iter().any(|replica| replica.address.ip().is_loopback()));
    }
}
