//! Benchmarks: one figure each, and beside it the limit that the same machine reached in the same run.
//! Absolute figures say little about another machine; the ratio does.

mod board;
mod gateway;
mod load;
mod notices;
mod orders;
mod process;
pub(crate) mod queue;

use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand};
use serde::Serialize;

use crate::report;
use crate::stack::Stack;

/// Options of a benchmark.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
    /// Describes the running platform.
    #[arg(long, global = true, default_value = ".dev/stack.json")]
    stack: PathBuf,
    /// Each measurement lasts this long.
    #[arg(long, global = true, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=600))]
    seconds: u64,
    /// Writes the result here, as JSON.
    #[arg(long, global = true)]
    json: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum What {
    /// The waiting room: joins, places, Redis time and memory, live streams, each beside what is asked of it.
    Queue(queue::Args),
    /// Orders: the stock stage, orders over HTTP, their decisions, memory; against a row lock per order on the same
    /// database server.
    Orders(orders::Args),
    /// Notices: everybody who asked is told that a sale has begun, against a bare statement of as many rows.
    Notices(notices::Args),
    /// Requests per CPU-second of the gateway, against the service behind it.
    Gateway,
}

/// What was measured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Figures {
    /// What is measured, and how.
    title: &'static str,
    /// The figure.
    measured: Figure,
    /// What the machine reaches at most in the same run.
    limit: Figure,
    /// The figure as a share of its limit.
    ratio: f64,
    /// What else was seen.
    further: Vec<Figure>,
}

/// A number with its unit.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Figure {
    name: String,
    value: f64,
    unit: &'static str,
}

impl Figure {
    fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        Self { name: name.into(), value, unit }
    }
}

impl Figures {
    fn new(title: &'static str, measured: Figure, limit: Figure, further: Vec<Figure>) -> Self {
        let ratio = measured.value / limit.value;
        Self { title, measured, limit, ratio, further }
    }

    fn table(&self) -> String {
        let mut out = format!("{}\n\n", self.title);
        let lines = [("measured", &self.measured), ("limit", &self.limit)];
        let lines = lines.into_iter().chain(self.further.iter().map(|figure| ("", figure)));
        for (role, Figure { name, value, unit }) in lines {
            writeln!(out, "{role:<10}{name:<52}{value:>14.1} {unit}")
                .expect("writing to a string does not fail");
        }
        out + &format!("ratio     {:.3}\n", self.ratio)
    }
}

/// Runs one.
pub(crate) async fn run(args: Args) -> anyhow::Result<bool> {
    let time = Duration::from_secs(args.seconds);
    let figures = match &args.what {
        What::Queue(wanted) => {
            let board = queue::run(&args.stack, wanted, time).await?;
            report::say(&board.table());
            return save(&args, &board);
        }
        What::Orders(wanted) => {
            let board = orders::run(&args.stack, wanted, time).await?;
            report::say(&board.table());
            return save(&args, &board);
        }
        What::Notices(wanted) => notices::run(&Stack::read(&args.stack)?, wanted).await?,
        What::Gateway => gateway::run(&Stack::read(&args.stack)?, time).await?,
    };
    report::say(&figures.table());
    save(&args, &figures)
}

fn save(args: &Args, result: &impl Serialize) -> anyhow::Result<bool> {
    if let Some(path) = &args.json {
        report::save(path, result)?;
    }
    Ok(true)
}
