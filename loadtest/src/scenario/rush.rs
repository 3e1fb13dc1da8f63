//! The flash sale: a crowd comes within seconds, and there is not enough for all.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::ensure;
use clap::Args as ClapArgs;
use common::clock::Clock;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::account;
use crate::http::Net;
use crate::notes::{End, Notes, Stage};
use crate::plan::{Crowd, Plan};
use crate::progress;
use crate::report::{self, Rush};
use crate::sale::{self, Terms};
use crate::shopper::{Market, Shopper};
use crate::stack::Stack;
use crate::verify::rush::{Case, Findings, judge};
use crate::verify::{Check, Marks};

/// Without a policy, the units are let in for within about this many intervals of a second.
const INTERVALS: i64 = 10;
/// Between the preparations and the first arrival.
const BREATH: Duration = Duration::from_millis(200);

/// Options of a rush.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// Describes the running platform.
    #[arg(long, default_value = ".dev/stack.json")]
    stack: PathBuf,
    /// How many come.
    #[arg(long, default_value_t = 2_000)]
    shoppers: usize,
    /// Units on sale.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(i64).range(1..=1_000_000))]
    units: i64,
    /// They all come within this time, in seconds.
    #[arg(long, default_value_t = 3.0)]
    arrival_s: f64,
    /// Decides who comes when and behaves how.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Units per shopper; each wants between one and this many.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100))]
    limit: u32,
    /// Admissions per interval; a tenth of the units by default.
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: Option<u32>,
    /// Length of an interval in seconds.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=3_600))]
    interval_s: u32,
    /// Share of those with a reserved order who pay it; the others cancel.
    #[arg(long, default_value_t = 1.0)]
    pay_share: f64,
    /// Whoever is not done by then goes home, and the run fails.
    #[arg(long, default_value_t = 120)]
    timeout_s: u64,
    /// Writes the result here, as JSON.
    #[arg(long)]
    json: Option<PathBuf>,
}

impl Args {
    fn check(&self) -> anyhow::Result<()> {
        ensure!(self.shoppers > 0, "--shoppers: at least 1");
        ensure!((0.0..=1.0).contains(&self.pay_share), "--pay-share: between 0 and 1");
        ensure!((0.0..=3_600.0).contains(&self.arrival_s), "--arrival-s: between 0 and 3600");
        ensure!((1..=840).contains(&self.timeout_s), "--timeout-s: between 1 and 840, the life of a login");
        Ok(())
    }

    fn terms(&self) -> Terms {
        let share = u32::try_from((self.units + INTERVALS - 1) / INTERVALS).unwrap_or(u32::MAX);
        let count = self.count.unwrap_or(share.clamp(1, 100_000));
        let Self { units, limit, interval_s, .. } = *self;
        Terms { units, limit, count, interval_s, ..Terms::default() }
    }

    fn crowd(&self) -> Crowd {
        Crowd {
            shoppers: self.shoppers,
            arrival: Duration::from_secs_f64(self.arrival_s),
            limit: self.limit,
            pay_share: self.pay_share,
            seed: self.seed,
        }
    }

    /// Units that must be sold: all that are wanted, when everybody pays.
    fn must_sell(&self, plans: &[Plan]) -> Option<i64> {
        let wanted: i64 = plans.iter().map(|plan| i64::from(plan.quantity)).sum();
        (self.pay_share >= 1.0).then_some(wanted.min(self.units))
    }
}

/// Runs it; true when every rule held.
pub(crate) async fn run(args: Args) -> anyhow::Result<bool> {
    args.check()?;
    let stack = Stack::read(&args.stack)?;
    let logins = account::logins(&stack, args.shoppers, &Clock::system())?;
    let net = Net::new(args.shoppers);
    let marks = Marks::now(&stack).await?;
    let sale = sale::register(&stack, net.agent(0), args.terms()).await?;
    sale::joinable(&stack, net.agent(0), &sale, &logins[0]).await?;
    let plans = args.crowd().plans();
    let must_sell = args.must_sell(&plans);
    let start = Instant::now() + BREATH;
    let market = Arc::new(Market {
        gateways: stack.gateways().to_vec(),
        sandbox: stack.payment_sandbox.clone(),
        product: sale.product,
        start,
        deadline: start + Duration::from_secs(args.timeout_s),
        notes: Notes::new(args.shoppers),
    });
    let mut crowd = JoinSet::new();
    for (number, (plan, login)) in plans.into_iter().zip(logins).enumerate() {
        let dice = StdRng::seed_from_u64(plan.seed);
        let (agent, market) = (net.agent(number).clone(), Arc::clone(&market));
        crowd.spawn(
            Shopper { plan, login, agent, gateway: number, market, dice, stage: Stage::Coming }.shop(),
        );
    }
    let ends = tokio::select! {
        ends = everybody(crowd) => ends,
        never = progress::show(&market.notes, args.shoppers, start) => match never {},
    };
    progress::end();
    let took = start.elapsed();
    let case = Case { sale, seen: market.notes.orders(), marks };
    let findings = judge(&stack, net.agent(0), &case).await?;
    let result = result(&args, &case, &market.notes, &ends, findings);
    let result = Rush { took_s: took.as_secs_f64(), ..with_sales(result, must_sell) };
    report::say(&result.table());
    if let Some(path) = &args.json {
        report::save(path, &result)?;
    }
    Ok(result.pass)
}

/// How each journey ended, and how often.
async fn everybody(mut crowd: JoinSet<End>) -> BTreeMap<End, usize> {
    let mut ends = BTreeMap::new();
    while let Some(end) = crowd.join_next().await {
        let end = end.unwrap_or_else(|error| End::Failed(error.to_string()));
        *ends.entry(end).or_default() += 1;
    }
    ends
}

fn result(args: &Args, case: &Case, notes: &Notes, ends: &BTreeMap<End, usize>, findings: Findings) -> Rush {
    let improper = ends.iter().filter(|(end, _)| !end.is_proper());
    let improper = improper.map(|(end, count)| format!("{count} × {}", end.name()));
    let mut checks = vec![
        Check::new("shop", "every journey ends as the contract says", improper),
        Check::new("shop", "nobody sees what must never be", notes.broken()),
    ];
    checks.extend(findings.checks);
    Rush {
        pass: false,
        product_id: case.sale.product,
        terms: case.sale.terms,
        shoppers: args.shoppers,
        seed: args.seed,
        took_s: 0.0,
        steps: report::rows(notes),
        ends: ends.iter().map(|(end, count)| (end.name(), *count)).collect(),
        let_in: notes.let_in.load(Ordering::Relaxed),
        ordered: case.seen.len(),
        reserved: notes.reserved.load(Ordering::Relaxed),
        paid: case.seen.values().filter(|seen| seen.paid).count(),
        rejected: notes.rejected.load(Ordering::Relaxed),
        units_sold: findings.sold,
        oversold: findings.oversold,
        fifo_inversions: findings.inversions,
        undecided: findings.undecided,
        checks,
    }
}

/// Adds the rule that everything wanted is sold, and the verdict over all rules.
fn with_sales(mut rush: Rush, must_sell: Option<i64>) -> Rush {
    if let Some(wanted) = must_sell {
        let found = format!("{} units sold, {wanted} wanted and there", rush.units_sold);
        rush.checks.push(Check::one("shop", "what is wanted is sold", rush.units_sold == wanted, found));
    }
    rush.pass = rush.checks.iter().all(|check| check.broken == 0);
    rush
}
