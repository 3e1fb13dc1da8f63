//! How many requests a service is asked at once: as many as it answers without making them wait.
//!
//! The limit grows while it is used up and answers come as fast as ever, and shrinks when they take longer than their
//! route's best by more than `TOLERANCE`. Now and then it is halved for a moment: what looks like the best
//! may be a queue that never empties. Requests beyond it wait their turn, those of shoppers who were let in first; where
//! some were refused just now, waiting would only make everybody late, and they are refused almost at once. (That the queue
//! was empty for a moment says nothing: it is empty because they are refused.)

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use crate::error::Error;

/// Answers may take this much longer than the route's best, and [`SLACK_S`] on top: what is shorter is the machine's noise.
const TOLERANCE: f64 = 1.5;
const SLACK_S: f64 = 0.002;
/// The limit never falls below the one, and starts at the other: low enough to learn how fast answers come.
const MIN: f64 = 16.0;
const START: f64 = 32.0;
/// What it is judged by: answers within this time, and no fewer than [`SAMPLES_MIN`].
const WINDOW: Duration = Duration::from_millis(100);
const SAMPLES_MIN: u32 = 20;
/// A route's best is one of the means of so many answers at least; it is forgotten at this rate per second.
const BEST_OF_MIN: u32 = 10;
const FORGET: f64 = 0.01;
/// Between two looks at how fast answers come without a queue.
const PROBE: Duration = Duration::from_secs(10);
/// The share of the limit that everybody may use; the rest is for shoppers who were let in.
const EVERYBODYS_SHARE: f64 = 0.9;
/// A request waits at most this long for its turn, and this long where somebody was refused less than [`LATE`] ago.
const TURN_MAX: Duration = Duration::from_secs(1);
const TURN_LATE_MAX: Duration = Duration::from_millis(5);
const LATE: Duration = Duration::from_millis(100);
/// Requests that wait, as a multiple of the limit.
const QUEUE_LENGTH: f64 = 4.0;

/// One service's limit. Clones share it.
#[derive(Debug, Clone)]
pub struct Limit(Arc<Mutex<State>>);

#[derive(Debug)]
struct State {
    max: f64,
    limit: f64,
    in_flight: u32,
    /// Those who were let in, then everybody else.
    waiting: [VecDeque<oneshot::Sender<Turn>>; 2],
    /// When somebody last got no turn.
    refused_at: Option<Instant>,
    window: Window,
    /// By the number of the route.
    routes: Vec<Route>,
    probed: Instant,
    is_probing: bool,
}

#[derive(Debug)]
struct Window {
    began: Instant,
    answers: u32,
    /// Of each answer: how long it took, as a share of what its route may take.
    strain: f64,
    /// Most requests in flight.
    peak: u32,
}

#[derive(Debug, Clone, Default)]
struct Route {
    best_s: Option<f64>,
    sum_s: f64,
    answers: u32,
}

impl Window {
    fn new(now: Instant) -> Self {
        Self { began: now, answers: 0, strain: 0.0, peak: 0 }
    }
}

impl Limit {
    /// At most `max`, for so many routes.
    pub(super) fn new(max: usize, routes: usize) -> Self {
        let (max, now) = (max as f64, Instant::now());
        Self(Arc::new(Mutex::new(State {
            max,
            limit: START.min(max),
            in_flight: 0,
            waiting: Default::default(),
            refused_at: None,
            window: Window::new(now),
            routes: vec![Route::default(); routes],
            probed: now,
            is_probing: false,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The present limit.
    pub(super) fn present(&self) -> f64 {
        self.state().limit
    }

    /// A turn at the service; `is_in` for shoppers who were let in.
    ///
    /// # Errors
    /// [`Error::UpstreamBusy`] when none comes free in time.
    pub(super) async fn turn(&self, is_in: bool) -> Result<Turn, Error> {
        let (mut granted, patience) = {
            let mut state = self.state();
            if state.has_room(is_in) {
                state.in_flight += 1;
                state.window.peak = state.window.peak.max(state.in_flight);
                return Ok(Turn(Some(self.clone())));
            }
            let (waiting, now) = (state.waiting.iter().map(VecDeque::len).sum::<usize>(), Instant::now());
            if waiting as f64 >= state.limit * QUEUE_LENGTH {
                state.refused_at = Some(now);
                return Err(Error::UpstreamBusy);
            }
            let is_late = state.refused_at.is_some_and(|at| now.duration_since(at) < LATE);
            let (grant, granted) = oneshot::channel();
            state.waiting[usize::from(!is_in)].push_back(grant);
            (granted, if is_late && !is_in { TURN_LATE_MAX } else { TURN_MAX })
        };
        match timeout(patience, &mut granted).await {
            Ok(Ok(turn)) => Ok(turn),
            _ => {
                // Granted just now, it is taken all the same.
                granted.close();
                granted.try_recv().map_err(|_| {
                    self.state().refused_at = Some(Instant::now());
                    Error::UpstreamBusy
                })
            }
        }
    }

    /// A request of that route was answered after so long.
    pub(super) fn answered(&self, route: usize, took: Duration) {
        self.state().answered(route, took.as_secs_f64(), Instant::now());
    }

    fn release(&self) {
        let mut unclaimed = Vec::new();
        let mut state = self.state();
        state.in_flight -= 1;
        while let Some(waiter) = state.next() {
            match waiter.send(Turn(Some(self.clone()))) {
                Ok(()) => {
                    state.in_flight += 1;
                    state.window.peak = state.window.peak.max(state.in_flight);
                }
                Err(turn) => unclaimed.push(turn),
            }
        }
        drop(state);
        // They never counted.
        for mut turn in unclaimed {
            drop(turn.0.take());
        }
    }
}

impl State {
    fn has_room(&self, is_in: bool) -> bool {
        let limit = if self.is_probing { (self.limit / 2.0).max(MIN) } else { self.limit };
        let room = if is_in { limit } else { (limit * EVERYBODYS_SHARE).ceil() };
        let others = if is_in { &self.waiting[..1] } else { &self.waiting[..] };
        f64::from(self.in_flight) < room.max(1.0) && others.iter().all(VecDeque::is_empty)
    }

    /// Whose turn it is, if there is room.
    fn next(&mut self) -> Option<oneshot::Sender<Turn>> {
        let limit = if self.is_probing { (self.limit / 2.0).max(MIN) } else { self.limit };
        let in_flight = f64::from(self.in_flight);
        match &mut self.waiting {
            [first, _] if !first.is_empty() && in_flight < limit => first.pop_front(),
            [first, rest] if first.is_empty() && in_flight < (limit * EVERYBODYS_SHARE).ceil().max(1.0) => {
                rest.pop_front()
            }
            _ => None,
        }
    }

    fn answered(&mut self, route: usize, took_s: f64, now: Instant) {
        let known = &mut self.routes[route];
        known.sum_s += took_s;
        known.answers += 1;
        let strain = known.best_s.map_or(0.0, |best_s| took_s / (best_s * TOLERANCE + SLACK_S));
        let window = &mut self.window;
        window.strain += strain;
        window.answers += 1;
        let age = now.duration_since(window.began);
        if age >= WINDOW && window.answers >= SAMPLES_MIN {
            self.judge(age.as_secs_f64(), now);
        }
    }

    fn judge(&mut self, age_s: f64, now: Instant) {
        let window = std::mem::replace(&mut self.window, Window::new(now));
        self.window.peak = self.in_flight;
        for route in &mut self.routes {
            route.best_s = route.best_s.map(|best_s| best_s * (1.0 + FORGET * age_s));
            if route.answers >= BEST_OF_MIN {
                let mean_s = route.sum_s / f64::from(route.answers);
                route.best_s = Some(route.best_s.map_or(mean_s, |best_s| best_s.min(mean_s)));
                (route.sum_s, route.answers) = (0.0, 0);
            }
        }
        if std::mem::take(&mut self.is_probing) {
            return;
        }
        let strain = window.strain / f64::from(window.answers);
        let is_used_up = f64::from(window.peak) >= self.limit * EVERYBODYS_SHARE * 0.9;
        if strain > 1.0 {
            let used = self.limit.min(f64::from(window.peak).max(MIN));
            self.limit = (used * (1.0 / strain).max(0.5)).max(MIN).min(self.max);
        } else if is_used_up {
            self.limit = (self.limit + self.limit.sqrt()).min(self.max);
        }
        if is_used_up && now.duration_since(self.probed) >= PROBE {
            (self.is_probing, self.probed) = (true, now);
        }
    }
}

/// A turn at a service, until it is dropped.
#[derive(Debug)]
pub struct Turn(Option<Limit>);

impl Drop for Turn {
    fn drop(&mut self) {
        if let Some(limit) = self.0.take() {
            limit.release();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limit(max: usize) -> Limit {
        Limit::new(max, 2)
    }

    /// A service with so many hands, asked as often as the limit allows: answers take `best_s` as long as everybody has a
    /// hand, and longer in proportion beyond.
    fn after(seconds: u32, hands: f64, best_s: f64) -> f64 {
        let limit = limit(512);
        let mut state = limit.state();
        let mut now = Instant::now();
        let until = now + Duration::from_secs(u64::from(seconds));
        while now < until {
            let in_flight = if state.is_probing { state.limit / 2.0 } else { state.limit };
            state.window.peak = in_flight as u32;
            let took_s = best_s * (in_flight / hands).max(1.0);
            let answers = (in_flight / took_s * 0.1).max(20.0) as u32;
            now += Duration::from_millis(101);
            for _ in 0..answers {
                state.answered(0, took_s, now);
            }
        }
        state.limit
    }

    #[test]
    fn the_limit_finds_what_the_service_can_do_and_stays_there() {
        for seconds in [5, 60, 600] {
            let found = after(seconds, 100.0, 0.010);
            assert!((90.0..220.0).contains(&found), "{found} after {seconds} s, for 100 hands");
        }
        let found = after(60, 5.0, 0.050);
        assert!((MIN..26.0).contains(&found), "{found} for 5 hands");
        let found = after(60, 10_000.0, 0.010);
        assert!(found > 500.0, "{found} for a service that is never full");
    }

    #[test]
    fn slow_routes_do_not_look_like_an_overload() {
        let limit = limit(512);
        let mut state = limit.state();
        let mut now = Instant::now();
        for round in 0..200 {
            now += Duration::from_millis(101);
            state.window.peak = 512;
            for n in 0..100 {
                // Ever more of the slow kind.
                let is_slow = n < round / 2;
                state.answered(usize::from(is_slow), if is_slow { 0.5 } else { 0.001 }, now);
            }
        }
        assert!(state.limit > 500.0, "{}", state.limit);
    }

    #[tokio::test]
    async fn those_who_were_let_in_come_first() {
        let limit = limit(1);
        let held = limit.turn(false).await.unwrap();
        let order = std::cell::RefCell::new(Vec::new());
        let wait = async |name, is_in| {
            let turn = limit.turn(is_in).await.unwrap();
            order.borrow_mut().push(name);
            drop(turn);
        };
        let free = async {
            tokio::task::yield_now().await;
            drop(held);
        };
        tokio::join!(wait("everybody", false), wait("let in", true), free);
        assert_eq!(order.into_inner(), ["let in", "everybody"]);
        assert_eq!(limit.state().in_flight, 0);
    }

    #[tokio::test]
    async fn who_gets_no_turn_hears_so_and_soon_where_the_queue_lasts() {
        let limit = limit(1);
        let held = limit.turn(false).await.unwrap();
        let began = Instant::now();
        assert!(limit.turn(false).await.is_err());
        assert!(began.elapsed() >= TURN_MAX);
        let began = Instant::now();
        assert!(limit.turn(false).await.is_err());
        assert!(began.elapsed() < TURN_MAX / 2, "{:?}", began.elapsed());
        drop(held);
        assert!(limit.turn(false).await.is_ok(), "those who gave up are not waited for");
        assert_eq!(limit.state().in_flight, 0);
    }

    /// The waits in ms of those who got a turn, in order, where three times too many come in bursts.
    async fn waits() -> Vec<u128> {
        let (limit, waits) = (limit(512), Arc::<Mutex<Vec<u128>>>::default());
        let mut requests = tokio::task::JoinSet::new();
        for burst in 0..200 {
            let size = 3.0 * START * if burst % 2 == 0 { 1.5 } else { 0.5 };
            for _ in 0..size as u32 {
                let (limit, waits) = (limit.clone(), Arc::clone(&waits));
                requests.spawn(async move {
                    let began = Instant::now();
                    let Ok(turn) = limit.turn(false).await else { return };
                    waits.lock().unwrap().push(began.elapsed().as_millis());
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    drop(turn);
                });
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        requests.join_all().await;
        Arc::into_inner(waits).unwrap().into_inner().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn in_a_lasting_overload_who_gets_a_turn_gets_it_soon() {
        let mut waits = waits().await;
        let late = waits.split_off(waits.len() / 10);
        assert!(late.len() > 2_000, "{} turns", late.len());
        assert!(late.iter().all(|wait| *wait <= 6), "{late:?}");
    }
}
