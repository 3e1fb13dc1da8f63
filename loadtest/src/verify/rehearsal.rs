//! A sale that never was: a log as a real one writes it, through the same chain, to measure the proof by.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use common::config::Kafka;
use common::kafka::chain::{Head, STEPS_MAX, StreamId};
use common::kafka::create_topics;
use common::kafka::reader::Reader;
use common::kafka::transaction::Writer;
use common::stop::Stop;
use common::wire::event::QUEUE_EVENTS;
use common::wire::id::{ProductId, Ticket, UserId};
use common::wire::queue::{Step, StepKind};
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;

/// The room of the made-up sale.
const PRODUCT: ProductId = ProductId(1);
/// When it began, in ms since 1970.
const BEGAN: i64 = 1_763_690_400_000;
/// Registrations per millisecond: as many as one queue-server takes.
const JOINS_PER_MS: i64 = 25;
/// Length of an interval in ms, and its admissions.
const INTERVAL_MS: i64 = 1_000;
const COUNT: u32 = 500;
/// Units: when they are sold, the line is told and dissolved.
const UNITS: u32 = 20_000;
/// Between two ticks of the room, in ms.
const TICK_MS: i64 = 250;
/// How often somebody who waits moves to the end instead of somebody new joining; is away when called; does not come
/// when called.
const MOVES: f64 = 0.05;
const AWAY: f64 = 0.1;
const NO_SHOW: f64 = 0.1;
/// Records of one transaction.
const RECORDS: usize = 40;
/// The broker removes a topic within this.
const REMOVED_WITHIN: Duration = Duration::from_secs(10);

/// Writes the log of a sale with so many registrations into a topic of its own and says where it is.
pub(super) async fn write(kafka: &Kafka, joins: u32) -> anyhow::Result<Kafka> {
    let prefix = format!("{}rehearsal-{}.", kafka.kafka_topic_prefix, uuid::Uuid::now_v7().simple());
    let kafka = Kafka { kafka_topic_prefix: prefix, ..kafka.clone() };
    create_topics(&kafka, &[QUEUE_EVENTS], &Stop::new()).await?;
    let writer = Writer::begin(&kafka, "rehearsal", &Arc::new(Reader::new(&kafka, QUEUE_EVENTS)?)).await?;
    let (mut head, mut records) = (Head::default(), Vec::new());
    let mut sale = Sale::new(joins);
    loop {
        let steps = sale.steps(STEPS_MAX);
        let bytes = head.link(PRODUCT, steps);
        let is_end = bytes.is_none();
        records.extend(bytes.map(|bytes| head.outgoing(&kafka, PRODUCT, bytes)));
        if records.len() == RECORDS || (is_end && !records.is_empty()) {
            writer.send(&records).await?;
            records.clear();
        }
        if is_end {
            return Ok(kafka);
        }
    }
}

/// Removes its topics.
pub(super) async fn remove(kafka: &Kafka) -> anyhow::Result<()> {
    let admin: AdminClient<DefaultClientContext> = kafka.client().create()?;
    let options = AdminOptions::new().operation_timeout(Some(REMOVED_WITHIN));
    let names = [kafka.topic(QUEUE_EVENTS), kafka.dead_letters(QUEUE_EVENTS)];
    for removed in admin.delete_topics(&names.each_ref().map(String::as_str), &options).await? {
        removed.map_err(|(topic, error)| anyhow::anyhow!("{topic}: {error}"))?;
    }
    Ok(())
}

/// The sale as it goes on.
struct Sale {
    dice: StdRng,
    now: i64,
    joins: i64,
    left: u32,
    users: i64,
    last: i64,
    line: VecDeque<(i64, i64)>,
    away: VecDeque<(i64, i64)>,
    spent: (i64, u32),
    sold: u32,
    id: StreamId,
    is_over: bool,
    out: VecDeque<(StreamId, Step)>,
}

impl Sale {
    fn new(joins: u32) -> Self {
        let mut sale = Self {
            dice: StdRng::seed_from_u64(1),
            now: BEGAN,
            joins: 0,
            left: joins,
            users: 0,
            last: 0,
            line: VecDeque::new(),
            away: VecDeque::new(),
            spent: (-1, 0),
            sold: 0,
            id: StreamId::default(),
            is_over: false,
            out: VecDeque::new(),
        };
        sale.log(StepKind::Scheduled, None, |step| step.count = Some(COUNT));
        sale
    }

    /// The next steps, at most `most`; none at the end.
    fn steps(&mut self, most: usize) -> Vec<(StreamId, Step)> {
        while self.out.len() < most && !self.is_over {
            if self.left > 0 {
                self.join();
            } else {
                self.now += TICK_MS;
                self.tick();
            }
            if self.left == 0 && (self.sold >= UNITS || self.line.is_empty()) {
                self.is_over = true;
                self.log(StepKind::SoldOut, None, |_| {});
            }
        }
        self.out.drain(..most.min(self.out.len())).collect()
    }

    fn join(&mut self) {
        self.left -= 1;
        self.joins += 1;
        self.last += 1;
        // Somebody far from the front, whom nobody misses there.
        let moves = self.line.len() > 10_000 && self.dice.random_bool(MOVES);
        let user = if moves { self.line.pop_back().map_or(0, |(user, _)| user) } else { self.users + 1 };
        self.users = self.users.max(user);
        self.line.push_back((user, self.last));
        let kind = if moves { StepKind::Moved } else { StepKind::Joined };
        self.log(kind, Some((user, self.last)), |_| {});
        if self.joins % JOINS_PER_MS == 0 {
            self.now += 1;
            if (self.now - BEGAN) % TICK_MS == 0 {
                self.tick();
            }
        }
    }

    fn tick(&mut self) {
        let interval = (self.now - BEGAN) / INTERVAL_MS;
        if self.spent.0 != interval {
            self.spent = (interval, 0);
        }
        let within = |step: &mut Step| (step.interval, step.count) = (Some(interval), Some(COUNT));
        // Those who come back go first.
        for (user, ticket) in std::mem::take(&mut self.away) {
            self.log(StepKind::Back, Some((user, ticket)), |_| {});
            self.line.push_front((user, ticket));
        }
        self.line.make_contiguous().sort_unstable_by_key(|(_, ticket)| *ticket);
        while self.spent.1 < COUNT && self.sold < UNITS {
            let Some(who) = self.line.pop_front() else { break };
            if self.dice.random_bool(AWAY) {
                self.log(StepKind::Away, Some(who), |_| {});
                self.away.push_back(who);
                continue;
            }
            self.spent.1 += 1;
            self.log(StepKind::Ready, Some(who), within);
            if self.dice.random_bool(NO_SHOW) {
                self.log(StepKind::ClaimExpired, Some(who), within);
                self.spent.1 -= 1;
            } else {
                self.log(StepKind::Admitted, Some(who), |_| {});
                self.log(StepKind::Completed, Some(who), |_| {});
                self.sold += 1;
            }
        }
    }

    fn log(&mut self, kind: StepKind, who: Option<(i64, i64)>, change: impl FnOnce(&mut Step)) {
        let ms = self.now.unsigned_abs();
        let seq = if self.id.ms == ms { self.id.seq + 1 } else { 0 };
        self.id = StreamId { ms, seq };
        let mut step = Step {
            user: who.map(|(user, _)| UserId(user)),
            ticket: who.map(|(_, ticket)| Ticket(ticket)),
            ..Step::new(kind, self.now)
        };
        change(&mut step);
        self.out.push_back((self.id, step));
    }
}
