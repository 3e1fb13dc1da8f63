//! Benchmarks: one figure each, and beside it the limit that the same machine reached in the same run.
//! Absolute figures say little about another machine; the ratio does.

mod apart;
mod board;
mod catalogue;
mod cost;
mod gateway;
mod load;
mod login;
mod notices;
mod orders;
mod process;
pub(crate) mod queue;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args as ClapArgs, Subcommand};

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
    /// The catalogue: searches, one hot page, bulk import, each beside what is asked of it.
    Catalogue(catalogue::Args),
    /// Orders: the stock stage, orders over HTTP, their decisions, memory; against a row lock per order on the same
    /// database server.
    Orders(orders::Args),
    /// Notices: everybody who asked is told that a sale has begun, against a bare statement of as many rows.
    Notices(notices::Args),
    /// The gateway beside HAProxy and nginx: cost, added latency, overload, live streams. Needs no running platform.
    Gateway(gateway::Args),
    /// Logins through the gateway, beside argon2 alone on the same machine.
    Login,
}

/// Runs one.
pub(crate) async fn run(args: Args) -> anyhow::Result<bool> {
    let time = Duration::from_secs(args.seconds);
    let board = match &args.what {
        What::Queue(wanted) => queue::run(&args.stack, wanted, time).await?,
        What::Catalogue(wanted) => catalogue::run(&args.stack, wanted, time).await?,
        What::Orders(wanted) => orders::run(&args.stack, wanted, time).await?,
        What::Notices(wanted) => notices::run(&Stack::read(&args.stack)?, wanted).await?,
        What::Gateway(wanted) => gateway::run(wanted, time).await?,
        What::Login => login::run(&Stack::read(&args.stack)?, time).await?,
    };
    report::say(&board.table());
    if let Some(path) = &args.json {
        report::save(path, &board)?;
    }
    Ok(true)
}
