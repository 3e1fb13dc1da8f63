//! How much of each interval's budget was spent.

use std::collections::{BTreeMap, BTreeSet};

use common::wire::queue::Step;

/// The timetable that the log is held against.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Grid {
    /// When the first interval begins, in milliseconds since 1970.
    pub(crate) opens_at_ms: i64,
    /// Length of an interval in milliseconds.
    pub(crate) interval_ms: i64,
    /// Admissions per interval.
    pub(crate) count: u32,
}

/// Which interval: as the log says, or by the clock of the timetable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Interval {
    Logged(i64),
    Clocked(i64),
}

#[derive(Debug, Default)]
struct Budget {
    spent: u32,
    count: u32,
    came_back: u32,
}

/// The budgets of a room's intervals.
#[derive(Debug, Default)]
pub(super) struct Budgets {
    grid: Option<Grid>,
    by_interval: BTreeMap<Interval, Budget>,
    /// The interval that was spent from last.
    running: Option<i64>,
    /// Counts that a timetable had, and how many timetables there were.
    counts: BTreeSet<u32>,
    timetables: usize,
    /// Stopped, or paused.
    is_stopped: bool,
    is_held: bool,
    over: Vec<String>,
    early: Vec<String>,
}

impl Budgets {
    pub(super) fn new(grid: Option<Grid>) -> Self {
        Self { grid, ..Self::default() }
    }

    pub(super) fn scheduled(&mut self, step: &Step) {
        self.timetables += 1;
        self.is_stopped = step.count == Some(0);
        self.counts.extend(step.count);
    }

    pub(super) fn hold(&mut self, is_held: bool) {
        self.is_held = is_held;
    }

    /// An admission within the budget. Returns what else is wrong with it.
    pub(super) fn spend(&mut self, step: &Step) -> Option<String> {
        let (Some(logged), Some(count)) = (step.interval, step.count) else {
            return Some("an admission without an interval and its budget".into());
        };
        let budget = self.by_interval.entry(Interval::Logged(logged)).or_default();
        budget.spent += 1;
        budget.count = budget.count.max(count);
        if let Some(grid) = self.grid {
            if step.at < grid.opens_at_ms {
                self.early.push(format!("{:?}, {} ms", step.ticket, grid.opens_at_ms - step.at));
            }
            let budget = self.by_interval.entry(grid.interval(step.at)).or_default();
            budget.spent += 1;
            budget.count = grid.count;
        }
        let before = self.running.replace(logged).filter(|before| *before > logged);
        if let Some(before) = before {
            return Some(format!("interval {logged} is spent from after {before}"));
        }
        if self.is_stopped || self.is_held {
            return Some(format!("{:?} is let in while the room is {}", step.ticket, self.state()));
        }
        let is_known = self.timetables == 0 || self.counts.contains(&count);
        (!is_known).then(|| format!("interval {logged} has a budget of {count}, which no timetable has"))
    }

    fn state(&self) -> &'static str {
        if self.is_stopped { "stopped" } else { "paused" }
    }

    /// A turn that nobody took goes back to the interval that runs, unless it was given by hand or none runs.
    pub(super) fn came_back(&mut self, step: &Step) {
        let Some(logged) = step.interval.filter(|_| !step.by_hand).map(Interval::Logged) else { return };
        let clocked = self.grid.map(|grid| grid.interval(step.at));
        for interval in [logged].into_iter().chain(clocked) {
            self.by_interval.entry(interval).or_default().came_back += 1;
        }
    }

    /// The store lost its last moments: what was spent before is judged, and the running interval counts as spent.
    pub(super) fn recover(&mut self) {
        self.judge();
        let running = self.running.map(Interval::Logged);
        self.by_interval.retain(|interval, _| Some(*interval) == running);
        for budget in self.by_interval.values_mut() {
            (budget.spent, budget.came_back) = (budget.count, 0);
        }
        // A stop or a pause may be among what was lost.
        (self.is_stopped, self.is_held) = (false, false);
        // So the clock of the timetable says nothing of this one any more.
        self.grid = None;
    }

    fn judge(&mut self) {
        let changed = self.timetables > 1;
        for (interval, Budget { spent, count, came_back }) in &self.by_interval {
            let counts = !changed || matches!(interval, Interval::Logged(_));
            if counts && *spent > count + came_back {
                self.over
                    .push(format!("{interval:?}: {spent} let in, budget {count}, came back {came_back}"));
            }
        }
        if changed {
            self.early.clear();
        }
    }

    /// Intervals that were overspent, and admissions before the opening.
    pub(super) fn end(mut self) -> (Vec<String>, Vec<String>) {
        self.judge();
        (self.over, self.early)
    }
}

impl Grid {
    fn interval(self, at: i64) -> Interval {
        Interval::Clocked((at - self.opens_at_ms).div_euclid(self.interval_ms.max(1)))
    }
}
