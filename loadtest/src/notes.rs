//! What the shoppers saw, and how long it took them: shared by all of them.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use common::wire::id::{OrderId, UserId};
use hdrhistogram::Histogram;
use serde::Serialize;

/// What a shopper does, one name per row of the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Step {
    /// First registration.
    Join,
    /// Second registration, which moves to the end.
    Rejoin,
    /// Asks for its place.
    Place,
    /// Takes the access token.
    Token,
    /// From the arrival until the token is there.
    Wait,
    /// Opens the product page.
    Page,
    /// Places the order.
    Order,
    /// Places it again with the same key.
    OrderAgain,
    /// From placing the order until its decision is seen.
    Decided,
    /// Asks what to pay.
    Checkout,
    /// Pays on the provider's page.
    Card,
    /// Confirms the payment.
    Confirm,
    /// Cancels the order.
    Cancel,
}

impl Step {
    /// All of them, in the order of a journey.
    pub(crate) const ALL: [Self; 13] = [
        Self::Join,
        Self::Rejoin,
        Self::Place,
        Self::Token,
        Self::Wait,
        Self::Page,
        Self::Order,
        Self::OrderAgain,
        Self::Decided,
        Self::Checkout,
        Self::Card,
        Self::Confirm,
        Self::Cancel,
    ];

    /// As it stands in the result.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Join => "join",
            Self::Rejoin => "join again",
            Self::Place => "place",
            Self::Token => "token",
            Self::Wait => "wait for entry",
            Self::Page => "product page",
            Self::Order => "order",
            Self::OrderAgain => "order again",
            Self::Decided => "order decided",
            Self::Checkout => "checkout",
            Self::Card => "card",
            Self::Confirm => "payment",
            Self::Cancel => "cancel",
        }
    }
}

/// Where a shopper is, for the progress line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Not there yet.
    Coming,
    /// In the line.
    Waiting,
    /// Let in.
    Inside,
    /// Ordered, and perhaps reserved.
    Ordered,
    /// Paid.
    Paid,
    /// Went home without.
    Home,
}

const STAGES: usize = 6;

/// How a shopper's journey ended.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) enum End {
    /// Has it.
    Paid,
    /// Cancelled the reserved order, as planned.
    Cancelled,
    /// Told in the line that nothing is left.
    SoldOutInLine,
    /// Let in, but the last unit went to somebody else.
    SoldOutAtOrder,
    /// The order was refused for another reason.
    Rejected(String),
    /// The sale was closed.
    Closed,
    /// Lost its place or its right.
    Expired(String),
    /// Nothing was decided when the run's time was over.
    TimedOut,
    /// Got an answer that the contract does not know.
    Failed(String),
}

impl End {
    /// Whether the contract lets a journey end so.
    pub(crate) fn is_proper(&self) -> bool {
        !matches!(self, Self::TimedOut | Self::Failed(_) | Self::Expired(_))
    }

    /// As it stands in the result.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Paid => "paid".into(),
            Self::Cancelled => "cancelled".into(),
            Self::SoldOutInLine => "sold out, told in the line".into(),
            Self::SoldOutAtOrder => "sold out, told at the order".into(),
            Self::Rejected(reason) => format!("rejected: {reason}"),
            Self::Closed => "closed".into(),
            Self::Expired(what) => format!("expired: {what}"),
            Self::TimedOut => "nothing decided in time".into(),
            Self::Failed(what) => format!("failed: {what}"),
        }
    }
}

/// An order that was accepted with 202.
#[derive(Debug, Clone)]
pub(crate) struct Seen {
    /// Whose.
    pub(crate) user: UserId,
    /// Units.
    pub(crate) quantity: u32,
    /// Whether its owner saw it `paid`.
    pub(crate) paid: bool,
}

/// Counts and latencies of one step.
#[derive(Debug)]
pub(crate) struct Tally {
    /// Microseconds from the intended start.
    pub(crate) latency: Histogram<u64>,
    /// Failed tries by what was answered.
    pub(crate) errors: BTreeMap<String, u64>,
}

impl Tally {
    fn new() -> Self {
        Self { latency: histogram(), errors: BTreeMap::new() }
    }
}

/// Takes microseconds up to an hour; longer ones count as an hour.
pub(crate) fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 3_600_000_000, 3).expect("these bounds are allowed")
}

/// Everything the shoppers noted.
#[derive(Debug)]
pub(crate) struct Notes {
    tallies: Mutex<BTreeMap<Step, Tally>>,
    stages: [AtomicUsize; STAGES],
    /// Shoppers who held an access token.
    pub(crate) let_in: AtomicUsize,
    /// Orders that were seen `reserved`.
    pub(crate) reserved: AtomicUsize,
    /// Orders that were seen `rejected`.
    pub(crate) rejected: AtomicUsize,
    seen: Mutex<BTreeMap<OrderId, Seen>>,
    broken: Mutex<Vec<String>>,
}

impl Notes {
    /// Empty notes on a crowd that is still to come.
    pub(crate) fn new(shoppers: usize) -> Self {
        let stages: [AtomicUsize; STAGES] = Default::default();
        stages[Stage::Coming as usize].store(shoppers, Ordering::Relaxed);
        Self {
            tallies: Mutex::default(),
            stages,
            let_in: AtomicUsize::new(0),
            reserved: AtomicUsize::new(0),
            rejected: AtomicUsize::new(0),
            seen: Mutex::default(),
            broken: Mutex::default(),
        }
    }

    /// A step was done `took` after it was meant to begin.
    pub(crate) fn done(&self, step: Step, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        held(&self.tallies).entry(step).or_insert_with(Tally::new).latency.saturating_record(micros);
    }

    /// A try of a step failed.
    pub(crate) fn failed(&self, step: Step, why: &str) {
        let mut tallies = held(&self.tallies);
        let errors = &mut tallies.entry(step).or_insert_with(Tally::new).errors;
        *errors.entry(why.to_owned()).or_default() += 1;
    }

    /// A shopper is somewhere else now.
    pub(crate) fn moved(&self, from: Stage, to: Stage) {
        self.stages[from as usize].fetch_sub(1, Ordering::Relaxed);
        self.stages[to as usize].fetch_add(1, Ordering::Relaxed);
    }

    /// How many are there now.
    pub(crate) fn at(&self, stage: Stage) -> usize {
        self.stages[stage as usize].load(Ordering::Relaxed)
    }

    /// An order was accepted.
    pub(crate) fn ordered(&self, order: OrderId, seen: Seen) {
        held(&self.seen).entry(order).or_insert(seen);
    }

    /// Its owner saw it `paid`.
    pub(crate) fn paid(&self, order: OrderId) {
        if let Some(seen) = held(&self.seen).get_mut(&order) {
            seen.paid = true;
        }
    }

    /// A shopper saw what must never be.
    pub(crate) fn broke(&self, what: String) {
        held(&self.broken).push(what);
    }

    /// The orders that were accepted.
    pub(crate) fn orders(&self) -> BTreeMap<OrderId, Seen> {
        held(&self.seen).clone()
    }

    /// What shoppers saw that must never be.
    pub(crate) fn broken(&self) -> Vec<String> {
        held(&self.broken).clone()
    }

    /// Reads a step's counts and latencies.
    pub(crate) fn tally<T>(&self, step: Step, read: impl FnOnce(&Tally) -> T) -> Option<T> {
        held(&self.tallies).get(&step).map(read)
    }
}

/// Counters stay usable when a shopper's task panicked.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_keep_three_digits_from_microseconds_to_minutes() {
        let notes = Notes::new(1);
        for micros in [150, 2_500_000, 60_000_000] {
            notes.done(Step::Join, Duration::from_micros(micros));
        }
        let (middle, max) = notes
            .tally(Step::Join, |tally| (tally.latency.value_at_quantile(0.5), tally.latency.max()))
            .unwrap();
        assert!(middle.abs_diff(2_500_000) < 2_500, "{middle}");
        assert!(max.abs_diff(60_000_000) < 60_000, "{max}");
    }
}
