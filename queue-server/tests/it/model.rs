//! The scripts against a plain model, on random traces. Time plays no part: the running interval is half an hour from
//! its boundaries, and turns and admissions last either ten minutes or no time at all.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};

use common::config::{Redis, Secret};
use common::redis::Connections;
use common::wire::id::{OrderId, ProductId, Ticket, UserId};
use common::wire::product::Rejoin;
use common::wire::queue::QueueState;
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use queue_server::room::rules::Effect;
use queue_server::room::store::{Claimed, Event, Joined, Left, OrderNews, Store};

use crate::shop::sale_of;

const LONG_MS: i64 = 600_000;
const USERS: i64 = 6;

#[derive(Debug, Clone)]
enum Act {
    Join { user: i64, key: Option<u8>, long: bool },
    Leave { user: i64 },
    Claim { user: i64, long: bool },
    Tick { long: bool },
    Hand { count: u32 },
    Decide { available: i64, reserved: i64 },
    Holds { user: i64 },
    Ends { user: i64 },
    Refused { user: i64 },
}

fn act() -> impl Strategy<Value = Act> {
    let user = || 1..=USERS;
    prop_oneof![
        8 => (user(), prop::option::of(0..3_u8), any::<bool>())
            .prop_map(|(user, key, long)| Act::Join { user, key, long }),
        2 => user().prop_map(|user| Act::Leave { user }),
        4 => (user(), prop::bool::weighted(0.8)).prop_map(|(user, long)| Act::Claim { user, long }),
        4 => prop::bool::weighted(0.8).prop_map(|long| Act::Tick { long }),
        1 => (1..3_u32).prop_map(|count| Act::Hand { count }),
        2 => (0..4_i64, 0..3_i64).prop_map(|(available, reserved)| Act::Decide { available, reserved }),
        3 => user().prop_map(|user| Act::Holds { user }),
        2 => user().prop_map(|user| Act::Ends { user }),
        1 => user().prop_map(|user| Act::Refused { user }),
    ]
}

#[derive(Debug, Clone)]
struct Terms {
    count: i64,
    limit: u32,
    capacity: Option<u32>,
    gate: Option<f64>,
    rejoin: Rejoin,
}

fn terms() -> impl Strategy<Value = Terms> {
    let rejoin = prop_oneof![Just(Rejoin::Back), Just(Rejoin::Keep)];
    let gate = prop::option::of(prop_oneof![Just(0.5), Just(1.0), Just(2.0)]);
    (1..6_i64, 1..3_u32, prop::option::of(1..4_u32), gate, rejoin)
        .prop_map(|(count, limit, capacity, gate, rejoin)| Terms { count, limit, capacity, gate, rejoin })
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum At {
    #[default]
    Nowhere,
    Line,
    /// Called; by hand; out of time.
    Ready(bool, bool),
    /// Inside; with a place; out of time.
    Inside(bool, bool),
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
}

impl Model {
    fn new(terms: Terms) -> Self {
        let people = (1..=USERS).map(|user| (user, Person::default())).collect();
        let stock = (0, 0);
        Self { terms, people, line: Vec::new(), tickets: 0, spent: 0, stock, is_sold_out: false, rounds: 0 }
    }

    fn at(&mut self, user: i64) -> &mut Person {
        self.people.get_mut(&user).unwrap()
    }

    fn is_frozen(&self) -> bool {
        !self.is_sold_out && self.stock.0 == 0 && self.stock.1 > 0
    }

    fn inside(&self) -> i64 {
        let counts = |person: &&Person| matches!(person.at, At::Ready(..) | At::Inside(true, _));
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
            && (by_hand || self.spent < self.terms.count)
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
        if !by_hand {
            self.spent -= 1;
        }
    }

    fn state(&self, user: i64) -> QueueState {
        match self.people[&user].at {
            At::Nowhere => QueueState::None,
            At::Line => QueueState::Waiting,
            At::Ready(_, false) => QueueState::Ready,
            At::Inside(_, false) => QueueState::Admitted,
            At::Completed => QueueState::Completed,
            At::Left => QueueState::Left,
            At::Ready(_, true) | At::Inside(_, true) | At::Expired => QueueState::Expired,
            At::SoldOut(_) => QueueState::SoldOut,
        }
    }

    /// What the answer's state is, and what happened; `None` at the limit.
    fn join(&mut self, user: i64, key: Option<u8>, long: bool) -> Option<(QueueState, Option<Event>)> {
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
            At::Ready(by_hand, true) => self.uncall(user, by_hand, At::Expired),
            At::Inside(_, true) => self.at(user).at = At::Expired,
            _ => {}
        }
        self.at(user).keys = keys;
        let keeps = self.terms.rejoin == Rejoin::Keep && self.people[&user].at == At::Line;
        if keeps || matches!(self.people[&user].at, At::Ready(..) | At::Inside(..)) {
            return Some((self.state(user), None));
        }
        let is_straight = self.line.is_empty() && self.is_free(false);
        self.new_ticket(user);
        if is_straight {
            self.spent += 1;
            self.at(user).at = At::Inside(true, !long);
            return Some((QueueState::Admitted, Some(Event::Straight)));
        }
        let event = if self.people[&user].at == At::Line { Event::Moved } else { Event::Joined };
        self.line.retain(|one| *one != user);
        self.line.push(user);
        self.at(user).at = At::Line;
        Some((QueueState::Waiting, Some(event)))
    }

    fn leave(&mut self, user: i64) -> Left {
        match self.people[&user].at {
            At::Line => {
                self.line.retain(|one| *one != user);
                self.at(user).at = At::Left;
                Left::Gone
            }
            At::Ready(by_hand, false) => {
                self.uncall(user, by_hand, At::Left);
                Left::Gone
            }
            At::Inside(_, false) | At::Completed => Left::Inside,
            _ => Left::Nothing,
        }
    }

    fn claim(&mut self, user: i64, long: bool) -> bool {
        match self.people[&user].at {
            At::Ready(_, false) => {
                self.at(user).at = At::Inside(true, !long);
                true
            }
            At::Inside(_, false) => true,
            _ => false,
        }
    }

    fn call(&mut self, by_hand: bool, long: bool) -> u32 {
        let mut called = 0;
        while !self.line.is_empty() && self.is_free(by_hand) {
            let user = self.line.remove(0);
            self.at(user).at = At::Ready(by_hand, !long);
            if !by_hand {
                self.spent += 1;
            }
            called += 1;
            if by_hand {
                break;
            }
        }
        called
    }

    fn tick(&mut self, long: bool) -> u32 {
        for user in 1..=USERS {
            match self.people[&user].at {
                At::Ready(by_hand, true) if !self.is_frozen() => self.uncall(user, by_hand, At::Expired),
                At::Inside(_, true) => self.at(user).at = At::Expired,
                _ => {}
            }
        }
        self.call(false, long)
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
                if matches!(person.at, At::Line | At::Ready(..)) {
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
            (None, At::Inside(..)) => (OrderId::new(), person.ticket, 2),
            _ => return None,
        };
        person.order = Some((order, ticket, seq, true));
        person.bought += 1;
        if person.ticket == ticket && !matches!(person.at, At::Ready(..) | At::Line | At::SoldOut(_)) {
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
        let At::Inside(_, is_over) = person.at else { return None };
        person.at = At::Inside(false, is_over);
        Some(news(OrderId::new(), 2, user, person.ticket, Effect::Refused))
    }
}

fn news(order: OrderId, seq: i64, user: i64, ticket: i64, effect: Effect) -> OrderNews {
    OrderNews { order, seq, user: UserId(user), ticket: Ticket(ticket), units: 1, effect }
}

fn span(long: bool) -> i64 {
    if long { LONG_MS } else { 0 }
}

struct Run {
    store: Store,
    product: ProductId,
    model: Model,
    last: i64,
}

impl Run {
    async fn step(&mut self, act: &Act) -> anyhow::Result<()> {
        let (store, product) = (&self.store, self.product);
        match *act {
            Act::Join { user, key, long } => {
                let hash = key.map(|key| [key; 8]);
                let wanted = self.model.join(user, key, long);
                let wanted = wanted.map(|(state, event)| match state {
                    // Whoever walks in for no time at all is told of the admission all the same.
                    QueueState::Expired if event == Some(Event::Straight) => (QueueState::Admitted, event),
                    state => (state, event),
                });
                let got = match store.join(product, UserId(user), hash, span(long)).await?.unwrap() {
                    Joined::Place(standing, event) => Some((standing.state, event)),
                    Joined::AtLimit => None,
                    Joined::Closed => anyhow::bail!("closed"),
                };
                anyhow::ensure!(got == wanted, "join gave {got:?}, not {wanted:?}");
            }
            Act::Leave { user } => {
                let wanted = self.model.leave(user);
                let got = store.leave(product, UserId(user)).await?.unwrap();
                anyhow::ensure!(got == wanted, "leave gave {got:?}, not {wanted:?}");
            }
            Act::Claim { user, long } => {
                let wanted = self.model.claim(user, long);
                let got = store.claim(product, UserId(user), span(long)).await?.unwrap();
                anyhow::ensure!((got != Claimed::NotReady) == wanted, "claim gave {got:?}, not {wanted}");
            }
            Act::Tick { long } => {
                let wanted = self.model.tick(long);
                let got = store.tick(product, span(long), 1_000).await?.unwrap().called;
                anyhow::ensure!(got == wanted, "tick called {got}, not {wanted}");
            }
            Act::Hand { count } => {
                let wanted: u32 = (0..count).map(|_| self.model.call(true, true)).sum();
                let got = store.hand(product, count, LONG_MS).await?.unwrap();
                anyhow::ensure!(got == wanted, "by hand {got}, not {wanted}");
            }
            Act::Decide { available, reserved } => {
                self.model.decide(available, reserved);
                self.last += 1;
                store.decision(product, self.last, [10, available, reserved, 0]).await?;
            }
            Act::Holds { user } => self.order(Model::holds, user).await?,
            Act::Ends { user } => self.order(Model::ends, user).await?,
            Act::Refused { user } => self.order(Model::refused, user).await?,
        }
        self.compare().await
    }

    async fn order(
        &mut self,
        act: fn(&mut Model, i64) -> Option<OrderNews>,
        user: i64,
    ) -> anyhow::Result<()> {
        let Some(news) = act(&mut self.model, user) else { return Ok(()) };
        self.store.order(self.product, &news).await?;
        // News that come twice are no news.
        let again = self.store.order(self.product, &news).await?;
        anyhow::ensure!(!again, "{news:?} came twice");
        Ok(())
    }

    async fn compare(&self) -> anyhow::Result<()> {
        let model = &self.model;
        for user in 1..=USERS {
            let got = self.store.place(self.product, UserId(user)).await?.unwrap();
            let rank = model.line.iter().position(|one| *one == user).map_or(0, |ahead| ahead as u64 + 1);
            // Only the last line that was dissolved is remembered of those who have no record.
            let is_forgotten = matches!(model.people[&user].at, At::SoldOut(round) if round < model.rounds)
                && got.state == QueueState::None;
            let state = if is_forgotten { QueueState::None } else { model.state(user) };
            let wanted = (state, rank, model.line.len() as u64);
            anyhow::ensure!(
                (got.state, got.rank, got.total) == wanted,
                "{user} stands at {got:?}, not {wanted:?}"
            );
            if let Some(admission) = got.admission {
                anyhow::ensure!(admission.ticket.0 == model.people[&user].ticket, "{user} has {admission:?}");
            }
        }
        let room = self.store.room(self.product).await?.unwrap();
        anyhow::ensure!(room.spent == model.spent, "spent {}, not {}", room.spent, model.spent);
        Ok(())
    }
}

#[test]
fn every_trace_of_steps_does_what_the_rules_say() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let config = Redis { redis_url: Secret(testkit::redis_url()), redis_connections: 1 };
    let store = {
        let _inside = runtime.enter();
        Store::new(Connections::open(&config).unwrap())
    };
    let products = AtomicI64::new(1);
    let cases = ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() };
    let trace = (terms(), prop::collection::vec(act(), 1..60));
    let checked = TestRunner::new(cases).run(&trace, |(terms, acts)| {
        let product = ProductId(products.fetch_add(1, Ordering::Relaxed));
        runtime.block_on(async {
            let mut sale = sale_of(u32::try_from(terms.count).unwrap());
            (sale.product_id, sale.purchase_limit) = (product, terms.limit);
            sale.queue.capacity = terms.capacity;
            sale.queue.stock_gate = terms.gate;
            sale.queue.rejoin = terms.rejoin;
            store.product(&sale).await.unwrap();
            let mut run = Run { store: store.clone(), product, model: Model::new(terms), last: 0 };
            for (at, act) in acts.iter().enumerate() {
                run.step(act)
                    .await
                    .map_err(|error| TestCaseError::fail(format!("step {at} {act:?}: {error:#}")))?;
            }
            Ok(())
        })
    });
    checked.unwrap();
}
