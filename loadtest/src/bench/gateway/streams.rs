//! What idle live streams take of the gateway's memory.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token as Number};

use super::keys::Keys;
use super::peers::{Peer, Token};
use crate::bench::board::{Asked, Part};
use crate::fast;

/// Until all have their first event.
const FIRST_MAX: Duration = Duration::from_secs(60);

/// Measures `count` streams.
pub(super) async fn measure(count: u32, keys: &Keys, backend: SocketAddr) -> anyhow::Result<Part> {
    let gateway = Peer::gateway(keys, backend)?;
    let token = keys.tokens(Token::EdDsa, 1)?.remove(0);
    let request = fast::request("GET", "/api/queue/7/live", Some(&token), "accept: text/event-stream\r\n");
    let before = gateway.process().resident()?;
    let address = gateway.address;
    let open = move || open(address, count, &request);
    let lines = tokio::task::spawn_blocking(open).await.context("the client panicked")??;
    let after = gateway.process().resident()?;
    let mut part = Part::new("Idle live streams");
    let each = (after - before) / f64::from(count);
    part.seen("streams", lines.len() as f64, "");
    part.seen("memory of the gateway per stream", each, "B");
    part.asked("for 10,000", each * 10_000.0 / f64::from(1 << 20), "MiB", Asked::AtMost(200.0));
    Ok(part)
}

/// Opens them all and waits for the answer of each.
fn open(to: SocketAddr, count: u32, request: &[u8]) -> anyhow::Result<Vec<TcpStream>> {
    let mut poll = Poll::new()?;
    let mut lines = Vec::new();
    for number in 0..count as usize {
        let mut line = fast::connect(to, number, None)?;
        line.write_all(request)?;
        poll.registry().register(&mut line, Number(number), Interest::READABLE)?;
        lines.push(line);
        // What a backlog of connections holds.
        if number % 500 == 499 {
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    let (mut events, mut seen) = (Events::with_capacity(1_024), vec![false; lines.len()]);
    let began = Instant::now();
    while seen.iter().any(|seen| !seen) {
        ensure!(began.elapsed() < FIRST_MAX, "streams without a first event");
        poll.poll(&mut events, Some(Duration::from_secs(1)))?;
        for event in &events {
            let number = event.token().0;
            let mut status = [0; 12];
            if !std::mem::replace(&mut seen[number], true) {
                lines[number].read_exact(&mut status)?;
                ensure!(status == *b"HTTP/1.1 200", "a stream was refused: {}", status.escape_ascii());
            }
        }
    }
    Ok(lines)
}
