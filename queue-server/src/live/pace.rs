//! What moves in a room, counted from its log second by second: what the expected wait and the figures are made of.

use std::collections::VecDeque;

use common::wire::queue::Flow;

use crate::room::rules::Pace;

/// Seconds that are remembered.
const KEPT_S: i64 = 300;
/// Seconds of the short view.
const MINUTE_S: i64 = 60;
/// A room that is followed for less than that has no pace: what is seen is chance.
const SEEN_MIN_S: i64 = 10;

/// Counts per second of a room's clock, the last five minutes.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Seconds since 1970 and what moved in them, in order.
    seconds: VecDeque<(i64, Flow)>,
    /// Since when the room is followed, in seconds since 1970.
    since: Option<i64>,
}

impl Counts {
    /// Counts something that happened at `at`, in ms since 1970.
    pub(crate) fn add(&mut self, at: i64, count: impl FnOnce(&mut Flow)) {
        let second = at.div_euclid(1_000);
        // Clocks that are set back do not reorder the past.
        if self.seconds.back().is_none_or(|(last, _)| *last < second) {
            self.seconds.push_back((second, Flow::default()));
        }
        if let Some((_, flow)) = self.seconds.back_mut() {
            count(flow);
        }
    }

    /// Forgets what is too old at `now`, in ms since 1970.
    pub(crate) fn pass(&mut self, now: i64) {
        let second = now.div_euclid(1_000);
        self.since.get_or_insert(second);
        while self.seconds.front().is_some_and(|(at, _)| *at <= second - KEPT_S) {
            self.seconds.pop_front();
        }
    }

    /// The last 60 s, and the last 300 s.
    pub(crate) fn flows(&self, now: i64) -> [Flow; 2] {
        [self.over(now, MINUTE_S), self.over(now, KEPT_S)]
    }

    /// How fast people are let in; `None` while that cannot be said.
    pub(crate) fn pace(&self, now: i64) -> Option<Pace> {
        let seen = now.div_euclid(1_000) - self.since?;
        if seen < SEEN_MIN_S {
            return None;
        }
        #[expect(clippy::cast_precision_loss, reason = "people and seconds of five minutes")]
        let per_second = |window: i64| self.over(now, window).admissions as f64 / window.min(seen) as f64;
        Some(Pace { minute: per_second(MINUTE_S), five_minutes: per_second(KEPT_S) })
    }

    fn over(&self, now: i64, window: i64) -> Flow {
        let from = now.div_euclid(1_000) - window;
        self.seconds.iter().rev().take_while(|(at, _)| *at > from).fold(Flow::default(), |sum, (_, flow)| {
            Flow {
                joins: sum.joins + flow.joins,
                admissions: sum.admissions + flow.admissions,
                claims: sum.claims + flow.claims,
                no_shows: sum.no_shows + flow.no_shows,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_800_000_000_000;

    #[test]
    fn each_window_counts_its_own_seconds() {
        let mut counts = Counts::default();
        counts.pass(NOW - 400_000);
        for ago in [301, 300, 299, 60, 59, 1, 0] {
            counts.add(NOW - ago * 1_000, |flow| flow.admissions += 1);
        }
        counts.pass(NOW);
        assert_eq!(counts.flows(NOW).map(|flow| flow.admissions), [3, 5]);
        assert_eq!(counts.pace(NOW), Some(Pace { minute: 3.0 / 60.0, five_minutes: 5.0 / 300.0 }));
    }

    #[test]
    fn a_room_that_is_followed_for_some_seconds_has_no_pace() {
        let mut counts = Counts::default();
        counts.pass(NOW);
        counts.add(NOW, |flow| flow.admissions += 5);
        assert_eq!(counts.pace(NOW + 9_000), None);
        assert_eq!(counts.pace(NOW + 20_000).map(|pace| pace.minute), Some(0.25));
    }
}
