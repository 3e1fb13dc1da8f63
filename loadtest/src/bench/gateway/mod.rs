//! What the door costs, beside proxies that do as much of its work as they can: the same backend, the same load, the same
//! run, each on one core.
//!
//! - [`backend`]: what stands behind. [`peers`]: the proxies. [`keys`]: tokens for each of them.
//! - [`streams`]: memory of live streams.

mod backend;
mod keys;
mod peers;
mod streams;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args as ClapArgs, ValueEnum};

use super::board::{Asked, Board, Part};
use crate::fast::{self, Barrage, Volley};
use crate::report;
use keys::Keys;
use peers::{Peer, Token};

/// Connections, each with one request in flight.
const CONNECTIONS: usize = 64;
/// Added latency is measured at this rate, in requests per second.
const CALM: f64 = 1_000.0;
/// More than the backend can take, by this factor.
const OVERLOAD: f64 = 3.0;

/// Options of this benchmark. It starts all it needs by itself.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Args {
    /// Measures only these.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<What>,
    /// Rates are measured this many times, and the best counts: other work on the machine only ever takes away.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=20))]
    rounds: u32,
    /// Accounts that ask.
    #[arg(long, default_value_t = 20_000, value_parser = clap::value_parser!(i64).range(100..=100_000))]
    accounts: i64,
    /// Live streams; each takes one of the gateway's open files.
    #[arg(long, default_value_t = 9_500, value_parser = clap::value_parser!(u32).range(100..=100_000))]
    streams: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Requests per second of processor time.
    Cost,
    /// Added latency.
    Latency,
    /// More than the backend can take.
    Overload,
    /// Memory of live streams.
    Streams,
}

/// Measures all that is asked for.
pub(super) async fn run(args: &Args, time: Duration) -> anyhow::Result<Board> {
    rlimit::increase_nofile_limit(u64::MAX)?;
    let keys = Keys::new()?;
    let backend = backend::start(&keys.identity.jwks())?;
    let asks = |what| args.only.is_empty() || args.only.contains(&what);
    let mut parts = Vec::new();
    if asks(What::Cost) {
        parts.push(cost(args, &keys, backend, time).await?);
    }
    if asks(What::Latency) {
        parts.push(latency(args, &keys, backend, time).await?);
    }
    if asks(What::Overload) {
        parts.push(overload(args, &keys, backend, time).await?);
    }
    if asks(What::Streams) {
        parts.push(streams::measure(args.streams, &keys, backend).await?);
    }
    Ok(Board::new(parts))
}

fn requests(keys: &Keys, token: Token, path: &str, accounts: i64) -> anyhow::Result<Vec<Arc<[u8]>>> {
    let tokens = keys.tokens(token, accounts)?;
    Ok(tokens.iter().map(|token| fast::request("GET", path, Some(token), "")).collect())
}

async fn fire_calmly(to: SocketAddr, requests: Vec<Arc<[u8]>>, time: Duration) -> anyhow::Result<Volley> {
    seen(to, &requests).await?;
    fast::fire(barrage(to, requests, time, Some(CALM))).await
}

/// All requests over and over.
fn barrage(to: SocketAddr, requests: Vec<Arc<[u8]>>, time: Duration, rate: Option<f64>) -> Barrage {
    let requests = Box::new(requests.into_iter().cycle());
    Barrage { to, requests, connections: CONNECTIONS, time: Some(time), rate }
}

/// Sends each request once, so that the proxy has seen every account.
async fn seen(to: SocketAddr, requests: &[Arc<[u8]>]) -> anyhow::Result<()> {
    let requests = Box::new(Vec::from(requests).into_iter());
    let barrage = Barrage { to, requests, connections: CONNECTIONS, time: None, rate: None };
    fast::fire(barrage).await.map(drop)
}

async fn cost(args: &Args, keys: &Keys, backend: SocketAddr, time: Duration) -> anyhow::Result<Part> {
    let mut part =
        Part::new("GET with an identity already seen: requests per second of the proxy's processor time");
    let peers = [
        Some(Peer::gateway(keys, backend)?),
        Some(Peer::logging_gateway(keys, backend)?),
        Peer::haproxy(keys, backend, Token::Es256)?,
        Peer::haproxy(keys, backend, Token::Hs256)?,
        Peer::haproxy(keys, backend, Token::Unchecked)?,
        Peer::nginx(keys, backend)?,
    ];
    let mut figures: Vec<(Token, f64)> = Vec::new();
    for peer in peers.iter().flatten() {
        let (mut best, mut rate, mut p99) = (0.0_f64, 0.0_f64, 0.0);
        for _ in 0..args.rounds {
            let requests = requests(keys, peer.token, "/api/users/me", args.accounts)?;
            seen(peer.address, &requests).await?;
            let before = peer.process().cpu()?;
            let volley = fast::fire(barrage(peer.address, requests, time, None)).await?;
            let used = peer.process().cpu()?.since(before).total();
            if let Some(failure) = &volley.failure {
                anyhow::bail!("{}: {} failed, first: {failure}", peer.name, volley.failed);
            }
            if volley.count() as f64 / used > best {
                (best, rate) = (volley.count() as f64 / used, volley.per_s());
                p99 = volley.latency.value_at_quantile(0.99) as f64 / 1e3;
            }
        }
        report::note(&format!(
            "{}: {best:.0} per CPU-second, {rate:.0} per second, p99 {p99:.2} ms",
            peer.name
        ));
        part.seen(peer.name, best, "requests per CPU-s");
        figures.push((peer.token, best));
    }
    let of = |wanted: Token| figures.iter().find(|(token, _)| *token == wanted).map(|(_, figure)| *figure);
    let gateway = of(Token::EdDsa).unwrap_or(0.0);
    for (token, name, least) in [
        (Token::Es256, "gateway / HAProxy ES256", 2.0),
        (Token::Hs256, "gateway / HAProxy HS256 (the aim)", 1.0),
    ] {
        match of(token) {
            Some(figure) => part.asked(name, gateway / figure, "", Asked::AtLeast(least)),
            None => part.note("HAProxy is not installed: apt-get install haproxy"),
        }
    }
    part.note("one core each, 64 connections; HAProxy checks every signature, the gateway remembers tokens it has verified");
    Ok(part)
}

async fn latency(args: &Args, keys: &Keys, backend: SocketAddr, time: Duration) -> anyhow::Result<Part> {
    let mut part = Part::new("Added latency at 1,000 requests/s");
    let gateway = Peer::gateway(keys, backend)?;
    let p = |volley: &Volley, quantile| volley.latency.value_at_quantile(quantile) as f64;
    let own = || requests(keys, Token::EdDsa, "/api/users/me", args.accounts.min(1_000));
    let direct = fire_calmly(backend, own()?, time).await?;
    let through = fire_calmly(gateway.address, own()?, time).await?;
    part.seen("straight at the backend, p50", p(&direct, 0.5), "µs");
    part.seen("through the gateway, p50", p(&through, 0.5), "µs");
    part.asked("added, p50", p(&through, 0.5) - p(&direct, 0.5), "µs", Asked::AtMost(150.0));
    part.seen("added, p99", p(&through, 0.99) - p(&direct, 0.99), "µs");
    Ok(part)
}

async fn overload(args: &Args, keys: &Keys, backend: SocketAddr, time: Duration) -> anyhow::Result<Part> {
    let mut part = Part::new("More than the backend can take");
    let gateway = Peer::gateway(keys, backend)?;
    let most = backend::HANDS as f64 / backend::SLOW.as_secs_f64();
    let at = async |factor: f64| {
        let requests = requests(keys, Token::EdDsa, "/api/orders", args.accounts)?;
        let barrage = barrage(gateway.address, requests, time, Some(most * factor));
        fast::fire(Barrage { connections: 1_024, ..barrage }).await
    };
    let mut best: Option<Volley> = None;
    for factor in [0.7, 0.8, 0.9, 1.0] {
        let volley = at(factor).await?;
        if best.as_ref().is_none_or(|best| volley.per_s() > best.per_s()) {
            best = Some(volley);
        }
    }
    let Some(best) = best else { anyhow::bail!("nothing was measured") };
    let over = at(OVERLOAD).await?;
    let p99 = |volley: &Volley| volley.latency.value_at_quantile(0.99) as f64 / 1e3;
    part.seen("best goodput up to the backend's limit", best.per_s(), "requests/s");
    part.seen("its p99", p99(&best), "ms");
    part.asked("goodput at 3 times the limit / best", over.per_s() / best.per_s(), "", Asked::AtLeast(0.9));
    part.asked("p99 of the accepted / best's", p99(&over) / p99(&best), "", Asked::AtMost(2.0));
    part.seen("refused", over.failed as f64 / time.as_secs_f64(), "requests/s");
    part.note(format!("the backend: {} hands, {:?} each", backend::HANDS, backend::SLOW));
    Ok(part)
}
