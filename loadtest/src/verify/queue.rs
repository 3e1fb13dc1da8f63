//! `verify-queue`: proves the order of waiting rooms by their logs alone, of any sale that the topic still has.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::time::Instant;

use clap::Args as ClapArgs;
use common::kafka::reader::Offsets;
use common::wire::id::ProductId;

use super::log::{Logs, Proof};
use super::rehearsal;
use crate::report;
use crate::stack::Stack;

/// Options of a proof.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// Describes the running platform.
    #[arg(long, default_value = ".dev/stack.json")]
    stack: PathBuf,
    /// One product's room; without, every room in the topic.
    #[arg(long)]
    product: Option<i64>,
    /// Makes up a sale with so many registrations in a topic of its own on the same broker, and proves that one instead.
    #[arg(long, conflicts_with = "product", value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    rehearse: Option<u32>,
}

/// Proves it; true when every rule held.
pub(crate) async fn run(args: Args) -> anyhow::Result<bool> {
    let stack = Stack::read(&args.stack)?;
    let product = args.product.map(ProductId);
    let started;
    let proofs = if let Some(joins) = args.rehearse {
        let kafka = rehearsal::write(&stack.kafka(), joins).await?;
        started = Instant::now();
        let (logs, _) = Logs::new(None, None).read_on(&kafka, Offsets::new()).await?;
        let proofs = logs.end();
        rehearsal::remove(&kafka).await?;
        proofs
    } else {
        started = Instant::now();
        Logs::new(product, None).read(&stack, Offsets::new()).await?
    };
    let (text, holds) = table(&proofs);
    report::say(&format!("{text}{:.2} s", started.elapsed().as_secs_f64()));
    Ok(holds)
}

fn table(proofs: &BTreeMap<ProductId, Proof>) -> (String, bool) {
    let (mut out, mut holds) = (String::new(), !proofs.is_empty());
    if proofs.is_empty() {
        out += "FAIL: the topic has no room's log\n";
    }
    for (product, proof) in proofs {
        let Proof { records, story, .. } = proof;
        let checks = proof.checks();
        let broken: Vec<_> = checks.iter().filter(|check| check.broken > 0).collect();
        let is_proved = broken.is_empty() && *records > 0;
        holds &= is_proved;
        let verdict = if is_proved { "PASS" } else { "FAIL" };
        writeln!(
            out,
            "{verdict} room {product}: {records} records, {} steps, {} tickets, {} let in ({} by hand), {} recoveries; \
             {} of {} rules hold",
            story.steps,
            story.joined,
            story.called,
            story.by_hand,
            story.recovered,
            checks.len() - broken.len(),
            checks.len()
        )
        .expect("writing to a string does not fail");
        for check in broken {
            writeln!(out, "  BROKEN {}: {} times", check.rule, check.broken).expect("as above");
            for example in &check.examples {
                writeln!(out, "         {example}").expect("as above");
            }
        }
    }
    (out, holds)
}
