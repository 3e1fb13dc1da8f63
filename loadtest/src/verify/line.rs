//! Replays a room's log: who stood where, who was called before whom, and how much of each interval's budget
//! was spent. Pure: the log is the only witness.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use common::wire::id::{Ticket, UserId};
use common::wire::queue::{Step, StepKind};

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

/// What the log shows.
#[derive(Debug, Default)]
pub(crate) struct Story {
    /// Admissions: called from the line, or straight through.
    pub(crate) called: usize,
    /// Calls while somebody with a smaller ticket was waiting.
    pub(crate) inversions: Vec<String>,
    /// Accounts with two live tickets at once.
    pub(crate) doubles: Vec<String>,
    /// Steps of tickets that nobody drew, or that cannot follow the ticket's last step.
    pub(crate) strays: Vec<String>,
    /// Tickets that are not larger than all before.
    pub(crate) stale: Vec<String>,
    /// Intervals with more admissions than their budget and what came back to it.
    pub(crate) over_budget: Vec<String>,
    /// Admissions before the opening.
    pub(crate) early: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum At {
    Waiting,
    Ready,
    Admitted,
    Completed,
    /// The admission ended, or the order did: a late word about the order can still come.
    Over,
    Gone,
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

#[derive(Debug, Default)]
struct Replay {
    story: Story,
    waiting: BTreeSet<Ticket>,
    tickets: HashMap<Ticket, (UserId, At)>,
    live: HashMap<UserId, Ticket>,
    last: Option<Ticket>,
    budgets: BTreeMap<Interval, Budget>,
    timetables: usize,
}

/// Replays the steps from the first to the last. Without a grid, or once the timetable was changed by hand,
/// budgets are held against the log's own interval numbers only.
pub(crate) fn replay(steps: &[Step], grid: Option<Grid>) -> Story {
    let mut replay = Replay::default();
    for step in steps {
        replay.step(step, grid);
    }
    let changed = replay.timetables > 1;
    for (interval, budget) in &replay.budgets {
        let counts = match interval {
            Interval::Clocked(_) => !changed,
            Interval::Logged(_) => true,
        };
        if counts && budget.spent > budget.count + budget.came_back {
            let Budget { spent, count, came_back } = budget;
            let text = format!("{interval:?}: {spent} let in, budget {count}, came back {came_back}");
            replay.story.over_budget.push(text);
        }
    }
    if changed {
        replay.story.early.clear();
    }
    replay.story
}

impl Replay {
    fn step(&mut self, step: &Step, grid: Option<Grid>) {
        match step.step {
            StepKind::Joined => self.joined(step),
            StepKind::Moved => {
                if let Some(old) = step.user.and_then(|user| self.live.get(&user).copied()) {
                    self.leave(old);
                } else {
                    self.stray(step);
                }
                self.joined(step);
            }
            StepKind::Ready => self.ready(step, grid),
            StepKind::Admitted => self.admitted(step, grid),
            StepKind::Completed => self.settle(step, &[At::Admitted, At::Over], At::Completed),
            StepKind::Left | StepKind::ClaimExpired => {
                if self.at(step) == Some(At::Ready) {
                    self.came_back(step, grid);
                }
                self.settle(step, &[At::Waiting, At::Ready], At::Gone);
            }
            StepKind::AdmissionExpired => self.settle(step, &[At::Admitted], At::Over),
            StepKind::Returned => self.settle(step, &[At::Completed], At::Over),
            StepKind::SoldOut | StepKind::Closed => self.dissolve(step),
            StepKind::Scheduled => self.timetables += 1,
            StepKind::Reopened => {}
        }
    }

    fn joined(&mut self, step: &Step) {
        let (Some(user), Some(ticket)) = (step.user, step.ticket) else { return self.stray(step) };
        if let Some(other) = self.live.insert(user, ticket) {
            self.story.doubles.push(format!("user {user} holds {other} and draws {ticket}"));
        }
        if self.last.is_some_and(|last| ticket <= last) {
            self.story.stale.push(format!("ticket {ticket} was drawn after {}", self.last.unwrap_or(ticket)));
        }
        self.last = self.last.max(Some(ticket));
        self.waiting.insert(ticket);
        self.tickets.insert(ticket, (user, At::Waiting));
    }

    fn ready(&mut self, step: &Step, grid: Option<Grid>) {
        let Some(ticket) = step.ticket.filter(|_| self.at(step) == Some(At::Waiting)) else {
            return self.stray(step);
        };
        self.call(ticket, step, grid);
        self.put(ticket, At::Ready);
    }

    /// A claim of who was called before, or the way straight through.
    fn admitted(&mut self, step: &Step, grid: Option<Grid>) {
        match (step.ticket, self.at(step)) {
            // A token that was asked for again.
            (Some(_), Some(At::Admitted)) => {}
            (Some(ticket), Some(At::Ready)) => self.put(ticket, At::Admitted),
            (Some(ticket), Some(At::Waiting)) => {
                self.call(ticket, step, grid);
                self.put(ticket, At::Admitted);
            }
            _ => self.stray(step),
        }
    }

    /// Somebody is let in: the line before must be empty, and the interval pays for it.
    fn call(&mut self, ticket: Ticket, step: &Step, grid: Option<Grid>) {
        self.story.called += 1;
        let first = self.waiting.first().copied().filter(|first| *first < ticket);
        if let Some(first) = first {
            self.story.inversions.push(format!("ticket {ticket} was called while {first} was waiting"));
        }
        if step.by_hand {
            return;
        }
        if let Some(logged) = step.interval {
            let budget = self.budgets.entry(Interval::Logged(logged)).or_default();
            budget.spent += 1;
            budget.count = budget.count.max(step.count.unwrap_or(0));
        }
        if let Some(grid) = grid {
            if step.at < grid.opens_at_ms {
                self.story.early.push(format!("ticket {ticket}, {} ms", grid.opens_at_ms - step.at));
            }
            let budget = self.budgets.entry(grid.interval(step.at)).or_default();
            budget.spent += 1;
            budget.count = grid.count;
        }
    }

    /// A turn that nobody took goes back to the interval that runs, unless it was given by hand or none runs.
    fn came_back(&mut self, step: &Step, grid: Option<Grid>) {
        let Some(logged) = step.interval.filter(|_| !step.by_hand).map(Interval::Logged) else { return };
        let clocked = grid.map(|grid| grid.interval(step.at));
        for interval in [logged].into_iter().chain(clocked) {
            self.budgets.entry(interval).or_default().came_back += 1;
        }
    }

    fn settle(&mut self, step: &Step, from: &[At], to: At) {
        match (step.ticket, self.at(step)) {
            (Some(ticket), Some(at)) if from.contains(&at) => self.put(ticket, to),
            _ => self.stray(step),
        }
    }

    /// The line ends as a whole, or for one ticket where the step names it.
    fn dissolve(&mut self, step: &Step) {
        let all = self.tickets.iter().filter(|(_, (_, at))| matches!(at, At::Waiting | At::Ready));
        let gone: Vec<Ticket> = match step.ticket {
            Some(ticket) => vec![ticket],
            None => all.map(|(ticket, _)| *ticket).collect(),
        };
        for ticket in gone {
            self.leave(ticket);
        }
    }

    fn leave(&mut self, ticket: Ticket) {
        self.put(ticket, At::Gone);
    }

    fn put(&mut self, ticket: Ticket, at: At) {
        self.waiting.remove(&ticket);
        let Some(entry) = self.tickets.get_mut(&ticket) else { return };
        entry.1 = at;
        if matches!(at, At::Completed | At::Over | At::Gone) && self.live.get(&entry.0) == Some(&ticket) {
            self.live.remove(&entry.0);
        }
    }

    fn at(&self, step: &Step) -> Option<At> {
        Some(self.tickets.get(&step.ticket?)?.1)
    }

    fn stray(&mut self, step: &Step) {
        self.story.strays.push(format!(
            "{:?} of ticket {:?}, which is {:?}",
            step.step,
            step.ticket,
            self.at(step)
        ));
    }
}

impl Grid {
    fn interval(self, at: i64) -> Interval {
        Interval::Clocked((at - self.opens_at_ms).div_euclid(self.interval_ms.max(1)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const GRID: Grid = Grid { opens_at_ms: 1_000, interval_ms: 1_000, count: 2 };

    fn step(step: StepKind, user: i64, ticket: i64, at: i64) -> Step {
        Step {
            step,
            at,
            user: Some(UserId(user)),
            ticket: Some(Ticket(ticket)),
            interval: None,
            count: None,
            by_hand: false,
        }
    }

    fn ready(user: i64, ticket: i64, at: i64) -> Step {
        let interval = (at - GRID.opens_at_ms) / GRID.interval_ms;
        Step { interval: Some(interval), count: Some(GRID.count), ..step(StepKind::Ready, user, ticket, at) }
    }

    fn line(users: i64) -> Vec<Step> {
        (1..=users).map(|user| step(StepKind::Joined, user, user, 0)).collect()
    }

    fn is_clean(story: &Story) -> bool {
        let Story { called: _, inversions, doubles, strays, stale, over_budget, early } = story;
        [inversions, doubles, strays, stale, over_budget, early].iter().all(|broken| broken.is_empty())
    }

    #[test]
    fn a_line_in_order_is_clean() {
        let mut log = line(3);
        log.extend([ready(1, 1, 1_000), ready(2, 2, 1_500), step(StepKind::Admitted, 1, 1, 1_600)]);
        log.extend([ready(3, 3, 2_000), step(StepKind::Completed, 1, 1, 2_100)]);
        log.push(Step { user: None, ticket: None, ..step(StepKind::SoldOut, 0, 0, 2_200) });
        let story = replay(&log, Some(GRID));
        assert!(is_clean(&story), "{story:?}");
        assert_eq!(story.called, 3);
    }

    #[test]
    fn who_walks_past_somebody_waiting_is_found() {
        let mut log = line(3);
        log.extend([ready(2, 2, 1_000), ready(1, 1, 1_000)]);
        let story = replay(&log, Some(GRID));
        assert_eq!(story.inversions, ["ticket 2 was called while 1 was waiting"]);
    }

    #[test]
    fn walking_straight_through_past_a_line_is_found() {
        let mut log = line(1);
        log.push(step(StepKind::Joined, 2, 2, 1_000));
        log.push(Step { step: StepKind::Admitted, ..ready(2, 2, 1_000) });
        assert_eq!(replay(&log, Some(GRID)).inversions.len(), 1);
    }

    #[test]
    fn who_moved_to_the_end_is_not_overtaken() {
        let mut log = line(2);
        log.extend([step(StepKind::Moved, 1, 3, 500), ready(2, 2, 1_000), ready(1, 3, 1_000)]);
        assert!(is_clean(&replay(&log, Some(GRID))));
    }

    #[test]
    fn a_second_live_ticket_is_found() {
        let mut log = line(2);
        log.push(step(StepKind::Joined, 1, 3, 500));
        let story = replay(&log, Some(GRID));
        assert_eq!(story.doubles, ["user 1 holds 1 and draws 3"]);
    }

    #[test]
    fn one_too_many_in_an_interval_is_found_by_the_log_and_by_the_clock() {
        let mut log = line(3);
        log.extend([ready(1, 1, 1_000), ready(2, 2, 1_100), ready(3, 3, 1_999)]);
        assert_eq!(replay(&log, Some(GRID)).over_budget.len(), 2);
        assert_eq!(replay(&log, None).over_budget.len(), 1);
    }

    #[test]
    fn a_false_interval_number_does_not_hide_one_too_many() {
        let mut log = line(3);
        log.extend([ready(1, 1, 1_000), ready(2, 2, 1_100)]);
        log.push(Step { interval: Some(1), ..ready(3, 3, 1_200) });
        assert_eq!(replay(&log, Some(GRID)).over_budget.len(), 1);
    }

    #[test]
    fn a_turn_that_ran_out_is_given_again() {
        let mut log = line(3);
        log.extend([ready(1, 1, 1_000), ready(2, 2, 1_100)]);
        log.push(Step { step: StepKind::ClaimExpired, ..ready(1, 1, 1_200) });
        log.push(ready(3, 3, 1_300));
        assert!(is_clean(&replay(&log, Some(GRID))));
    }

    #[test]
    fn by_hand_spends_no_budget_but_keeps_the_order() {
        let by_hand = |user| Step { by_hand: true, interval: None, ..ready(user, user, 100) };
        let mut log = line(4);
        log.extend([by_hand(1), by_hand(2), by_hand(4)]);
        let story = replay(&log, Some(GRID));
        assert!(story.over_budget.is_empty() && story.early.is_empty());
        assert_eq!(story.inversions.len(), 1);
    }

    #[test]
    fn who_was_let_in_without_joining_or_too_early_is_found() {
        let mut log = line(1);
        log.extend([ready(1, 1, 999), step(StepKind::Admitted, 9, 9, 1_000)]);
        let story = replay(&log, Some(GRID));
        assert_eq!((story.early.len(), story.strays.len()), (1, 1));
    }

    proptest! {
        /// Any order of calls: the number of inversions is the number of calls with somebody smaller still
        /// waiting.
        #[test]
        fn inversions_are_counted_exactly(order in Just((1..=12_i64).collect::<Vec<_>>()).prop_shuffle()) {
            let mut log = line(12);
            log.extend(order.iter().map(|ticket| ready(*ticket, *ticket, 1_000 + 500 * ticket)));
            let overtakes = |at: usize| order[at + 1..].iter().any(|later| *later < order[at]);
            let expected = (0..order.len()).filter(|at| overtakes(*at)).count();
            prop_assert_eq!(replay(&log, None).inversions.len(), expected);
        }
    }
}
