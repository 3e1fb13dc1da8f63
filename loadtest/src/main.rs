//! `loadtest`: a flash sale with prepared shoppers, and what became of it; benchmarks.
//!
//! - [`stack`]: the running platform, as `stack.json` names it. [`account`]: logins of the prepared shoppers.
//! - [`http`]: requests over connections from many source addresses. [`sale`]: registers what is sold.
//! - [`plan`]: who comes when and behaves how. [`shopper`]: one of them. [`notes`]: what they saw and how long it took.
//! - [`scenario`]: what is run. [`verify`]: what the databases, topics and the room's log say about it.
//! - [`bench`](mod@bench): figures with their limit in the same run. [`report`], [`progress`]: what a person sees.

mod account;
mod bench;
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
    /// Measures one part against its limit in the same run.
    Bench(bench::Args),
}

#[tokio::main]
async fn main() -> ExitCode {
    let done = match Args::parse().what {
        What::Rush(args) => scenario::rush::run(args).await,
        What::Bench(args) => bench::run(args).await,
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
