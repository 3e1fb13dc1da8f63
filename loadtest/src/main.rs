//! `loadtest`: a flash sale with prepared shoppers, and what became of it; benchmarks.
//!
//! - [`stack`]: the running platform, as `stack.json` names it. [`account`]: logins of the prepared shoppers.
//! - [`http`]: requests over connections from many source addresses; [`fast`]: the cheapest ones, for benchmarks.
//!   [`sale`]: registers what is sold.
//! - [`plan`]: who comes when and behaves how. [`shopper`]: one of them. [`notes`]: what they saw and how long it took.
//! - [`scenario`]: what is run. [`verify`]: what the databases, topics and the room's log say about it.
//! - [`bench`](mod@bench): figures with their limit in the same run. [`report`], [`progress`]: what a person sees.

mod account;
mod bench;
mod fast;
mod http;
mod notes;
mod plan;
mod progress;
mod report;
mod sale;
mod scenario;
mod shopper;
mod stack;
mod verify;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Exit code of a run that could not begin: bad usage, or a stack that does not answer.
const NOT_RUN: u8 = 2;

/// Puts load on a running platform and judges what became of it.
#[derive(Debug, Parser)]
#[command(name = "loadtest", version)]
struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// A flash sale: shoppers come at once, queue up, are let in, order and pay. Exit code 1 when a rule was
    /// broken.
    Rush(scenario::rush::Args),
    /// Proves the order of waiting rooms by their logs. Exit code 1 when a rule was broken.
    VerifyQueue(verify::queue::Args),
    /// Holds orders, stock and money of a shop against each other, running or at rest. Exit code 1 when a rule was broken.
    VerifyOrders(verify::pipeline::Args),
    /// Measures one part against its limit in the same run.
    Bench(bench::Args),
    /// A crowd on live streams: what a benchmark starts, once per process that it takes.
    #[command(hide = true)]
    Crowd(bench::queue::crowd::Args),
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Args::parse().what {
        What::Rush(args) => scenario::rush::run(args).await,
        What::VerifyQueue(args) => verify::queue::run(args).await,
        What::VerifyOrders(args) => verify::pipeline::run(args).await,
        What::Bench(args) => bench::run(args).await,
        What::Crowd(args) => bench::queue::crowd::run(args).await,
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            report::fail(&format!("{error:#}"));
            ExitCode::from(NOT_RUN)
        }
    }
}
