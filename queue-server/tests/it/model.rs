//! The scripts against a plain model, on random traces. The running interval is half an hour from its boundaries; all
//! other times pass at once, by tens of seconds, and none of the terms is a multiple of ten.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicI64, Ordering};

use common::config::{Redis, Secret};
use common::draw;
use common::redis::Connections;
use common::wire::id::{OrderId, ProductId, Ticket, UserId};
use common::wire::product::{ProductSnapshot, Rejoin, StartOrder};
use common::wire::queue::{QueueState, Step, StepKind};
use futures::future::try_join_all;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use queue_server::room::rules::Effect;
use queue_server::room::store::{
    Asker, Claimed, Event, Joined, Joiner, Left, Operated, OrderNews, Standing, Store,
};

use crate::moments;
use crate::shop::{now, sale_of, seconds};

const USERS: i64 = 6;
const AWAY_AFTER_S: i64 = 45;
const GRACE_S: i64 = 300;
const CLAIM_S: i64 = 65;
const CLAIM_POLL_S: i64 = 125;
const ADMISSION_S: i64 = 605;
/// Traces, and threads that check them.
const CASES: u32 = 2_000;
const WORKERS: u32 = 2;
/// Tickets left out at a recovery.
const JUMP: i64 = 100_000;

#[derive(Debug, Clone)]
enum Act {
    Join { user: i64, key: Option<u8> },
    Crowd { users: Vec<i64>, key: Option<u8> },
    Leave { user: i64 },
    Claim { user: i64 },
    Tick,
    Hand { count: u32 },
    Decide { available: i64, reserved: i64 },
    Holds { user: i64 },
    Ends { user: i64 },
    Refused { user: i64 },
    Hear { user: i64, live: bool },
    Pass { seconds: i64 },
    Unserved { seconds: i64 },
    Hold { is_held: bool },
    Revoke { user: Option<i64> },
    Restart,
    Open,
}

fn act() -> impl Strategy<Value = Act> {
    let user = || 1..=USERS;
    let some_seconds = || prop_oneof![4 => Just(50_i64), 2 => Just(10), 2 => Just(70), 1 => Just(130), 1 => Just(300), 1 => Just(610)];
    prop_oneof![
        10 => (user(), prop::option::of(0..3_u8)).prop_map(|(user, key)| Act::Join { user, key }),
        2 => (prop::collection::vec(user(), 2..5), prop::option::of(0..3_u8))
            .prop_map(|(users, key)| Act::Crowd { users, key }),
        2 => user().prop_map(|user| Act::Leave { user }),
        4 => user().prop_map(|user| Act::Claim { user }),
        6 => Just(Act::Tick),
        1 => (1..3_u32).prop_map(|count| Act::Hand { count }),
        2 => (0..4_i64, 0..3_i64).prop_map(|(available, reserved)| Act::Decide { available, reserved }),
        3 => user().prop_map(|user| Act::Holds { user }),
        2 => user().prop_map(|user| Act::Ends { user }),
        1 => user().prop_map(|user| Act::Refused { user }),
        6 => (user(), any::<bool>()).prop_map(|(user, live)| Act::Hear { user, live }),
        4 => some_seconds().prop_map(|seconds| Act::Pass { seconds }),
        1 => some_seconds().prop_map(|seconds| Act::Unserved { seconds }),
        1 => any::<bool>().prop_map(|is_held| Act::Hold { is_held }),
        1 => prop::option::weighted(0.8, user()).prop_map(|user| Act::Revoke { user }),
        1 => Just(Act::Restart),
        2 => Just(Act::Open),
    ]
}

#[derive(Debug, Clone)]
struct Terms {
    count: i64,
    limit: u32,
    capacity: Option<u32>,
    gate: Option<f64>,
    rejoin: Rejoin,
    order: StartOrder,
    is_open: bool,
}

fn terms() -> impl Strategy<Value = Terms> {
    let rejoin = prop_oneof![Just(Rejoin::Back), Just(Rejoin::Keep)];
    let gate = prop::option::of(prop_oneof![Just(0.5), Just(1.0), Just(2.0)]);
    let opening = prop_oneof![
        3 => Just((StartOrder::Fifo, true)),
        1 => Just((StartOrder::Fifo, false)),
        2 => Just((StartOrder::Draw, false)),
    ];
    (1..6_i64, 1..3_u32, prop::option::of(1..4_u32), gate, rejoin, opening).prop_map(
        |(count, limit, capacity, gate, rejoin, (order, is_open))| Terms {
            count,
            limit,
            capacity,
            gate,
            rejoin,
            order,
            is_open,
        },
    )
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum At {
    #[default]
    Nowhere,
    Line,
    /// Called; by hand.
    Ready(bool),
    /// Inside; with a place.
    Inside(bool),
    Completed,
    Left,
    Expired,
    /// In this round.
    SoldOut(u32),
}

#[derive(Debug, Clone, Default)]
struct Person {
    at: At,
    ticket: i64,
    /// When something was heard of somebody in the line last, and whether by a stream.
    heard: (i64, bool),
    /// When a turn or an admission runs out, each by its clock.
    ends: i64,
    bought: u32,
    keys: Vec<u8>,
    /// Order, ticket it was placed with, seq, whether it holds a unit.
    order: Option<(OrderId, i64, i64, bool)>,
}

/// The rules, told plainly.
#[derive(Debug)]
struct Model {
    terms: Terms,
    people: BTreeMap<i64, Person>,
    line: Vec<i64>,
    tickets: i64,
    spent: i64,
    stock: (i64, i64),
    is_sold_out: bool,
    /// Rounds that ended with people in the line.
    rounds: u32,
    is_held: bool,
    is_open: bool,
    is_drawn: bool,
    /// Seconds while the room was served, and all of them.
    served: i64,
    clock: i64,
    /// Of the served seconds, those in which turns ran.
    turns: i64,
}

impl Model {
    fn new(terms: Terms) -> Self {
        let people = (1..=USERS).map(|user| (user, Person::default())).collect();
        let (is_open, is_drawn) = (terms.is_open, terms.order == StartOrder::Fifo);
        Self {
            terms,
            people,
            line: Vec::new(),
            tickets: 0,
            spent: 0,
            stock: (0, 0),
            is_sold_out: false,
            rounds: 0,
            is_held: false,
            is_open,
            is_drawn,
            served: 0,
            clock: 0,
            turns: 0,
        }
    }

    fn at(&mut self, user: i64) -> &mut Person {
        self.people.get_mut(&user).unwrap()
    }

    fn is_frozen(&self) -> bool {
        !self.is_sold_out && self.stock.0 == 0 && self.stock.1 > 0
    }

    fn inside(&self) -> i64 {
        let counts = |person: &&Person| matches!(person.at, At::Ready(_) | At::Inside(true));
        i64::try_from(self.people.values().filter(counts).count()).unwrap()
    }

    fn is_free(&self, by_hand: bool) -> bool {
        let inside = self.inside();
        let gate = self.terms.gate.map(|gate| {
            #[expect(clippy::cast_possible_truncation, clippy::cast_precision_loss, reason = "small numbers")]
            let worth = (self.stock.0 as f64 * gate / f64::from(self.terms.limit)).floor() as i64;
            worth.max(1)
        });
        !self.is_sold_out
            && self.stock.0 > 0
            && self.is_drawn
            && (by_hand || (self.is_open && !self.is_held && self.spent < self.terms.count))
            && self.terms.capacity.is_none_or(|capacity| inside < i64::from(capacity))
            && gate.is_none_or(|gate| inside < gate)
    }

    fn new_ticket(&mut self, user: i64) {
        self.tickets += 1;
        let ticket = self.tickets;
        self.at(user).ticket = ticket;
    }

    fn uncall(&mut self, user: i64, by_hand: bool, at: At) {
        self.at(user).at = at;
        if !by_hand && self.is_open {
            self.spent -= 1;
        }
    }

    /// Seconds since something was heard of somebody.
    fn silence(&self, user: i64) -> i64 {
        self.served - self.people[&user].heard.0
    }

    /// Whether the time of somebody called or inside is over.
    fn is_over(&self, user: i64) -> bool {
        let person = &self.people[&user];
        match person.at {
            At::Ready(_) => person.ends <= self.turns,
            At::Inside(_) => person.ends <= self.clock,
            _ => false,
        }
    }

    /// Away for too long.
    fn lapse(&mut self, user: i64) {
        self.line.retain(|one| *one != user);
        self.at(user).at = At::Expired;
    }

    fn hear(&mut self, user: i64, live: bool) {
        if self.people[&user].at != At::Line {
            return;
        }
        if self.silence(user) > AWAY_AFTER_S + GRACE_S {
            return self.lapse(user);
        }
        self.at(user).heard = (self.served, live);
    }

    fn pass(&mut self, seconds: i64, is_served: bool) {
        self.clock += seconds;
        if is_served {
            self.served += seconds;
            if !self.is_frozen() {
                self.turns += seconds;
            }
        }
    }

    fn let_in(&mut self, user: i64) {
        let ends = self.clock + ADMISSION_S;
        let person = self.at(user);
        (person.at, person.ends) = (At::Inside(true), ends);
    }

    fn state(&self, user: i64) -> QueueState {
        match self.people[&user].at {
            At::Nowhere => QueueState::None,
            At::Line => QueueState::Waiting,
            At::Ready(_) | At::Inside(_) if self.is_over(user) => QueueState::Expired,
            At::Ready(_) => QueueState::Ready,
            At::Inside(_) => QueueState::Admitted,
            At::Completed => QueueState::Completed,
            At::Left => QueueState::Left,
            At::Expired => QueueState::Expired,
            At::SoldOut(_) => QueueState::SoldOut,
        }
    }

    /// What the answer's state is, and what happened; `None` at the limit.
    fn join(&mut self, user: i64, key: Option<u8>) -> Option<(QueueState, Option<Event>)> {
        if self.is_sold_out {
            let state = self.state(user);
            return Some((if state == QueueState::Admitted { state } else { QueueState::SoldOut }, None));
        }
        let mut keys = self.people[&user].keys.clone();
        if let Some(key) = key {
            if keys.contains(&key) {
                return Some((self.state(user), None));
            }
            keys.insert(0, key);
            keys.truncate(2);
        }
        match self.people[&user].at {
            At::Completed if self.people[&user].bought >= self.terms.limit => return None,
            At::Ready(by_hand) if self.is_over(user) => self.uncall(user, by_hand, At::Expired),
            At::Inside(_) if self.is_over(user) => self.at(user).at = At::Expired,
            _ => {}
        }
        self.at(user).keys = keys;
        if self.terms.rejoin == Rejoin::Keep {
            self.hear(user, false);
        }
        let keeps = self.terms.rejoin == Rejoin::Keep && self.people[&user].at == At::Line;
        if keeps || matches!(self.people[&user].at, At::Ready(..) | At::Inside(..)) {
            return Some((self.state(user), None));
        }
        let is_straight = self.line.is_empty() && self.is_free(false);
        self.new_ticket(user);
        if is_straight {
            self.spent += 1;
            self.let_in(user);
            return Some((QueueState::Admitted, Some(Event::Straight)));
        }
        let event = if self.people[&user].at == At::Line { Event::Moved } else { Event::Joined };
        self.line.retain(|one| *one != user);
        self.line.push(user);
        let heard = (self.served, false);
        let person = self.at(user);
        (person.at, person.heard) = (At::Line, heard);
        Some((QueueState::Waiting, Some(event)))
    }

    fn leave(&mut self, user: i64) -> Left {
        match self.people[&user].at {
            At::Line => {
                self.line.retain(|one| *one != user);
                self.at(user).at = At::Left;
                Left::Gone
            }
            At::Ready(_) | At::Inside(_) if self.is_over(user) => Left::Nothing,
            At::Ready(by_hand) => {
                self.uncall(user, by_hand, At::Left);
                Left::Gone
            }
            At::Inside(_) | At::Completed => Left::Inside,
            _ => Left::Nothing,
        }
    }

    fn claim(&mut self, user: i64) -> bool {
        match self.people[&user].at {
            At::Ready(_) | At::Inside(_) if self.is_over(user) => false,
            At::Ready(_) => {
                self.let_in(user);
                true
            }
            At::Inside(_) => true,
            _ => false,
        }
    }

    /// Calls the first of those who are there.
    fn call_one(&mut self, by_hand: bool) -> bool {
        let is_there = |user: &&i64| self.silence(**user) <= AWAY_AFTER_S;
        let Some(user) = self.line.iter().find(is_there).copied().filter(|_| self.is_free(by_hand)) else {
            return false;
        };
        self.line.retain(|one| *one != user);
        let turns = self.turns;
        let person = self.at(user);
        person.at = At::Ready(by_hand);
        person.ends = turns + if person.heard.1 { CLAIM_S } else { CLAIM_POLL_S };
        if !by_hand {
            self.spent += 1;
        }
        true
    }

    /// Gives everybody in the line the ticket that the draw has for them.
    fn draw(&mut self, seed: &str) {
        let count = self.tickets;
        for person in self.people.values_mut().filter(|person| person.at == At::Line) {
            let drawn = draw::drawn(seed, person.ticket.cast_unsigned(), count.cast_unsigned());
            person.ticket = drawn.cast_signed();
        }
        self.tickets *= 2;
        let people = &self.people;
        self.line.sort_by_key(|user| people[user].ticket);
        self.is_drawn = true;
    }

    fn tick(&mut self, seed: &str) -> u32 {
        for user in 1..=USERS {
            match self.people[&user].at {
                At::Ready(by_hand) if self.is_over(user) && !self.is_frozen() => {
                    self.uncall(user, by_hand, At::Expired);
                }
                At::Inside(_) if self.is_over(user) => self.at(user).at = At::Expired,
                _ => {}
            }
        }
        if !self.is_drawn && self.is_open && !self.is_sold_out {
            self.draw(seed);
        }
        let mut called = 0;
        while self.call_one(false) {
            called += 1;
        }
        called
    }

    /// What a pass over the line does.
    fn sweep(&mut self) {
        for user in self.line.clone() {
            if self.silence(user) > AWAY_AFTER_S + GRACE_S {
                self.lapse(user);
            }
        }
    }

    fn revoke(&mut self, user: Option<i64>) {
        for (who, person) in &mut self.people {
            if user.is_none_or(|user| user == *who) && matches!(person.at, At::Inside(_)) {
                (person.at, person.ends) = (At::Inside(false), i64::MIN);
            }
        }
    }

    fn restart(&mut self) {
        self.tickets += JUMP;
        if self.is_open {
            self.spent = self.spent.max(self.terms.count);
        }
    }

    fn decide(&mut self, available: i64, reserved: i64) {
        self.stock = (available, reserved);
        if self.is_sold_out && available > 0 {
            self.is_sold_out = false;
        } else if available == 0 && reserved == 0 && !self.is_sold_out {
            self.is_sold_out = true;
            self.rounds += u32::from(!self.line.is_empty());
            self.line.clear();
            for person in self.people.values_mut() {
                if matches!(person.at, At::Line | At::Ready(_)) {
                    person.at = At::SoldOut(self.rounds);
                }
            }
        }
    }

    fn holds(&mut self, user: i64) -> Option<OrderNews> {
        let person = self.people.get_mut(&user)?;
        let (order, ticket, seq) = match (person.order, person.at) {
            // Only those inside place orders; one that ended may be revived by a late payment.
            (Some((order, ticket, seq, false)), _) => (order, ticket, seq + 1),
            (None, At::Inside(_)) => (OrderId::new(), person.ticket, 2),
            _ => return None,
        };
        person.order = Some((order, ticket, seq, true));
        person.bought += 1;
        if person.ticket == ticket && !matches!(person.at, At::Ready(_) | At::Line | At::SoldOut(_)) {
            person.at = At::Completed;
        }
        Some(news(order, seq, user, ticket, Effect::Holds))
    }

    fn ends(&mut self, user: i64) -> Option<OrderNews> {
        let person = self.people.get_mut(&user)?;
        let (order, ticket, seq, true) = person.order? else { return None };
        person.order = Some((order, ticket, seq + 1, false));
        person.bought -= 1;
        if person.ticket == ticket && person.at == At::Completed {
            person.at = At::Left;
        }
        Some(news(order, seq + 1, user, ticket, Effect::Ends))
    }

    fn refused(&mut self, user: i64) -> Option<OrderNews> {
        let person = self.people.get_mut(&user)?;
        let At::Inside(_) = person.at else { return None };
        person.at = At::Inside(false);
        Some(news(OrderId::new(), 2, user, person.ticket, Effect::Refused))
    }
}

fn news(order: OrderId, seq: i64, user: i64, ticket: i64, effect: Effect) -> OrderNews {
    OrderNews { order, seq, user: UserId(user), ticket: Ticket(ticket), units: 1, effect }
}

fn staff() -> Asker {
    Asker { user: UserId(900), is_staff: true, why: None }
}

struct Run {
    store: Store,
    redis: Connections,
    product: ProductId,
    sale: ProductSnapshot,
    seed: String,
    model: Model,
    last: i64,
    /// Of each user, the ticket and the rank told last.
    told: HashMap<i64, (i64, u64)>,
    steps: i64,
}

impl Run {
    async fn step(&mut self, act: &Act) -> anyhow::Result<()> {
        let (store, product) = (&self.store, self.product);
        match *act {
            Act::Join { user, key } => self.join(&[user], key).await?,
            Act::Crowd { ref users, key } => self.join(users, key).await?,
            Act::Leave { user } => {
                let wanted = self.model.leave(user);
                let got = store.leave(product, UserId(user)).await?.unwrap();
                anyhow::ensure!(got == wanted, "leave gave {got:?}, not {wanted:?}");
            }
            Act::Claim { user } => {
                let wanted = self.model.claim(user);
                let got = store.claim(product, UserId(user)).await?.unwrap();
                anyhow::ensure!((got != Claimed::NotReady) == wanted, "claim gave {got:?}, not {wanted}");
                let again = store.claim(product, UserId(user)).await?.unwrap();
                anyhow::ensure!(right(&again) == right(&got), "claimed again {again:?}, not {got:?}");
            }
            Act::Tick => {
                let wanted = self.model.tick(&self.seed);
                // A pass over the line begins with every tick.
                moments::pass(&self.redis, product, 0).await;
                let got = store.tick(product, 1_000).await?.unwrap().called;
                anyhow::ensure!(got == wanted, "tick called {got}, not {wanted}");
                self.model.sweep();
                // A pass takes some ticks, where tickets lie far from each other.
                loop {
                    let again = store.tick(product, 1_000).await?.unwrap().called;
                    anyhow::ensure!(again == 0, "a second tick at the same time called {again}");
                    let meta = format!("room:{{{product}}}:meta");
                    if self.redis.hash_field(&meta, "sweepAt").await?.as_deref() == Some("0") {
                        break;
                    }
                }
            }
            Act::Hand { count } => {
                let called = (0..count).take_while(|_| self.model.call_one(true)).count();
                let staff = Asker { user: UserId(900), is_staff: true, why: None };
                let got = store.hand(product, &staff, count).await?.unwrap();
                anyhow::ensure!(got as usize == called, "by hand {got}, not {called}");
            }
            Act::Decide { available, reserved } => {
                self.model.decide(available, reserved);
                self.last += 1;
                store.decision(product, self.last, [10, available, reserved, 0]).await?;
            }
            Act::Holds { user } => self.order(Model::holds, user).await?,
            Act::Ends { user } => self.order(Model::ends, user).await?,
            Act::Refused { user } => self.order(Model::refused, user).await?,
            Act::Hear { user, live } => {
                let ticket = Ticket(self.model.people[&user].ticket);
                self.model.hear(user, live);
                store.present(product, live, &[ticket]).await?;
            }
            Act::Pass { .. } | Act::Unserved { .. } | Act::Restart | Act::Open => self.happen(act).await?,
            Act::Hold { is_held } => {
                self.model.is_held = is_held;
                let got = match is_held {
                    true => store.hold(product, &staff(), None).await?,
                    false => store.resume(product, &staff()).await?,
                };
                anyhow::ensure!(matches!(got, Some(Operated::Done(_))), "{got:?}");
            }
            Act::Revoke { user } => {
                self.model.revoke(user);
                store.revoke(product, &staff(), user.map(UserId)).await?;
            }
        }
        // Everybody's place comes up within some steps, and all of them at the end.
        self.steps += 1;
        let first = self.steps % USERS + 1;
        self.compare(&[first, (first + 2) % USERS + 1]).await
    }

    /// What nobody asks for.
    async fn happen(&mut self, act: &Act) -> anyhow::Result<()> {
        match *act {
            Act::Pass { seconds } => {
                self.model.pass(seconds, true);
                moments::pass(&self.redis, self.product, seconds).await;
            }
            Act::Unserved { seconds } => {
                self.model.pass(seconds, false);
                moments::pass_unserved(&self.redis, self.product, seconds).await;
            }
            Act::Restart => {
                self.model.restart();
                moments::begin_another_run(&self.redis, self.product).await;
            }
            _ if !self.model.is_open => {
                self.model.is_open = true;
                self.sale.version += 1;
                self.sale.sale_start_time = now() - seconds(1_800);
                self.store.product(&self.sale).await?;
            }
            _ => {}
        }
        Ok(())
    }

    /// Some register in one call, one after the other.
    async fn join(&mut self, users: &[i64], key: Option<u8>) -> anyhow::Result<()> {
        let wanted: Vec<_> = users.iter().map(|user| self.model.join(*user, key)).collect();
        let joiners: Vec<_> =
            users.iter().map(|user| Joiner { user: UserId(*user), key: key.map(|key| [key; 8]) }).collect();
        let joined = self.store.join(self.product, &joiners).await?.unwrap();
        let got: Vec<_> = joined
            .into_iter()
            .map(|joined| match joined {
                Joined::Place(standing, event) => Some((standing.state, event)),
                Joined::AtLimit | Joined::Closed => None,
            })
            .collect();
        anyhow::ensure!(got == wanted, "join gave {got:?}, not {wanted:?}");
        Ok(())
    }

    async fn order(
        &mut self,
        act: fn(&mut Model, i64) -> Option<OrderNews>,
        user: i64,
    ) -> anyhow::Result<()> {
        let Some(news) = act(&mut self.model, user) else { return Ok(()) };
        // News that come twice are no news.
        self.store.orders(self.product, &[news, news]).await?;
        let again = self.store.orders(self.product, &[news]).await?;
        anyhow::ensure!(again == 0, "{news:?} came twice");
        Ok(())
    }

    async fn compare(&mut self, users: &[i64]) -> anyhow::Result<()> {
        let places = users.iter().map(async |user| self.store.place(self.product, UserId(*user)).await);
        let places = try_join_all(places).await?;
        for (user, place) in users.iter().zip(places) {
            self.check(*user, &place.unwrap())?;
        }
        let room = self.store.room(self.product).await?.unwrap();
        let spent = self.model.spent;
        anyhow::ensure!(room.spent == spent, "spent {}, not {spent}", room.spent);
        Ok(())
    }

    fn check(&mut self, user: i64, got: &Standing) -> anyhow::Result<()> {
        let model = &self.model;
        let (person, total) = (&model.people[&user], model.line.len() as u64);
        let ahead = model.line.iter().position(|one| *one == user).filter(|_| model.is_drawn);
        let rank = ahead.map_or(0, |ahead| ahead as u64 + 1);
        // Only the last line that was dissolved is remembered of those who have no record.
        let is_forgotten =
            matches!(person.at, At::SoldOut(round) if round < model.rounds) && got.state == QueueState::None;
        let state = if is_forgotten { QueueState::None } else { model.state(user) };
        let wanted = (state, rank, total);
        anyhow::ensure!(
            (got.state, got.rank, got.total) == wanted,
            "{user} stands at {got:?}, not {wanted:?}"
        );
        let has_ticket = matches!(state, QueueState::Waiting | QueueState::Ready | QueueState::Admitted);
        let ticket = has_ticket.then_some(Ticket(person.ticket));
        anyhow::ensure!(got.ticket == ticket, "{user} has {:?}, not {ticket:?}", got.ticket);
        if rank > 0 {
            let before = self.told.insert(user, (person.ticket, rank));
            let rose = before.is_some_and(|(ticket, before)| ticket == person.ticket && rank > before);
            anyhow::ensure!(!rose, "the rank of {user} rose from {before:?} to {rank}");
        }
        Ok(())
    }
}

fn right(claimed: &Claimed) -> Option<(Ticket, uuid::Uuid, i64)> {
    match claimed {
        Claimed::Admitted { admission, .. } => Some((admission.ticket, admission.jti, admission.ends)),
        Claimed::NotReady => None,
    }
}

/// What the log alone must show: whoever is called was first among those who are there, with a ticket that nobody else
/// ever had; nobody is called, or let in, who did not register.
fn check_log(steps: &[Step]) -> anyhow::Result<()> {
    let (mut line, mut away) = (BTreeMap::<i64, i64>::new(), std::collections::HashSet::new());
    let (mut given, mut seed, mut inside) = (0, (String::new(), 0), HashMap::new());
    for step in steps {
        let (user, ticket) = (step.user.map_or(0, |user| user.0), step.ticket.map_or(0, |ticket| ticket.0));
        match step.step {
            StepKind::Joined | StepKind::Moved => {
                anyhow::ensure!(ticket > given, "{step:?} after {given}");
                let before = line.len();
                line.retain(|_, one| *one != user);
                anyhow::ensure!((line.len() < before) == (step.step == StepKind::Moved), "{step:?}");
                (given, _) = (ticket, line.insert(ticket, user));
            }
            StepKind::Away => anyhow::ensure!(away.insert(ticket), "{step:?} twice"),
            StepKind::Back => anyhow::ensure!(away.remove(&ticket), "{step:?} was not away"),
            StepKind::Ready => {
                let first = line.keys().find(|ticket| !away.contains(*ticket));
                anyhow::ensure!(first == Some(&ticket), "{step:?} before {first:?}");
                line.remove(&ticket);
                inside.insert(user, ticket);
            }
            StepKind::Admitted => {
                let was_called = inside.get(&user) == Some(&ticket);
                anyhow::ensure!(was_called || line.remove(&ticket) == Some(user), "{step:?} from nowhere");
            }
            StepKind::Left | StepKind::Expired => {
                let was_away = step.step == StepKind::Expired && !away.contains(&ticket);
                anyhow::ensure!(!was_away, "{step:?} was not away");
                line.remove(&ticket);
            }
            StepKind::Drawn => {
                seed = (step.text.clone().unwrap(), ticket);
                given = 2 * ticket;
            }
            StepKind::DrawEnded => {
                let place = |ticket: i64| {
                    draw::drawn(&seed.0, ticket.cast_unsigned(), seed.1.cast_unsigned()).cast_signed()
                };
                line = line.into_iter().map(|(ticket, user)| (place(ticket), user)).collect();
                away = away.into_iter().filter(|ticket| *ticket <= seed.1).map(place).collect();
            }
            StepKind::Recovered => given = ticket + JUMP,
            StepKind::SoldOut => line.clear(),
            _ => {}
        }
    }
    Ok(())
}

async fn trace(
    shop: (Store, Connections),
    product: ProductId,
    terms: Terms,
    acts: &[Act],
) -> anyhow::Result<()> {
    let (store, redis) = shop;
    let mut sale = sale_of(u32::try_from(terms.count)?);
    (sale.product_id, sale.purchase_limit) = (product, terms.limit);
    (sale.queue.capacity, sale.queue.stock_gate) = (terms.capacity, terms.gate);
    (sale.queue.rejoin, sale.queue.start_order) = (terms.rejoin, terms.order);
    sale.queue.away_after_s = u32::try_from(AWAY_AFTER_S)?;
    sale.queue.grace_s = u32::try_from(GRACE_S)?;
    sale.queue.claim_s = u32::try_from(CLAIM_S)?;
    sale.queue.claim_poll_s = u32::try_from(CLAIM_POLL_S)?;
    sale.queue.admission_s = u32::try_from(ADMISSION_S)?;
    if !terms.is_open {
        sale.sale_start_time = now() + seconds(3_600);
    }
    store.product(&sale).await?;
    let key = format!("room:{{{product}}}");
    let seed = redis.hash_field(&format!("{key}:meta"), "seed").await?.unwrap();
    let model = Model::new(terms);
    let mut run = Run {
        store,
        redis: redis.clone(),
        product,
        sale,
        seed,
        model,
        last: 0,
        told: HashMap::new(),
        steps: 0,
    };
    for (at, act) in acts.iter().enumerate() {
        run.step(act).await.map_err(|error| error.context(format!("step {at} {act:?}")))?;
    }
    run.compare(&(1..=USERS).collect::<Vec<_>>()).await?;
    let entries = redis.entries(&format!("{key}:log"), "-", 1_000_000).await?;
    let steps: Vec<Vec<Step>> =
        entries.iter().map(|(_, fields)| Step::of_entry(fields)).collect::<Result<_, _>>()?;
    let steps = steps.concat();
    check_log(&steps).map_err(|error| error.context(format!("{steps:#?}")))?;
    let parts =
        ["meta", "line", "ready", "admitted", "told", "who", "orders", "log", "tickets", "seen", "back"];
    Ok(redis.delete(parts.map(|part| format!("{key}:{part}")).into()).await?)
}

#[test]
fn every_trace_of_steps_does_what_the_rules_say() {
    let url = testkit::redis_url();
    let products = AtomicI64::new(1);
    std::thread::scope(|scope| {
        for _ in 0..WORKERS {
            scope.spawn(|| check(&url, &products));
        }
    });
}

/// Checks a worker's share of the traces.
fn check(url: &str, products: &AtomicI64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = Redis { redis_url: Secret(url.to_owned()), redis_connections: 1 };
    let redis = runtime.block_on(async { Connections::open(&config).unwrap() });
    let store = runtime.block_on(async { Store::new(redis.clone()) });
    let config =
        ProptestConfig { cases: CASES / WORKERS, failure_persistence: None, ..ProptestConfig::default() };
    let traces = (terms(), prop::collection::vec(act(), 1..60));
    let checked = TestRunner::new(config).run(&traces, |(terms, acts)| {
        let product = ProductId(products.fetch_add(1, Ordering::Relaxed));
        let shop = (store.clone(), redis.clone());
        runtime
            .block_on(trace(shop, product, terms, &acts))
            .map_err(|error| TestCaseError::fail(format!("{error:#}")))
    });
    checked.unwrap();
}
