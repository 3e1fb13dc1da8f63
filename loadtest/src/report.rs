//! What a person and a program get to see. The one place that writes to standard output; a reader that went
//! away (`| head`) is no reason to stop, so failed writes are ignored.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{Write as _, stderr, stdout};
use std::path::Path;

use anyhow::Context as _;
use common::wire::id::ProductId;
use serde::Serialize;

use crate::notes::{Notes, Step};
use crate::sale::Terms;
use crate::verify::Check;
use crate::verify::check::write_broken;

/// A text on standard output.
pub(crate) fn say(text: &str) {
    writeln!(stdout(), "{}", text.trim_end()).ok();
}

/// What explains a result, on standard error.
pub(crate) fn note(text: &str) {
    writeln!(stderr(), "{}", text.trim_end()).ok();
}

/// A failure on standard error.
pub(crate) fn fail(text: &str) {
    writeln!(stderr(), "error: {}", text.trim_end()).ok();
}

/// Writes a result for programs.
pub(crate) fn save(path: &Path, result: &impl Serialize) -> anyhow::Result<()> {
    let text = serde_json::to_string_pretty(result)?;
    std::fs::write(path, text + "\n").with_context(|| path.display().to_string())
}

/// One step of the journey, over all shoppers. Latencies count from the moment that the step was meant to
/// begin, with all tries that it took.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Row {
    step: &'static str,
    count: u64,
    errors: u64,
    p50_ms: f64,
    p99_ms: f64,
    max_ms: f64,
    /// Failed tries by what was answered.
    error_kinds: BTreeMap<String, u64>,
}

/// The steps that were taken.
pub(crate) fn rows(notes: &Notes) -> Vec<Row> {
    let row = |step: Step| {
        notes.tally(step, |tally| {
            let ms = |micros: u64| (micros / 100) as f64 / 10.0;
            Row {
                step: step.name(),
                count: tally.latency.len(),
                errors: tally.errors.values().sum(),
                p50_ms: ms(tally.latency.value_at_quantile(0.5)),
                p99_ms: ms(tally.latency.value_at_quantile(0.99)),
                max_ms: ms(tally.latency.max()),
                error_kinds: tally.errors.clone(),
            }
        })
    };
    Step::ALL.into_iter().filter_map(row).collect()
}

/// What became of a rush.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Rush {
    /// Whether every rule held.
    pub(crate) pass: bool,
    /// What was sold.
    pub(crate) product_id: ProductId,
    /// Its terms.
    pub(crate) terms: Terms,
    /// How many came.
    pub(crate) shoppers: usize,
    /// Decided everything that was left to chance.
    pub(crate) seed: u64,
    /// From the first possible arrival until the last shopper's end.
    pub(crate) took_s: f64,
    /// The journey.
    pub(crate) steps: Vec<Row>,
    /// How the journeys ended.
    pub(crate) ends: BTreeMap<String, usize>,
    /// Shoppers who held an access token.
    pub(crate) let_in: usize,
    /// Orders accepted.
    pub(crate) ordered: usize,
    /// Orders seen reserved.
    pub(crate) reserved: usize,
    /// Orders seen paid.
    pub(crate) paid: usize,
    /// Orders seen rejected.
    pub(crate) rejected: usize,
    /// Units sold, by the product service's database.
    pub(crate) units_sold: i64,
    /// Units sold or held beyond those there were.
    pub(crate) oversold: i64,
    /// Shoppers let in before somebody who stood before them, by the room's log.
    pub(crate) fifo_inversions: usize,
    /// Orders accepted and not decided, by the order service's database.
    pub(crate) undecided: usize,
    /// Every rule.
    pub(crate) checks: Vec<Check>,
}

impl Rush {
    /// For people.
    pub(crate) fn table(&self) -> String {
        let mut out = String::new();
        self.write(&mut out).expect("writing to a string does not fail");
        out
    }

    fn write(&self, out: &mut String) -> std::fmt::Result {
        let Self { let_in, ordered, reserved, paid, rejected, .. } = self;
        let Self { units_sold, oversold, fifo_inversions, undecided, .. } = self;
        writeln!(
            out,
            "\n{:<16}{:>9}{:>9}{:>12}{:>12}{:>12}",
            "step", "count", "errors", "p50 ms", "p99 ms", "max ms"
        )?;
        for row in &self.steps {
            let Row { step, count, errors, p50_ms, p99_ms, max_ms, .. } = row;
            writeln!(out, "{step:<16}{count:>9}{errors:>9}{p50_ms:>12.1}{p99_ms:>12.1}{max_ms:>12.1}")?;
        }
        for row in self.steps.iter().filter(|row| row.errors > 0) {
            let kinds: Vec<String> =
                row.error_kinds.iter().map(|(kind, n)| format!("{n} × {kind}")).collect();
            writeln!(out, "errors at {}: {}", row.step, kinds.join(", "))?;
        }
        writeln!(out)?;
        for (end, count) in &self.ends {
            writeln!(out, "{count:>9}  {end}")?;
        }
        writeln!(
            out,
            "\nlet in {let_in}, ordered {ordered}, reserved {reserved}, paid {paid}, rejected {rejected}\n\
             units sold {units_sold} of {}, oversold {oversold}, FIFO inversions {fifo_inversions}, \
             accepted but undecided {undecided}\n",
            self.terms.units
        )?;
        let held = self.checks.iter().filter(|check| check.broken == 0).count();
        write_broken(out, &self.checks)?;
        let verdict = if self.pass { "PASS" } else { "FAIL" };
        writeln!(out, "{verdict}: {held} of {} rules hold, {:.1} s", self.checks.len(), self.took_s)
    }
}
