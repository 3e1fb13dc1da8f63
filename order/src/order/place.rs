//! Places orders, many in one transaction.
//!
//! Nothing waits on purpose: while nobody places, a request begins a batch of its own at once; those that come while a
//! batch is being written make the next one. So the batches grow with the load, and the cost of a commit is shared.
//! One order's fate never depends on its neighbours: a duplicate fails alone, and a batch that fails as a whole for
//! what may be one order's fault is tried again order by order.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use common::clock::Clock;
use common::outbox::Nudge;
use common::pg;
use common::stop::Stop;
use common::wire::event::Refusal;
use futures::StreamExt as _;
use sqlx::PgPool;
use tokio::sync::{Semaphore, oneshot};

use super::By;
use super::batch::{self, Verdict, Wanted};
use super::rules::Trigger;
use super::sold_out::SoldOut;
use crate::error::{Error, LOCK_TIMEOUT};
use crate::idempotency::{self, Answer};
use crate::metrics::Metrics;

/// Orders of one transaction at most: enough to share a commit, few enough that the last one waits only some
/// milliseconds for the first.
const BATCH_MAX: usize = 128;
/// Orders that wait at most, for a batch or to be tried alone; more are refused at once. At the rate that the platform is built for this is a fifth of a
/// second.
const WAITING_MAX: usize = 1_024;
/// An order waits this long at most until it is tried, with its batch and again alone: where the database is so slow, a
/// refusal now is worth more to the buyer than an order after the request was given up.
const WAIT_MAX: Duration = Duration::from_secs(2);
/// Events that wait for the log at most: the broker is away, or slower than the orders. New orders are refused then,
/// rather than promised a decision that is many seconds away.
const UNSENT_MAX: i64 = 50_000;
/// Orders that are tried again on their own at a time, whatever batch they come from: each takes a connection, and the
/// batches need some too.
const ALONE_MAX: usize = 4;
/// A batch waits this long for a key or ticket that somebody else is about to take; then its orders are tried alone.
const BEGIN_TOGETHER: &str = "BEGIN; SET LOCAL lock_timeout = '150ms'";
/// An order on its own waits this long: both together are at most two seconds.
const BEGIN_ALONE: &str = "BEGIN; SET LOCAL lock_timeout = '1800ms'";
/// SQLSTATE `deadlock_detected`.
const DEADLOCK: &str = "40P01";

/// Places orders. Clones share it.
#[derive(Debug, Clone)]
pub struct Placer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pg: PgPool,
    nudge: Nudge,
    metrics: Metrics,
    stop: Stop,
    queue: Mutex<Queue>,
    sold_out: SoldOut,
    clock: Clock,
    alone: Semaphore,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<Request>,
    /// So many wait to be tried alone.
    alone: usize,
    /// Somebody works on it.
    busy: bool,
}

#[derive(Debug)]
struct Request {
    wanted: Wanted,
    since: Instant,
    reply: oneshot::Sender<Result<Placed, Error>>,
}

/// An answer to the buyer.
#[derive(Debug)]
pub enum Placed {
    /// The order is placed.
    Now(Answer),
    /// It was before.
    Before(Answer),
}

impl Placer {
    /// A placer that nobody waits for yet.
    pub fn new(
        pg: PgPool,
        (nudge, metrics): (Nudge, Metrics),
        sold_out: SoldOut,
        clock: Clock,
        stop: Stop,
    ) -> Self {
        let (queue, alone) = (Mutex::default(), Semaphore::new(ALONE_MAX));
        Self(Arc::new(Inner { pg, nudge, metrics, stop, queue, sold_out, clock, alone }))
    }

    /// Places an order. Once this was called, the order is placed or refused also when nobody waits for it any more.
    ///
    /// # Errors
    /// [`Error::TicketUsed`], [`Error::KeyReused`], [`Error::InProgress`], [`Error::Unavailable`], or the database's.
    pub async fn place(&self, wanted: Wanted) -> Result<Placed, Error> {
        let unsent = self.0.metrics.outbox_rows.get();
        if unsent > UNSENT_MAX {
            return Err(Error::Unavailable(
                "overloaded",
                anyhow::anyhow!("{unsent} events wait for the log"),
            ));
        }
        let (reply, placed) = oneshot::channel();
        let begin = {
            let mut queue = self.queue();
            if queue.waiting.len() + queue.alone >= WAITING_MAX {
                return Err(Error::Unavailable("overloaded", anyhow::anyhow!("{WAITING_MAX} orders wait")));
            }
            queue.waiting.push_back(Request { wanted, since: Instant::now(), reply });
            !std::mem::replace(&mut queue.busy, true)
        };
        if begin {
            self.0.stop.spawn("place", self.clone().work());
        }
        let gone = |_| Error::Unavailable("overloaded", anyhow::anyhow!("the batch ended without an answer"));
        placed.await.map_err(gone)?
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What waits now, or nothing; then nobody works on it any more. Who has waited too long is refused.
    fn next(&self) -> Vec<Request> {
        let mut queue = self.queue();
        while let Some(late) = queue.waiting.pop_front_if(|request| request.since.elapsed() > WAIT_MAX) {
            late.send(Err(waited_too_long()));
        }
        let count = queue.waiting.len().min(BATCH_MAX);
        queue.busy = count > 0;
        queue.waiting.drain(..count).collect()
    }

    async fn work(self) {
        loop {
            let batch = self.next();
            if batch.is_empty() {
                return;
            }
            let again = self.together(batch).await;
            if !again.is_empty() {
                self.queue().alone += again.len();
                // Beside the next batch: whoever waits for a lock waits alone.
                self.0.stop.spawn("place alone", self.clone().alone(again));
            }
        }
    }

    /// Places a batch and answers; returns those who are to be tried alone.
    async fn together(&self, mut batch: Vec<Request>) -> Vec<Request> {
        batch.iter_mut().for_each(|request| self.0.refuse(&mut request.wanted));
        let wanted: Vec<&Wanted> = batch.iter().map(|request| &request.wanted).collect();
        match self.0.write(&wanted, BEGIN_TOGETHER).await {
            Ok(results) => {
                results.into_iter().zip(batch).filter_map(|(result, one)| one.answer(result)).collect()
            }
            Err(Error::Unavailable(code, cause)) => {
                let cause = format!("{cause:#}");
                for request in batch {
                    request.send(Err(Error::Unavailable(code, anyhow::anyhow!(cause.clone()))));
                }
                Vec::new()
            }
            Err(error) => {
                let cause = format!("{:#}", anyhow::Error::new(error));
                tracing::debug!(cause, orders = batch.len(), "batch not placed; trying its orders alone");
                batch
            }
        }
    }

    async fn alone(self, batch: Vec<Request>) {
        let place = |mut request: Request| async {
            // It is never closed.
            let _turn = self.0.alone.acquire().await;
            self.queue().alone -= 1;
            if request.since.elapsed() > WAIT_MAX {
                return request.send(Err(waited_too_long()));
            }
            self.0.refuse(&mut request.wanted);
            let result = self.0.write(&[&request.wanted], BEGIN_ALONE).await;
            // One that is to be tried again although it was alone lost to somebody who is on the way out.
            let result = result.and_then(|mut one| one.pop().flatten().ok_or(Error::InProgress)?);
            request.send(result);
        };
        futures::stream::iter(batch).for_each_concurrent(ALONE_MAX, place).await;
    }
}

/// What one order of a batch is answered; nothing when it is to be tried again.
type Answered = Option<Result<Placed, Error>>;

impl Request {
    /// Answers, or comes back when there is nothing to answer yet.
    fn answer(self, result: Answered) -> Option<Self> {
        match result {
            Some(result) => {
                self.send(result);
                None
            }
            None => Some(self),
        }
    }

    fn send(self, result: Result<Placed, Error>) {
        // Whoever asked may be gone; a repeat with the same key finds the answer.
        self.reply.send(result).ok();
    }
}

fn waited_too_long() -> Error {
    Error::Unavailable("overloaded", anyhow::anyhow!("waited for {WAIT_MAX:?}"))
}

impl Inner {
    /// Ends an order at once that is for what is known to be sold out. Looked at when the order is written: units may
    /// have come back while it waited, and the stock's word have grown old.
    fn refuse(&self, wanted: &mut Wanted) {
        let (order, now) = (&wanted.draft.order, self.clock.now());
        let is_vain = order.holds.iter().any(|hold| self.sold_out.is(hold.product, now));
        let refused = Trigger::Refused { reason: Refusal::SoldOut };
        let step = || order.clone().take(refused, By::System, order.created_at).ok();
        wanted.refused = is_vain.then(step).flatten();
    }

    /// Places a batch in one transaction.
    async fn write(&self, wanted: &[&Wanted], begin: &'static str) -> Result<Vec<Answered>, Error> {
        let mut tx = self.pg.begin_with(begin).await.map_err(fault)?;
        let verdicts = batch::claim(&mut tx, wanted).await.map_err(fault)?;
        let free = || verdicts.iter().zip(wanted).filter(|(verdict, _)| **verdict == Verdict::Free);
        let placed: Vec<&Wanted> = free().map(|(_, one)| *one).collect();
        batch::insert(&mut tx, &placed).await.map_err(fault)?;
        let mut results = Vec::with_capacity(wanted.len());
        for (verdict, one) in verdicts.iter().zip(wanted) {
            results.push(match verdict {
                Verdict::Free => Some(Ok(Placed::Now(one.answer.clone()))),
                Verdict::TicketTaken => Some(Err(Error::TicketUsed)),
                Verdict::Again => None,
                Verdict::KeyTaken => match idempotency::store::find(&mut tx, &one.claim).await {
                    Ok(stored) => stored.map(|answer| Ok(Placed::Before(answer))),
                    Err(error @ (Error::KeyReused | Error::InProgress)) => Some(Err(error)),
                    Err(error) => return Err(error),
                },
            });
        }
        tx.commit().await.map_err(fault)?;
        self.metrics.place_batches_total.inc();
        if !placed.is_empty() {
            let count = |state| self.metrics.transitions_total.with_label_values(&[state]);
            count("received").inc_by(placed.len() as u64);
            count("rejected").inc_by(placed.iter().filter(|one| one.refused.is_some()).count() as u64);
            self.nudge.now();
        }
        Ok(results)
    }
}

/// A database that does not answer is everybody's fault; what may be one order's own fault is an [`Error::InProgress`]
/// or [`Error::Internal`].
fn fault(error: sqlx::Error) -> Error {
    if matches!(pg::code(&error), Some(LOCK_TIMEOUT | DEADLOCK)) { Error::InProgress } else { error.into() }
}
