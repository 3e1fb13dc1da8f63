//! Orders: how fast the stock decides, how fast orders are taken through the gateway, how long their decision takes,
//! and what all of it costs; each beside what is asked of it, and beside a row lock per order on the same PostgreSQL in
//! the same run.
//!
//! - [`stage`]: the stock stage alone. [`lock`](mod@lock): the row lock. [`rebuild`]: a writer's memory.
//! - [`placing`]: orders over HTTP as fast as they are taken; accepted, and after the sale is sold out.
//! - [`steady`]: half of that rate for longer: time to the decision, memory.
//! - [`till`]: a sale, rights to order, requests. [`decided`]: when orders were decided. [`cost`]: processor time.

mod decided;
mod lock;
mod placing;
mod rebuild;
mod stage;
mod steady;
mod till;

use std::path::Path;
use std::time::Duration;

use clap::{Args as ClapArgs, ValueEnum};

use super::board::Board;
use super::cost;
use crate::stack::Stack;

/// Options of this benchmark.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Args {
    /// Measures only these.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<What>,
    /// Rates are measured this many times, and the best counts: other work on the machine only ever takes away.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=20))]
    rounds: u32,
    /// Commands that the stock stage finds in its log.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1_000..=5_000_000))]
    commands: u32,
    /// Reservations that a writer finds in its tables.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1_000..=20_000_000))]
    reservations: u32,
    /// Connections, each with one order in flight.
    #[arg(long, default_value_t = 256, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    connections: u16,
    /// Orders per second of the steady run; half of the measured rate by default.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=50_000))]
    rate: Option<u32>,
    /// Length of the steady run in seconds: 600 for the figure of memory.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u32).range(5..=840))]
    steady_s: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Decisions of the stock stage, beside a row lock per order.
    Stage,
    /// A stock writer's memory, read from its tables.
    Rebuild,
    /// Orders over HTTP as fast as they are taken, and after the sale is sold out.
    Placing,
    /// Time to the decision, and memory, at half of that rate.
    Steady,
}

/// What all parts share.
struct Run<'a> {
    stack: &'a Stack,
    args: &'a Args,
    /// Length of one measurement.
    time: Duration,
}

impl Run<'_> {
    fn asks(&self, what: What) -> bool {
        self.args.only.is_empty() || self.args.only.contains(&what)
    }
}

/// Measures all that is asked for.
pub(super) async fn run(path: &Path, args: &Args, time: Duration) -> anyhow::Result<Board> {
    let run = Run { stack: &Stack::read(path)?, args, time };
    let mut parts = Vec::new();
    let mut half = f64::from(args.rate.unwrap_or(0));
    if run.asks(What::Stage) {
        parts.extend(stage::measure(&run).await?);
    }
    if run.asks(What::Rebuild) {
        parts.push(rebuild::measure(&run).await?);
    }
    if run.asks(What::Placing) {
        let (placing, per_s) = placing::measure(&run).await?;
        parts.extend(placing);
        half = args.rate.map_or(per_s / 2.0, f64::from);
    }
    if run.asks(What::Steady) {
        anyhow::ensure!(half > 0.0, "--rate: nothing was measured that half could be taken of");
        parts.push(steady::measure(&run, half).await?);
    }
    Ok(Board::new(parts))
}
