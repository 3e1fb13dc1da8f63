//! `verify-orders`: holds orders, stock and money of a whole shop against each other, whoever bought there.
//!
//! | invariant | rules |
//! |---|---|
//! | I1 counts | units add up in the stock row, in every decision and in the replayed log |
//! | I2 reservations | they add up to the stock row and are those of the replayed log |
//! | I3 ledger | it adds up to the stock row without a gap |
//! | I4 limits | no shopper has more than the highest limit the sale ever had; every refusal for it is right |
//! | I5 one decision | every reserve before the cursor is decided, once where it takes units and always alike, or a dead letter, and nothing else is |
//! | I6 fairness | every decision is the one that the log asks for, in the log's order |
//! | I7, I8 payments | one approved payment of the order's price exactly while it is paid; units are sold to paid orders |
//! | I9 ended orders | hold nothing |
//! | I10 refunds | no more than was paid; the provider keeps what the books say |
//! | I11 promises | every accepted order exists and was decided; none without a promise |
//! | I12 messages | no event and no command waits; every transition is one of the state machine's, written down, and told |

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Args as ClapArgs;
use common::wire::id::{OrderId, ProductId};
use serde::Serialize;

use super::check::{Check, lasting, write_broken};
use super::look::{Eye, Facts, Scope};
use super::orders;
use super::topics::Marks;
use crate::http::Net;
use crate::report;
use crate::stack::Stack;

/// Options of a proof.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// Describes the running platform.
    #[arg(long, default_value = ".dev/stack.json")]
    stack: PathBuf,
    /// One product; without, all.
    #[arg(long)]
    product: Option<i64>,
    /// The shop is selling: only what is broken at two looks, `--lag-s` apart, in the same way counts. Without it
    /// nothing may be on its way.
    #[arg(long)]
    live: bool,
    /// How long anything may be on its way, in seconds: between the two looks of `--live`; else until the shop is at rest.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    lag_s: u64,
    /// Orders that were accepted with 202, one id per line: each must exist and be decided.
    #[arg(long)]
    accepted: Option<PathBuf>,
    /// Does not ask the payment sandbox, which has forgotten everything when it was started again.
    #[arg(long)]
    without_provider: bool,
    /// Writes the result here, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// What was found.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Proof {
    pass: bool,
    live: bool,
    products: usize,
    orders: usize,
    commands: usize,
    decisions: usize,
    dead_letters: usize,
    /// Topics without their beginning: rules that need it were left out.
    shortened: Vec<&'static str>,
    took_s: f64,
    checks: Vec<Check>,
}

/// Proves it; true when every rule held.
pub(crate) async fn run(args: Args) -> anyhow::Result<bool> {
    let stack = Stack::read(&args.stack)?;
    let accepted = args.accepted.as_deref().map(read_accepted).transpose()?;
    let net = Net::new(1);
    let product = args.product.map(ProductId);
    let scope = Scope { product, marks: Marks::default(), provider: !args.without_provider };
    let eye = Eye::open(&stack, net.agent(0), scope).await?;
    let (started, lag) = (Instant::now(), Duration::from_secs(args.lag_s));
    let accepted = accepted.as_deref();
    let (facts, checks) = if args.live {
        let first = rules(&eye.look().await?, accepted);
        tokio::time::sleep(lag).await;
        let facts = eye.look().await?;
        let second = rules(&facts, accepted);
        (facts, lasting(&first, second))
    } else {
        let (facts, _) = eye.settled(lag).await?;
        let checks = rules(&facts, accepted);
        (facts, checks)
    };
    let proof = proof(&args, &facts, checks, started.elapsed());
    report::say(&proof.text());
    if let Some(path) = &args.json {
        report::save(path, &proof)?;
    }
    Ok(proof.pass)
}

fn read_accepted(path: &Path) -> anyhow::Result<Vec<OrderId>> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let id = |(line, number): (&str, usize)| {
        line.trim().parse().with_context(|| format!("{}: line {number}", path.display()))
    };
    let orders: Vec<_> = text
        .lines()
        .zip(1..)
        .filter(|(line, _)| !line.trim().is_empty())
        .map(id)
        .collect::<anyhow::Result<_>>()?;
    anyhow::ensure!(!orders.is_empty(), "{} names no order", path.display());
    Ok(orders)
}

fn rules(facts: &Facts, accepted: Option<&[OrderId]>) -> Vec<Check> {
    let mut checks = facts.rules();
    checks.extend(accepted.map(|accepted| {
        let undecided = orders::undecided(accepted, &facts.book);
        Check::new("orders", "every accepted order is decided", undecided)
    }));
    checks
}

fn proof(args: &Args, facts: &Facts, checks: Vec<Check>, took: Duration) -> Proof {
    Proof {
        pass: checks.iter().all(|check| check.broken == 0),
        live: args.live,
        products: facts.stage.products.len(),
        orders: facts.book.orders.len(),
        commands: facts.log.commands.len(),
        decisions: facts.log.decisions.iter().map(|record| record.decisions.len()).sum(),
        dead_letters: facts.stage.letters.len(),
        shortened: facts.log.shortened.iter().copied().collect(),
        took_s: took.as_secs_f64(),
        checks,
    }
}

impl Proof {
    fn text(&self) -> String {
        let Self { products, orders, commands, decisions, dead_letters, took_s, .. } = self;
        let mut out = String::new();
        write_broken(&mut out, &self.checks).expect("writing to a string does not fail");
        for topic in &self.shortened {
            writeln!(out, "{topic} has lost its beginning: rules that need it were left out")
                .expect("as above");
        }
        let held = self.checks.iter().filter(|check| check.broken == 0).count();
        let verdict = match (self.pass, self.shortened.is_empty()) {
            (true, true) => "PASS",
            (true, false) => "INCOMPLETE",
            (false, _) => "FAIL",
        };
        writeln!(
            out,
            "{verdict}: {held} of {} rules hold; {products} products, {orders} orders, {commands} commands, \
             {decisions} decisions, {dead_letters} dead letters; {took_s:.1} s",
            self.checks.len()
        )
        .expect("as above");
        out
    }
}
