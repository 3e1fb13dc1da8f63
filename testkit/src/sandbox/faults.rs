//! Which answers go wrong, and how: the ways in which the real provider fails by itself, on demand.

use std::time::Duration;

use clap::Args;
use serde::{Deserialize, Serialize};

/// Shares of the answers and webhooks that go wrong, in percent. They are spread, not drawn: of every hundred exactly so
/// many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Args, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct Faults {
    /// Confirms and cancels that take effect and whose connection is dropped.
    #[arg(long, env = "SANDBOX_DROP_PCT", default_value_t = 0)]
    pub drop_pct: u8,
    /// Confirms and cancels that take effect and are answered with 500.
    #[arg(long, env = "SANDBOX_FAIL_PCT", default_value_t = 0)]
    pub fail_pct: u8,
    /// Confirms and cancels that take effect and are answered late.
    #[arg(long, env = "SANDBOX_SLOW_PCT", default_value_t = 0)]
    pub slow_pct: u8,
    /// How late, in milliseconds.
    #[arg(long, env = "SANDBOX_SLOW_MS", default_value_t = 15_000)]
    pub slow_ms: u32,
    /// Webhooks that are sent twice.
    #[arg(long, env = "SANDBOX_DUPLICATE_PCT", default_value_t = 0)]
    pub duplicate_pct: u8,
    /// Webhooks that are held back, so that later ones overtake them.
    #[arg(long, env = "SANDBOX_REORDER_PCT", default_value_t = 0)]
    pub reorder_pct: u8,
}

/// How an answer goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Drop,
    Fail,
    Slow(Duration),
}

/// How a webhook goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mishap {
    Twice,
    Late,
}

impl Faults {
    /// # Errors
    /// The rule that a figure breaks.
    pub(super) fn check(&self) -> Result<(), &'static str> {
        let answers = [self.drop_pct, self.fail_pct, self.slow_pct];
        let webhooks = [self.duplicate_pct, self.reorder_pct];
        let sum = |shares: &[u8]| shares.iter().map(|share| u32::from(*share)).sum::<u32>();
        if sum(&answers) > 100 || sum(&webhooks) > 100 {
            return Err("dropPct + failPct + slowPct, and duplicatePct + reorderPct: at most 100");
        }
        Ok(())
    }
}

/// Spreads the faults.
#[derive(Debug)]
pub(super) struct Dice {
    faults: Faults,
    answers: u32,
    webhooks: u32,
}

impl Dice {
    pub(super) fn new(faults: Faults) -> Self {
        Self { faults, answers: 0, webhooks: 0 }
    }

    pub(super) fn set(&mut self, faults: Faults) {
        *self = Self::new(faults);
    }

    pub(super) fn faults(&self) -> Faults {
        self.faults
    }

    /// How the next answer goes wrong.
    pub(super) fn roll(&mut self) -> Option<Fault> {
        let Faults { drop_pct, fail_pct, slow_pct, slow_ms, .. } = self.faults;
        let slow = Fault::Slow(Duration::from_millis(slow_ms.into()));
        self.answers += 1;
        pick(self.answers, &[(drop_pct, Fault::Drop), (fail_pct, Fault::Fail), (slow_pct, slow)])
    }

    /// How the next webhook goes wrong.
    pub(super) fn roll_webhook(&mut self) -> Option<Mishap> {
        let Faults { duplicate_pct, reorder_pct, .. } = self.faults;
        self.webhooks += 1;
        pick(self.webhooks, &[(duplicate_pct, Mishap::Twice), (reorder_pct, Mishap::Late)])
    }
}

/// The `n`th of a hundred steps of 37 around a hundred marks: every mark once per hundred, none near the one before.
fn pick<T: Copy>(n: u32, shares: &[(u8, T)]) -> Option<T> {
    let mark = n.wrapping_mul(37) % 100;
    let mut end = 0;
    shares.iter().find_map(|(share, what)| {
        end += u32::from(*share);
        (mark < end).then_some(*what)
    })
}
