//! One process of a service: how it does, and the connections to it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::breaker::Breaker;
use super::connections::Connections;
use crate::body::Progress;

/// Of how long the mean time to an answer is made.
const MEAN_OVER_S: f64 = 5.0;
/// As long as a failure counts in that mean: what fails at once must not look fast.
const FAILED: Duration = Duration::from_secs(5);
/// A replica that is new or has come back gets its full share after this long.
const SLOW_START: Duration = Duration::from_secs(10);
/// And this share of it at first.
const SLOW_START_SHARE: f64 = 0.1;

/// One process of a service.
#[derive(Debug)]
pub struct Replica {
    /// Where it is.
    pub address: SocketAddr,
    in_flight: AtomicUsize,
    /// Whether it says of itself that it is ready; true where nobody asks it.
    is_ready: AtomicBool,
    state: Mutex<State>,
    /// By worker: a connection belongs to the thread that opened it.
    connections: Vec<Connections>,
}

#[derive(Debug)]
struct State {
    breaker: Breaker,
    /// Mean time to an answer in seconds, failures included; `None` before the first.
    mean_s: Option<f64>,
    mean_at: Instant,
    /// When it began to take its share.
    began: Instant,
}

impl State {
    /// Makes the outcome part of the mean.
    fn count(&mut self, outcome: Outcome, took: Option<Duration>, now: Instant) {
        let cost = match outcome {
            Outcome::Answered => took,
            _ => Some(took.unwrap_or_default().max(FAILED)),
        };
        let Some(cost) = cost.map(|cost| cost.as_secs_f64()) else { return };
        let age = now.saturating_duration_since(self.mean_at).as_secs_f64();
        let old = (-age / MEAN_OVER_S).exp();
        self.mean_s = Some(self.mean_s.map_or(cost, |mean_s| {
            // Many at one moment weigh something, too.
            let old = old.min(0.999);
            mean_s * old + cost * (1.0 - old)
        }));
        self.mean_at = now;
    }
}

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered with something that is no sign of trouble.
    Answered,
    /// It was answered, but by somebody who cannot do it now (502, 503, 504).
    Troubled,
    /// It was not answered, or not properly.
    Failed,
    /// No connection.
    Gone,
}

impl Replica {
    /// At `address`, for so many workers.
    pub(super) fn new(address: SocketAddr, workers: usize) -> Self {
        let now = Instant::now();
        let state = State { breaker: Breaker::new(now), mean_s: None, mean_at: now, began: now };
        Self {
            address,
            in_flight: AtomicUsize::new(0),
            is_ready: AtomicBool::new(true),
            state: Mutex::new(state),
            connections: (0..workers).map(|_| Connections::to(address)).collect(),
        }
    }

    /// One that was there from the start takes its whole share at once.
    pub(super) fn seasoned(self) -> Self {
        self.state().began -= SLOW_START;
        self
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether requests may be sent as usual.
    pub(super) fn is_up(&self) -> bool {
        self.is_ready.load(Ordering::Relaxed) && self.is_whole()
    }

    /// Whether it answers, whatever it says of itself.
    pub(super) fn is_whole(&self) -> bool {
        self.state().breaker.is_closed()
    }

    /// See [`Breaker::may_try`].
    pub(super) fn may_try(&self, now: Instant) -> bool {
        self.state().breaker.may_try(now)
    }

    /// How long until somebody may try.
    pub(super) fn rest(&self, now: Instant) -> Duration {
        self.state().breaker.rest(now)
    }

    /// What it says of itself.
    pub(super) fn set_ready(&self, is_ready: bool) {
        if is_ready && !self.is_ready.swap(is_ready, Ordering::Relaxed) {
            self.state().began = Instant::now();
        }
        self.is_ready.store(is_ready, Ordering::Relaxed);
    }

    /// What one more request would wait for here, in arbitrary units.
    pub(super) fn load(&self, now: Instant) -> f64 {
        let (mean_s, began) = {
            let state = self.state();
            (state.mean_s.unwrap_or(0.0), state.began)
        };
        let age = now.saturating_duration_since(began).as_secs_f64() / SLOW_START.as_secs_f64();
        let share = age.clamp(SLOW_START_SHARE, 1.0);
        // A replica without a figure yet is compared by its requests in flight alone.
        (mean_s + 0.001) * (self.in_flight.load(Ordering::Relaxed) + 1) as f64 / share
    }

    /// `took`: how long it had the whole request, if ever.
    fn note(&self, outcome: Outcome, took: Option<Duration>) {
        let now = Instant::now();
        let mut state = self.state();
        state.count(outcome, took, now);
        match outcome {
            Outcome::Answered | Outcome::Troubled => {
                if state.breaker.succeeded(now) {
                    state.began = now;
                }
            }
            Outcome::Failed => state.breaker.failed(false, now),
            Outcome::Gone => state.breaker.failed(true, now),
        }
    }

    /// Those of the worker with that number.
    #[must_use]
    pub fn connections(&self, worker: usize) -> &Connections {
        &self.connections[worker]
    }
}

/// A replica with one more request to do, until this is dropped.
#[derive(Debug)]
pub struct Picked {
    replica: Arc<Replica>,
    began: Instant,
    asked: Asked,
    is_noted: bool,
}

/// What a replica is asked for.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// An event stream, which needs no connection of its own.
    pub is_shared: bool,
    /// Not answered after this long, it has failed; sooner, its client went away.
    pub deadline: Option<Duration>,
    /// The body on its way to it: until that has arrived, it is the client who is waited for.
    pub progress: Option<Arc<Progress>>,
}

impl Picked {
    pub(super) fn new(replica: Arc<Replica>, asked: Asked) -> Self {
        replica.in_flight.fetch_add(1, Ordering::Relaxed);
        Self { replica, began: Instant::now(), asked, is_noted: false }
    }

    /// The replica.
    #[must_use]
    pub fn replica(&self) -> &Replica {
        &self.replica
    }

    /// Whether it may share its connection.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.asked.is_shared
    }

    /// Says what became of the request. Returns how long the replica had the whole of it.
    pub fn note(&mut self, outcome: Outcome) -> Option<Duration> {
        self.is_noted = true;
        let took = self.had();
        self.replica.note(outcome, took);
        took
    }

    /// How long the replica has had the whole request: how long a client takes for its body is not the replica's doing.
    fn had(&self) -> Option<Duration> {
        let arrived = match &self.asked.progress {
            Some(progress) => progress.ended().filter(|_| progress.fault().is_none())?,
            None => self.began,
        };
        Some(arrived.max(self.began).elapsed())
    }
}

impl Drop for Picked {
    fn drop(&mut self) {
        self.replica.in_flight.fetch_sub(1, Ordering::Relaxed);
        if self.is_noted {
            return;
        }
        let took = self.had();
        match took.zip(self.asked.deadline) {
            // The request's start is a little later than the deadline's.
            Some((had, deadline)) if had + Duration::from_millis(5) >= deadline => {
                self.replica.note(Outcome::Failed, took);
            }
            _ => self.replica.state().breaker.gave_up(Instant::now()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replica() -> Arc<Replica> {
        Arc::new(Replica::new(SocketAddr::from(([127, 0, 0, 1], 1)), 1).seasoned())
    }

    #[test]
    fn what_fails_at_once_does_not_look_fast() {
        let (good, bad) = (replica(), replica());
        for _ in 0..3 {
            good.note(Outcome::Answered, Some(Duration::from_millis(200)));
            bad.note(Outcome::Troubled, Some(Duration::from_millis(1)));
        }
        let now = Instant::now();
        assert!(good.load(now) < bad.load(now));
    }

    #[test]
    fn a_new_replica_takes_its_share_slowly() {
        let (old, new) = (replica(), Arc::new(Replica::new(SocketAddr::from(([127, 0, 0, 1], 2)), 1)));
        let now = Instant::now();
        assert!(new.load(now) > old.load(now) * 9.0);
        let later = now + SLOW_START;
        assert!(new.load(later) < old.load(later) * 1.01);
    }

    #[test]
    fn a_request_that_nobody_waited_for_blames_nobody() {
        let replica = replica();
        let asked = |deadline, progress| Asked { deadline: Some(deadline), progress, ..Asked::default() };
        let uploading = Some(Arc::new(Progress::default()));
        for _ in 0..20 {
            drop(Picked::new(Arc::clone(&replica), asked(Duration::from_secs(10), None)));
            drop(Picked::new(Arc::clone(&replica), asked(Duration::ZERO, uploading.clone())));
        }
        assert!(replica.is_up());
        for _ in 0..5 {
            drop(Picked::new(Arc::clone(&replica), asked(Duration::ZERO, None)));
        }
        assert!(!replica.is_up(), "five that hung");
        assert_eq!(replica.in_flight.load(Ordering::Relaxed), 0);
    }
}
