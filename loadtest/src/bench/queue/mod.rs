//! The waiting room's figures, each beside what is asked of it and the limit of the same run.
//!
//! - [`requests`]: joins and places over HTTP, with what the generator and HTTP alone cost.
//! - [`script`]: Redis time per join, beside the least that a join has to do.
//! - [`memory`]: what a waiter takes in Redis. [`sweep`]: ranks in a process.
//! - [`streams`]: people with live streams while the line moves. [`crowds`]: their processes. [`crowd`]: one of them.

pub(crate) mod crowd;
mod crowds;
mod echo;
mod memory;
mod requests;
mod script;
mod streams;
mod sweep;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args as ClapArgs, ValueEnum};

use super::board::Board;
use crate::fast;
use crate::report;
use crate::stack::Stack;

/// Options of this benchmark.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Args {
    /// Measures only these.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<What>,
    /// Rates are measured this many times, and the best counts: other work on the machine only ever takes away.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=20))]
    rounds: u32,
    /// Identities that join and ask.
    #[arg(long, default_value_t = 200_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    accounts: u32,
    /// Connections, each with one request in flight. With few, the time that a request waits for its turn on a busy machine
    /// is measured, not what the servers can do.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    connections: u16,
    /// Waiters whose memory is weighed.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1_000..=10_000_000))]
    waiters: u32,
    /// Live streams; fewer where the limit of open files is in the way.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    streams: u32,
    /// How long the line moves while they look on, in seconds. Four places a second are given up: over 60 s the 99th
    /// percentile is more than the one worst moment.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u16).range(5..=300))]
    moving_s: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Joins and places over HTTP, Redis time per join.
    Requests,
    /// Redis memory per waiter.
    Memory,
    /// Live streams.
    Streams,
    /// Ranks in a process's memory.
    Sweep,
}

/// What all parts share.
struct Run<'a> {
    stack: &'a Stack,
    /// Where it was read from.
    stack_path: &'a Path,
    args: &'a Args,
    /// Length of one measurement.
    time: Duration,
}

impl Run<'_> {
    fn asks(&self, what: What) -> bool {
        self.args.only.is_empty() || self.args.only.contains(&what)
    }

    /// The first queue-server.
    fn server(&self) -> anyhow::Result<SocketAddr> {
        fast::address(self.stack.queue_server.first().context("stack.json names no queue-server")?)
    }
}

/// Measures all that is asked for.
pub(super) async fn run(path: &Path, args: &Args, time: Duration) -> anyhow::Result<Board> {
    let stack = &Stack::read(path)?;
    // Elsewhere the soft limit is far below what a process may have.
    let files = rlimit::increase_nofile_limit(u64::MAX).context("raising the limit of open files")?;
    report::note(&format!("open files: at most {files} per process"));
    let run = Run { stack, stack_path: path, args, time };
    let mut parts = Vec::new();
    if run.asks(What::Requests) {
        parts.extend(requests::measure(&run).await?);
    }
    if run.asks(What::Memory) {
        parts.push(memory::measure(&run).await?);
    }
    if run.asks(What::Sweep) {
        parts.push(sweep::measure(&run));
    }
    if run.asks(What::Streams) {
        parts.push(streams::measure(&run).await?);
    }
    Ok(Board::new(parts))
}
