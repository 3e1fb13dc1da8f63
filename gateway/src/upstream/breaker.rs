//! When to stop asking a replica that fails, and when to try it again.
//!
//! It opens after failures in a row, or when too many of many requests failed; a refused connection is enough by itself,
//! as it says that nobody is there. Once its rest is over, one request tries; the others wait for what comes of it.

use std::time::Duration;

use tokio::time::Instant;

/// As many failures in a row open it.
const IN_A_ROW_MAX: u32 = 5;
/// Or more than half of so many at least, within [`WINDOW`].
const RATIO_MIN: u32 = 20;
const WINDOW: Duration = Duration::from_secs(10);
/// The first rest; each further one is twice as long, up to the last.
const REST: Duration = Duration::from_secs(1);
const REST_MAX: Duration = Duration::from_secs(30);

/// One replica's.
#[derive(Debug)]
pub(super) struct Breaker {
    state: State,
    in_a_row: u32,
    window: Window,
    /// Rests one after the other, without a good window between them.
    rests: u32,
}

#[derive(Debug, Clone, Copy)]
enum State {
    Closed,
    Open {
        until: Instant,
    },
    /// One request is trying.
    HalfOpen,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    all: u32,
    failed: u32,
}

impl Breaker {
    pub(super) fn new(now: Instant) -> Self {
        let window = Window { began: now, all: 0, failed: 0 };
        Self { state: State::Closed, in_a_row: 0, window, rests: 0 }
    }

    /// Whether requests may be sent as usual.
    pub(super) fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Whether the next request may try; it has to, then, as no other one will until its outcome.
    pub(super) fn may_try(&mut self, now: Instant) -> bool {
        let is_due = matches!(self.state, State::Open { until } if until <= now);
        if is_due {
            self.state = State::HalfOpen;
        }
        is_due
    }

    /// How long until somebody may try.
    pub(super) fn rest(&self, now: Instant) -> Duration {
        match self.state {
            State::Open { until } => until.saturating_duration_since(now),
            State::Closed | State::HalfOpen => Duration::ZERO,
        }
    }

    /// A request was answered. True when the replica has come back by it.
    pub(super) fn succeeded(&mut self, now: Instant) -> bool {
        self.in_a_row = 0;
        self.count(false, now);
        match self.state {
            // Answers to what was sent before it opened say nothing new.
            State::Closed | State::Open { .. } => false,
            State::HalfOpen => {
                self.state = State::Closed;
                self.window = Window { began: now, all: 0, failed: 0 };
                true
            }
        }
    }

    /// A request was not answered; `is_gone` when nobody was there to answer.
    pub(super) fn failed(&mut self, is_gone: bool, now: Instant) {
        self.in_a_row += 1;
        self.count(true, now);
        let Window { all, failed, .. } = self.window;
        let is_too_much = self.in_a_row >= IN_A_ROW_MAX || (all >= RATIO_MIN && failed * 2 > all);
        match self.state {
            State::Closed if is_gone || is_too_much => self.open(now),
            State::HalfOpen => self.open(now),
            State::Closed | State::Open { .. } => {}
        }
    }

    /// The request that tried has no outcome: its client went away.
    pub(super) fn gave_up(&mut self, now: Instant) {
        if matches!(self.state, State::HalfOpen) {
            self.state = State::Open { until: now };
        }
    }

    fn open(&mut self, now: Instant) {
        let rest = REST.saturating_mul(1 << self.rests.min(5)).min(REST_MAX);
        self.rests += 1;
        self.state = State::Open { until: now + rest };
    }

    fn count(&mut self, is_failure: bool, now: Instant) {
        if now.duration_since(self.window.began) >= WINDOW {
            if self.is_closed() && self.window.failed == 0 {
                self.rests = 0;
            }
            self.window = Window { began: now, all: 0, failed: 0 };
        }
        self.window.all += 1;
        self.window.failed += u32::from(is_failure);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn after(failures: u32, is_gone: bool) -> (Breaker, Instant) {
        let now = Instant::now();
        let mut breaker = Breaker::new(now);
        for _ in 0..failures {
            breaker.failed(is_gone, now);
        }
        (breaker, now)
    }

    #[test]
    fn it_opens_after_failures_in_a_row_or_when_nobody_is_there() {
        assert!(after(IN_A_ROW_MAX - 1, false).0.is_closed());
        assert!(!after(IN_A_ROW_MAX, false).0.is_closed());
        assert!(!after(1, true).0.is_closed());
    }

    #[test]
    fn it_opens_when_more_than_half_of_many_failed() {
        let (mut breaker, now) = after(0, false);
        for n in 0..RATIO_MIN {
            assert!(breaker.is_closed(), "after {n}");
            // Two of three, never five in a row.
            if n % 3 == 0 { assert!(!breaker.succeeded(now)) } else { breaker.failed(false, now) }
        }
        assert!(!breaker.is_closed());
        let (mut calm, now) = after(0, false);
        for n in 0..100 {
            if n % 2 == 0 { assert!(!calm.succeeded(now)) } else { calm.failed(false, now) }
        }
        assert!(calm.is_closed(), "half is not more than half");
    }

    #[test]
    fn one_request_tries_when_the_rest_is_over() {
        let (mut breaker, now) = after(1, true);
        assert_eq!(breaker.rest(now), REST);
        assert!(!breaker.may_try(now + REST - MS));
        assert!(breaker.may_try(now + REST));
        assert!(!breaker.may_try(now + REST), "one at a time");
        breaker.gave_up(now + REST);
        assert!(breaker.may_try(now + REST), "no outcome: the next one tries");
        assert!(breaker.succeeded(now + REST));
        assert!(breaker.is_closed());
    }

    #[test]
    fn rests_grow_up_to_a_bound_and_shrink_after_a_good_time() {
        let (mut breaker, mut now) = after(1, true);
        for seconds in [2, 4, 8, 16, 30, 30] {
            now += breaker.rest(now);
            assert!(breaker.may_try(now));
            breaker.failed(false, now);
            assert_eq!(breaker.rest(now), Duration::from_secs(seconds));
        }
        now += breaker.rest(now);
        assert!(breaker.may_try(now) && breaker.succeeded(now));
        for _ in 0..2 {
            now += WINDOW;
            breaker.succeeded(now);
        }
        breaker.failed(true, now);
        assert_eq!(breaker.rest(now), REST);
    }

    #[test]
    fn what_was_sent_before_it_opened_does_not_close_it() {
        let (mut breaker, now) = after(1, true);
        assert!(!breaker.succeeded(now));
        assert!(!breaker.is_closed());
    }
}
