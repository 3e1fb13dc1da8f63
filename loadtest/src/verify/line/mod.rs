//! Replays a room's log: who stood where, who was called before whom, and how much of each interval's budget
//! was spent. Pure: the log is the only witness.
//!
//! - `people`: who holds which ticket. `budget`: what intervals spend.
//!
//! A store that came back without its last moments says so with a `recovered` step. Tickets that it did not know any
//! more are gone then. What else happened within the two seconds before may have been undone: such a step's ticket
//! is taken at its holder's next word. Ranks and budgets are judged between such steps.

mod budget;
mod people;
#[cfg(test)]
mod tests;

use common::draw;
use common::wire::id::{Ticket, UserId};
use common::wire::queue::{Step, StepKind};

pub(crate) use budget::Grid;

use budget::Budgets;
use people::{At, People};

/// What the log shows.
#[derive(Debug, Default)]
pub(crate) struct Story {
    /// Steps.
    pub(crate) steps: usize,
    /// Tickets that were given.
    pub(crate) joined: usize,
    /// Admissions: called from the line, or straight through.
    pub(crate) called: usize,
    /// Of these, by hand.
    pub(crate) by_hand: usize,
    /// How often the store came back without its last moments.
    pub(crate) recovered: usize,
    /// Calls while somebody with a smaller ticket was waiting and there.
    pub(crate) inversions: Vec<String>,
    /// Accounts with two live tickets at once.
    pub(crate) doubles: Vec<String>,
    /// Steps of tickets that nobody drew, or that cannot follow the ticket's last step.
    pub(crate) strays: Vec<String>,
    /// Tickets that are not larger than all before.
    pub(crate) stale: Vec<String>,
    /// Tickets that came to stand before somebody who was in line already.
    pub(crate) rose: Vec<String>,
    /// Intervals with more admissions than their budget and what came back to it.
    pub(crate) over_budget: Vec<String>,
    /// Admissions before the opening.
    pub(crate) early: Vec<String>,
    /// Admissions that the timetable, a stop or a pause does not allow.
    pub(crate) refused: Vec<String>,
    /// What is wrong with the draw.
    pub(crate) unfair: Vec<String>,
}

/// A replay on its way.
#[derive(Debug, Default)]
pub(crate) struct Replay {
    story: Story,
    people: People,
    budgets: Budgets,
    /// The last commitment to a seed.
    committed: Option<String>,
    /// How many take part in the draw, and whether it goes on.
    drawn: Option<(Ticket, bool)>,
}

impl Replay {
    /// Without a grid, or once the timetable was changed by hand, budgets are held against the log's own interval
    /// numbers only.
    pub(crate) fn new(grid: Option<Grid>) -> Self {
        Self { budgets: Budgets::new(grid), ..Self::default() }
    }

    pub(crate) fn end(self) -> Story {
        let (over_budget, early) = self.budgets.end();
        Story { over_budget, early, ..self.story }
    }

    pub(crate) fn step(&mut self, step: &Step) {
        self.story.steps += 1;
        match step.step {
            StepKind::Joined | StepKind::Moved => self.joined(step),
            StepKind::Ready => self.ready(step),
            StepKind::Admitted => self.admitted(step),
            StepKind::Completed => self.settle(step, &[At::Admitted, At::Over], At::Completed),
            StepKind::Left | StepKind::ClaimExpired => self.gone(step),
            StepKind::AdmissionExpired => self.settle(step, &[At::Admitted], At::Over),
            StepKind::Returned => self.settle(step, &[At::Completed], At::Over),
            StepKind::Away => self.settle(step, &[At::Waiting], At::Away),
            StepKind::Back => self.settle(step, &[At::Away], At::Waiting),
            StepKind::Expired => self.settle(step, &[At::Waiting, At::Away], At::Gone),
            StepKind::SoldOut => self.people.dissolve(step.at),
            StepKind::Closed => {
                self.people.dissolve(step.at);
                self.people.evict(step.at);
            }
            StepKind::Revoked => self.revoked(step),
            StepKind::Recovered => self.recovered(step),
            StepKind::Scheduled => self.budgets.scheduled(step),
            StepKind::Held => self.budgets.hold(true),
            StepKind::Resumed => self.budgets.hold(false),
            StepKind::Committed => self.committed.clone_from(&step.text),
            StepKind::Drawn => self.drawn(step),
            StepKind::DrawEnded => self.draw_ended(),
            StepKind::Reopened | StepKind::Message | StepKind::Capacity => {}
        }
    }

    fn joined(&mut self, step: &Step) {
        let (Some(user), Some(ticket)) = (step.user, step.ticket) else { return self.stray(step) };
        let is_doubtful = self.people.settle_doubt(user);
        match (self.people.live(user), step.step) {
            (Some(old), StepKind::Moved) => self.people.put(old, At::Gone, step.at),
            (None, StepKind::Moved) if !is_doubtful => self.stray(step),
            (Some(old), _) if is_doubtful => self.people.put(old, At::Gone, step.at),
            (Some(old), _) => {
                self.story.doubles.push(format!("user {user} holds {old} and draws {ticket}"));
            }
            (None, _) => {}
        }
        self.story.joined += 1;
        if let Some(last) = self.people.last().filter(|last| ticket <= *last) {
            self.story.stale.push(format!("ticket {ticket} was drawn after {last}"));
        }
        if let Some(behind) = self.people.join(user, ticket, step.at) {
            self.story.rose.push(format!("ticket {ticket} came to stand before {behind}"));
        }
    }

    fn ready(&mut self, step: &Step) {
        let Some((ticket, At::Waiting | At::Unsure)) = self.find(step) else { return self.stray(step) };
        self.call(ticket, step, self.people.first_present());
        self.people.put(ticket, At::Ready, step.at);
    }

    /// A claim of who was called before, or the way straight through.
    fn admitted(&mut self, step: &Step) {
        match self.find(step) {
            // A token that was asked for again.
            Some((_, At::Admitted)) => {}
            Some((ticket, At::Ready | At::Unsure)) => self.people.put(ticket, At::Admitted, step.at),
            Some((ticket, At::Waiting)) => {
                // Straight through goes nobody while anybody is in line, there or not.
                self.call(ticket, step, self.people.first());
                self.people.put(ticket, At::Admitted, step.at);
            }
            _ => self.stray(step),
        }
    }

    /// Somebody is let in: nobody may stand before, and the interval pays for it.
    fn call(&mut self, ticket: Ticket, step: &Step, first: Option<Ticket>) {
        self.story.called += 1;
        if let Some(first) = first.filter(|first| *first < ticket) {
            self.story.inversions.push(format!("ticket {ticket} was called while {first} was waiting"));
        }
        if matches!(self.drawn, Some((_, true))) {
            self.story.unfair.push(format!("ticket {ticket} was called during the draw"));
        }
        if step.by_hand {
            self.story.by_hand += 1;
        } else if let Some(wrong) = self.budgets.spend(step) {
            self.story.refused.push(wrong);
        }
    }

    fn gone(&mut self, step: &Step) {
        if matches!(self.find(step), Some((_, At::Ready | At::Unsure))) {
            self.budgets.came_back(step);
        }
        self.settle(step, &[At::Waiting, At::Away, At::Ready], At::Gone);
    }

    fn settle(&mut self, step: &Step, from: &[At], to: At) {
        match self.find(step) {
            Some((ticket, at)) if at == At::Unsure || from.contains(&at) => {
                self.people.put(ticket, to, step.at)
            }
            _ => self.stray(step),
        }
    }

    /// One right, or all. Whoever has ordered keeps the order.
    fn revoked(&mut self, step: &Step) {
        if step.user.is_none() {
            return self.people.evict(step.at);
        }
        match self.find(step) {
            Some((ticket, At::Admitted | At::Unsure)) => self.people.put(ticket, At::Over, step.at),
            Some((_, At::Completed | At::Over)) => {}
            _ => self.stray(step),
        }
    }

    fn recovered(&mut self, step: &Step) {
        let last = step.ticket.unwrap_or(Ticket(0));
        self.story.recovered += 1;
        // The draw doubles the numbers: with fewer, it was lost and comes again.
        if self.drawn.is_some_and(|(count, _)| last.0 < 2 * count.0) {
            self.drawn = None;
            self.people.undo_draw();
        }
        self.people.recover(last);
        self.budgets.recover();
    }

    fn drawn(&mut self, step: &Step) {
        let (Some(seed), Some(count)) = (&step.text, step.ticket) else { return self.stray(step) };
        let hash = draw::commitment(seed);
        let mut wrong = Vec::new();
        if self.committed.as_deref() != Some(hash.as_str()) {
            wrong.push(format!("the seed's hash is {hash}, committed was {:?}", self.committed));
        }
        if self.drawn.is_some() {
            wrong.push("the line was drawn twice".to_owned());
        }
        if self.story.called > 0 && self.story.recovered == 0 {
            wrong.push(format!("{} were let in before the draw", self.story.called));
        }
        if let Some(last) = self.people.last().filter(|last| *last > count) {
            wrong.push(format!("ticket {last} waits, and the draw ends at {count}"));
        }
        self.story.unfair.extend(wrong);
        self.people.draw(seed, count);
        self.drawn = Some((count, true));
    }

    fn draw_ended(&mut self) {
        match &mut self.drawn {
            Some((_, goes_on)) if *goes_on => *goes_on = false,
            _ => self.story.unfair.push("a draw ended that had not begun".into()),
        }
    }

    fn find(&self, step: &Step) -> Option<(Ticket, At)> {
        let ticket = self.people.resolve(step.ticket?);
        // Somebody else's step under this ticket is nobody's.
        let is_theirs = step.user.is_none_or(|user: UserId| self.people.holder(ticket) == Some(user));
        self.people.at(ticket).filter(|_| is_theirs).map(|at| (ticket, at))
    }

    fn stray(&mut self, step: &Step) {
        let at = step.ticket.and_then(|ticket| self.people.at(self.people.resolve(ticket)));
        let Step { step: kind, user, ticket, .. } = step;
        self.story.strays.push(format!("{kind:?} of user {user:?} and ticket {ticket:?}, which is {at:?}"));
    }
}
