//! A room in Redis, and its steps. Every step is one atomic script on Redis's own clock, so that any number of
//! instances may take steps at any moment, without a leader: one typed function here per file in `../lua/`.
//!
//! All keys of a room begin with `room:{<product>}:` and so share one slot.
//!
//! | key | type | holds |
//! |---|---|---|
//! | `meta` | hash | `room`: the facts that steps decide by, as one JSON text (below); for joins, which mostly need no look at it, `door` (until when, or 0), `run` and `zero` (when the presence clock showed 0); `beat`, when the room was last ticked; `sweepAt` and `sweepBegan`, how far and since when a pass over the line is; `seed` and `commitment` of a draw; `message` and `holdText` from the operators; of the product `version`, `seller`, and `opensAt`, `count`, `interval`, `capacity` as the seller wants them; of the stock `last`, `total`, `available`, `reserved`, `sold` |
//! | `line` | sorted set | user → ticket: everybody who waits, away included. The rank is the place in it, the end of the line the largest ticket |
//! | `seen` | string | 4 bytes for each ticket, at 4 times its number: when its holder was last heard of, how, and whether the log says `away` (`../lua/presence.lua`) |
//! | `back` | sorted set | user → ticket: who came back after admissions had passed them, so that they go first. Who has gone since, or has another ticket, is still in it and does not count |
//! | `ready` | sorted set | user → when the turn runs out, by the clock of calls, in ms |
//! | `admitted` | sorted set | user → end of the admission in ms: those inside who have not ordered |
//! | `told` | sorted set | user → ticket: the last line that was dissolved, when nothing was left or the sale ended. Somebody of an earlier one who has no record counts as never having joined |
//! | `who` | hash | user → record (msgpack): `state`, `ticket`, `ends`, `jti`, `epoch`, `hand` (called by hand), `bought` (units), `keys` (hashes of the last two `Idempotency-Key`s, 8 bytes each). Somebody who only ever waited, and sent no key, has none |
//! | `orders` | hash | order → highest `seq` seen and units that count (msgpack), so that old news change nothing |
//! | `log` | stream | one entry per step, fields as in [`common::wire::queue::Step`], values as text. The relay takes out what the topic has |
//! | `tickets` | number | the last ticket |
//!
//! `meta.room` is `status` (live, soldOut, closed), `closesAt`, `limit`, `rejoin`, `capacity`, `capBy`, `capAt`,
//! `adaptive`, `gate`; the timetable `opensAt`, `count`, `interval`, `first` (number of its first interval: numbers go on
//! when a timetable is replaced), the interval `k` that was spent from last and how much was `spent`, the timetable to
//! come `nextAt`, `nextCount`, `nextInterval`, who `stopped` it and who `held` it; `available`; `soldUpTo` and
//! `closedUpTo`, the last tickets that a round's end and the sale's end ended; `cursor`, the last ticket that admissions
//! have looked at; `order` (fifo, draw), `isCommitted`, `drawUpTo` (the last ticket that takes part in the draw) and
//! `drawn` (it is over); the lengths `awayAfter`, `grace`, `claimLive`, `claimPoll`, `admission`; the `epoch` of access
//! tokens; the `run` of Redis that took the last step; `bornAt`. Times are ms since 1970, lengths ms.
//!
//! Two clocks stand still at times. The clock of those waiting counts from `bornAt`, less `gap`: all the time in which
//! nobody served the room. The clock of calls lags by `lag`, the same time and that in which all units were reserved,
//! since `frozenAt` where they are.
//!
//! A dissolved line and the ended calls and admissions are not written to anybody's record: a record that says
//! `ready` with a ticket up to `soldUpTo` means sold out. So 100,000 people are told in one step that costs the same
//! as one person's.
//!
//! All keys of a room end a day after its sale.
//!
//! Outside of rooms, the set `rooms` names those that have or had a line: the rooms to tick.

mod answer;
mod follow;

use std::sync::Arc;

use anyhow::Context as _;
use common::draw;
use common::redis::{Connections, Script, Value};
use common::wire::id::{OrderId, ProductId, Ticket, UserId};
use common::wire::product::{ProductSnapshot, Rejoin, StartOrder};
use uuid::Uuid;

pub use answer::{Admission, Claimed, Event, Joined, Left, Room, Standing, Status, Ticked};
pub(crate) use follow::{Looked, Waiting};
pub use operate::{After, Inside, Operated};

use super::rules::{self, Effect};
use crate::relay::logs::Logs;
use answer::Reply;

/// The last moment that a room knows, in ms since 1970: the year 2286. Redis writes numbers of up to 14 digits in full.
const TIME_MAX_MS: i64 = 9_999_999_999_999;
/// Names the rooms to tick.
const ROOMS: &str = "rooms";
/// The parts of a room's key, in the order of KEYS in `lua/head.lua`.
const PARTS: [&str; 11] =
    ["meta", "line", "ready", "admitted", "told", "who", "orders", "log", "tickets", "seen", "back"];
/// Shoppers that one script registers at most: some 300 µs.
pub const JOIN_MAX: usize = 64;
/// Orders that one step takes at most: Redis is held for a millisecond or so (11 to 13 µs per order, all of its work).
pub const ORDERS_MAX: usize = 100;
/// Tickets that one script hears of at most: some milliseconds, where all of them were away.
const PRESENT_MAX: usize = 500;
/// People that one call by hand looks at, at most, where many are away.
const LOOKED_MAX: u32 = 5_000;

/// A script from its parts in `lua/`.
macro_rules! script {
    ($($part:literal),+) => {
        Script::new(concat!($(include_str!(concat!("../lua/", $part, ".lua"))),+))
    };
}

// After the macro, which it uses.
mod operate;

#[derive(Debug)]
struct Scripts {
    join: Script,
    present: Script,
    place: Script,
    leave: Script,
    claim: Script,
    tick: Script,
    hand: Script,
    schedule: Script,
    product: Script,
    decision: Script,
    orders: Script,
}

/// The rooms' store. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Store {
    redis: Connections,
    /// For long reads.
    beside: Connections,
    scripts: Arc<Scripts>,
    operator: Arc<operate::Scripts>,
    logs: Logs,
}

/// Who wants a room changed.
#[derive(Debug, Clone)]
pub struct Asker {
    /// The account.
    pub user: UserId,
    /// ADMIN or MANAGER: may change every room, and undo what staff did.
    pub is_staff: bool,
    /// Why, for the room's log.
    pub why: Option<String>,
}

/// Somebody who registers.
#[derive(Debug, Clone, Copy)]
pub struct Joiner {
    /// Who.
    pub user: UserId,
    /// The hash of the request's `Idempotency-Key`.
    pub key: Option<[u8; 8]>,
}

/// What became of a shopper's order of one product.
#[derive(Debug, Clone, Copy)]
pub struct OrderNews {
    /// The order.
    pub order: OrderId,
    /// Rises with every news of it.
    pub seq: i64,
    /// The buyer.
    pub user: UserId,
    /// The ticket it was placed with.
    pub ticket: Ticket,
    /// Units of this product.
    pub units: u32,
    /// What it means for the room.
    pub effect: Effect,
}

impl Store {
    /// A store behind these connections.
    #[must_use]
    pub fn new(redis: Connections) -> Self {
        let scripts = Scripts {
            join: script!("head", "rush", "lib", "people", "presence", "join"),
            present: script!("head", "lib", "people", "presence", "present"),
            place: script!("head", "lib", "people", "place"),
            leave: script!("head", "lib", "people", "leave"),
            claim: script!("head", "lib", "people", "claim"),
            tick: script!("head", "lib", "people", "presence", "calls", "sweep", "draw", "tick"),
            hand: script!("head", "lib", "people", "presence", "calls", "hand"),
            schedule: script!("head", "lib", "people", "operator", "timetable", "schedule"),
            product: script!("head", "lib", "people", "timetable", "stock", "product"),
            decision: script!("head", "lib", "people", "stock", "decision"),
            orders: script!("head", "lib", "people", "orders"),
        };
        Self {
            logs: Logs::new(redis.clone()),
            beside: redis.beside(),
            redis,
            scripts: Arc::new(scripts),
            operator: Arc::new(operate::Scripts::new()),
        }
    }

    /// Registers shoppers, in their order, at most [`JOIN_MAX`]. `None`: the product is not known.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn join(&self, product: ProductId, people: &[Joiner]) -> anyhow::Result<Option<Vec<Joined>>> {
        let of = |person: &Joiner| {
            let key = person.key.map_or(Value::from(""), |hash| Value::from(hash.as_slice()));
            [person.user.0.into(), key, new_jti()]
        };
        let args = people.iter().flat_map(of).collect();
        let joined = self.step(&self.scripts.join, product, args).await?.joined()?;
        // A room that is closed answers all of them at once.
        Ok(joined.map(|all| if all.is_empty() { vec![Joined::Closed; people.len()] } else { all }))
    }

    /// Says who is there of those who wait with these tickets: by an open stream, or because they asked. Other tickets
    /// change nothing.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn present(&self, product: ProductId, live: bool, tickets: &[Ticket]) -> anyhow::Result<()> {
        for some in tickets.chunks(PRESENT_MAX) {
            let way = Value::from(if live { "live" } else { "poll" });
            let args = [way].into_iter().chain(some.iter().map(|ticket| ticket.0.into())).collect();
            self.step(&self.scripts.present, product, args).await?;
        }
        Ok(())
    }

    /// Where a shopper stands. `None`: the product is not known.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn place(&self, product: ProductId, user: UserId) -> anyhow::Result<Option<Standing>> {
        self.step(&self.scripts.place, product, vec![user.0.into()]).await?.standing()
    }

    /// Takes a shopper out of the line, or gives up the turn. `None`: the product is not known.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn leave(&self, product: ProductId, user: UserId) -> anyhow::Result<Option<Left>> {
        self.step(&self.scripts.leave, product, vec![user.0.into()]).await?.left()
    }

    /// Lets a shopper in whose turn it is; again, it is the same right. `None`: the product is not known.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn claim(&self, product: ProductId, user: UserId) -> anyhow::Result<Option<Claimed>> {
        self.step(&self.scripts.claim, product, vec![user.0.into(), new_jti()]).await?.claimed()
    }

    /// Lets time pass in a room, for `most` people of each kind. `None`: the product is not known.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn tick(&self, product: ProductId, most: u32) -> anyhow::Result<Option<Ticked>> {
        self.step(&self.scripts.tick, product, vec![most.into()]).await?.ticked()
    }

    /// Calls the next `most` of those who are there by hand and says how many, after a look at `LOOKED_MAX` at most.
    /// `None`: the product is not known.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn hand(&self, product: ProductId, asker: &Asker, most: u32) -> anyhow::Result<Option<u32>> {
        let why = asker.why.as_deref().unwrap_or_default();
        let args = vec![most.into(), LOOKED_MAX.into(), asker.user.0.into(), why.into()];
        self.step(&self.scripts.hand, product, args).await?.called()
    }

    /// Takes a snapshot of a product; the first one makes its room. Says whether it was new.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn product(&self, snapshot: &ProductSnapshot) -> anyhow::Result<bool> {
        let (policy, product) = (&snapshot.queue, snapshot.product_id);
        let closes_at = if snapshot.deleted { 0 } else { snapshot.sale_end_time.timestamp_millis() };
        let within = |ms: i64| Value::from(ms.clamp(0, TIME_MAX_MS));
        let ms = |seconds: u32| Value::from(i64::from(seconds) * 1_000);
        let seed = draw::new_seed();
        let args = vec![
            snapshot.version.into(),
            snapshot.seller_id.0.into(),
            within(rules::opens_at_ms(snapshot)),
            within(closes_at),
            snapshot.purchase_limit.into(),
            policy.count.into(),
            ms(policy.interval_s),
            policy.capacity.map_or(Value::from(""), Value::from),
            policy.stock_gate.map_or(Value::from(""), |gate| Value::from(gate.to_string())),
            match policy.rejoin {
                Rejoin::Back => "back".into(),
                Rejoin::Keep => "keep".into(),
            },
            snapshot.changed_by.0.into(),
            match policy.start_order {
                StartOrder::Fifo => "fifo".into(),
                StartOrder::Draw => "draw".into(),
            },
            ms(policy.away_after_s),
            ms(policy.grace_s),
            ms(policy.claim_s),
            ms(policy.claim_poll_s),
            ms(policy.admission_s),
            draw::commitment(&seed).into(),
            seed.into(),
        ];
        self.step(&self.scripts.product, product, args).await?.changed()
    }

    /// Takes a decision of the stock stage: `last` orders decisions, then total, available, reserved and sold units.
    /// Says whether it was new.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn decision(&self, product: ProductId, last: i64, units: [i64; 4]) -> anyhow::Result<bool> {
        let args = [last].into_iter().chain(units).map(Value::from).collect();
        self.step(&self.scripts.decision, product, args).await?.changed()
    }

    /// Takes what became of orders, at most [`ORDERS_MAX`]. Says how many changed something.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn orders(&self, product: ProductId, news: &[OrderNews]) -> anyhow::Result<i64> {
        let of = |news: &OrderNews| -> [Value; 6] {
            [
                news.order.to_string().into(),
                news.seq.into(),
                news.user.0.into(),
                news.ticket.0.into(),
                news.units.into(),
                news.effect.as_str().into(),
            ]
        };
        self.step(&self.scripts.orders, product, news.iter().flat_map(of).collect()).await?.number(0)
    }

    /// How a room is, or `None` where its product is not known.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn room(&self, product: ProductId) -> anyhow::Result<Option<Room>> {
        let [meta, ..] = keys(product);
        let text = self.redis.hash_field(&meta, "room").await?;
        text.map(|text| serde_json::from_str(&text).context("a room's facts")).transpose()
    }

    /// The rooms to tick.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn rooms(&self) -> anyhow::Result<Vec<ProductId>> {
        let names = self.redis.members(ROOMS).await?;
        Ok(names.into_iter().map(ProductId).collect())
    }

    /// Puts a room on the list of those to tick. Must come before its first ticket.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn enlist(&self, product: ProductId) -> anyhow::Result<()> {
        Ok(self.redis.add_member(ROOMS, product.0).await?)
    }

    /// Takes a closed room off that list.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn delist(&self, product: ProductId) -> anyhow::Result<()> {
        Ok(self.redis.remove_member(ROOMS, product.0).await?)
    }

    /// Names Redis's present run.
    pub(crate) async fn run_id(&self) -> anyhow::Result<String> {
        Ok(self.redis.run_id().await?)
    }

    /// The rooms' logs, for the relay.
    pub(crate) fn logs(&self) -> &Logs {
        &self.logs
    }

    async fn step(&self, script: &Script, product: ProductId, args: Vec<Value>) -> anyhow::Result<Reply> {
        self.step_with(script, product, keys(product).into(), args).await
    }

    /// A step that touches keys beside the room's.
    async fn step_with(
        &self,
        script: &Script,
        product: ProductId,
        keys: Vec<String>,
        args: Vec<Value>,
    ) -> anyhow::Result<Reply> {
        self.logs.announce(product).await?;
        let reply = script.run::<Value>(&self.redis, keys, args).await;
        // Also when the answer was lost: the step may have been taken.
        self.logs.stepped(product);
        Ok(Reply(reply?.into_array()))
    }
}

fn keys(product: ProductId) -> [String; PARTS.len()] {
    PARTS.map(|part| format!("room:{{{product}}}:{part}"))
}

/// The name of a right that this step may give.
fn new_jti() -> Value {
    Uuid::now_v7().to_string().into()
}
