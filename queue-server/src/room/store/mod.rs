//! A room in Redis, and its steps. Every step is one atomic script on Redis's own clock, so that any number of
//! instances may take steps at any moment, without a leader: one typed function here per file in `../lua/`.
//!
//! All keys of a room begin with `room:{<product>}:` and so share one slot.
//!
//! | key | type | holds |
//! |---|---|---|
//! | `meta` | hash | `room`: the facts that steps decide by, as one JSON text (below); `door`: the sale's end while joins need no look at them, else 0; of the product `version`, `seller`, and `opensAt`, `count`, `interval` as the seller wants them; of the stock `last`, `total`, `available`, `reserved`, `sold` |
//! | `line` | sorted set | user → ticket: everybody who waits. The rank is the place in it, the end of the line the largest ticket |
//! | `ready` | sorted set | user → when the turn runs out, by the clock of calls, in ms |
//! | `admitted` | sorted set | user → end of the admission in ms: those inside who have not ordered |
//! | `told` | sorted set | user → ticket: the last line that was dissolved, when nothing was left or the sale ended. Somebody of an earlier one who has no record counts as never having joined |
//! | `who` | hash | user → record (msgpack): `state`, `ticket`, `ends`, `jti`, `hand` (called by hand), `bought` (units), `keys` (hashes of the last two `Idempotency-Key`s, 8 bytes each). Somebody who only ever waited, and sent no key, has none |
//! | `orders` | hash | order → highest `seq` seen and units that count (msgpack), so that old news change nothing |
//! | `log` | stream | one entry per step, fields as in [`common::wire::queue::Step`], values as text. Never trimmed |
//! | `tickets` | number | the last ticket |
//!
//! `meta.room` is `status` (live, soldOut, closed), `closesAt`, `limit`, `rejoin`, `capacity`, `gate`; the timetable
//! `opensAt`, `count`, `interval`, `first` (number of its first interval: numbers go on when a timetable is replaced),
//! the interval `k` that was spent from last and how much was `spent`, the timetable to come `nextAt`, `nextCount`,
//! `nextInterval`, and who `stopped` it; `available`; `soldUpTo` and `closedUpTo`, the last tickets that a round's end
//! and the sale's end ended; `frozenAt` since when all units are reserved, and the `lag` of the clock of calls, which
//! stands meanwhile. Times are ms since 1970.
//!
//! A dissolved line and the ended calls and admissions are not written to anybody's record: a record that says
//! `ready` with a ticket up to `soldUpTo` means sold out. So 100,000 people are told in one step that costs the same
//! as one person's.
//!
//! Outside of rooms, the set `rooms` names those that have or had a line: the rooms to tick.

mod answer;

use std::sync::Arc;

use anyhow::Context as _;
use common::redis::{Connections, Script, Value};
use common::wire::id::{OrderId, ProductId, Ticket, UserId};
use common::wire::product::{ProductSnapshot, Rejoin};
use uuid::Uuid;

pub use answer::{Admission, Claimed, Event, Joined, Left, Room, Scheduled, Standing, Status, Ticked};

use super::rules::{self, Effect};
use answer::Reply;

/// The last moment that a room knows, in ms since 1970: the year 2286. Redis writes numbers of up to 14 digits in full.
const TIME_MAX_MS: i64 = 9_999_999_999_999;
/// Names the rooms to tick.
const ROOMS: &str = "rooms";
/// The parts of a room's key, in the order of KEYS in `lua/head.lua`.
const PARTS: [&str; 9] = ["meta", "line", "ready", "admitted", "told", "who", "orders", "log", "tickets"];

/// A script from its parts in `lua/`.
macro_rules! script {
    ($($part:literal),+) => {
        Script::new(concat!($(include_str!(concat!("../lua/", $part, ".lua"))),+))
    };
}

#[derive(Debug)]
struct Scripts {
    join: Script,
    place: Script,
    leave: Script,
    claim: Script,
    tick: Script,
    hand: Script,
    schedule: Script,
    product: Script,
    decision: Script,
    order: Script,
}

/// The rooms' store. Clones share its connections.
#[derive(Debug, Clone)]
pub struct Store {
    redis: Connections,
    scripts: Arc<Scripts>,
}

/// Who wants a timetable changed.
#[derive(Debug, Clone, Copy)]
pub struct Asker {
    /// The account.
    pub user: UserId,
    /// ADMIN or MANAGER: may change every room's, and start what staff stopped.
    pub is_staff: bool,
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
            join: script!("head", "rush", "lib", "people", "join"),
            place: script!("head", "lib", "people", "place"),
            leave: script!("head", "lib", "people", "leave"),
            claim: script!("head", "lib", "people", "claim"),
            tick: script!("head", "lib", "people", "tick"),
            hand: script!("head", "lib", "people", "hand"),
            schedule: script!("head", "lib", "people", "timetable", "schedule"),
            product: script!("head", "lib", "people", "timetable", "stock", "product"),
            decision: script!("head", "lib", "people", "stock", "decision"),
            order: script!("head", "lib", "people", "order"),
        };
        Self { redis, scripts: Arc::new(scripts) }
    }

    /// Registers a shopper. `key` is the hash of the request's `Idempotency-Key`. `None`: the product is not known.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn join(
        &self,
        product: ProductId,
        user: UserId,
        key: Option<[u8; 8]>,
        admission_ms: i64,
    ) -> anyhow::Result<Option<Joined>> {
        let key = key.map_or(Value::from(""), |hash| Value::from(hash.as_slice()));
        let args = vec![user.0.into(), key, new_jti(), admission_ms.into()];
        self.step(&self.scripts.join, product, args).await?.joined()
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
    pub async fn claim(
        &self,
        product: ProductId,
        user: UserId,
        admission_ms: i64,
    ) -> anyhow::Result<Option<Claimed>> {
        let args = vec![user.0.into(), new_jti(), admission_ms.into()];
        self.step(&self.scripts.claim, product, args).await?.claimed()
    }

    /// Lets time pass in a room, for `most` people of each kind. `None`: the product is not known.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn tick(&self, product: ProductId, claim_ms: i64, most: u32) -> anyhow::Result<Option<Ticked>> {
        self.step(&self.scripts.tick, product, vec![claim_ms.into(), most.into()]).await?.ticked()
    }

    /// Calls the next ones by hand and says how many. `None`: the product is not known.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn hand(&self, product: ProductId, most: u32, claim_ms: i64) -> anyhow::Result<Option<u32>> {
        self.step(&self.scripts.hand, product, vec![most.into(), claim_ms.into()]).await?.called()
    }

    /// Starts or changes a timetable; without `starts_at` (ms) it begins at the next boundary of the old one. `None`:
    /// the product is not known.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn start(
        &self,
        product: ProductId,
        asker: Asker,
        (count, interval_s): (u32, u32),
        starts_at: Option<i64>,
    ) -> anyhow::Result<Option<Scheduled>> {
        let starts_at = starts_at.map_or(Value::from(""), Value::from);
        let grid = [count.into(), (i64::from(interval_s) * 1_000).into(), starts_at];
        let args = ["start".into(), asker.user.0.into(), i64::from(asker.is_staff).into()];
        self.step(&self.scripts.schedule, product, args.into_iter().chain(grid).collect()).await?.scheduled()
    }

    /// Stops a timetable. `None`: the product is not known.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn stop(&self, product: ProductId, asker: Asker) -> anyhow::Result<Option<Scheduled>> {
        let args = vec!["stop".into(), asker.user.0.into(), i64::from(asker.is_staff).into()];
        self.step(&self.scripts.schedule, product, args).await?.scheduled()
    }

    /// Takes a snapshot of a product; the first one makes its room. Says whether it was new.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn product(&self, snapshot: &ProductSnapshot) -> anyhow::Result<bool> {
        let (policy, product) = (&snapshot.queue, snapshot.product_id);
        let closes_at = if snapshot.deleted { 0 } else { snapshot.sale_end_time.timestamp_millis() };
        let within = |ms: i64| Value::from(ms.clamp(0, TIME_MAX_MS));
        let args = vec![
            snapshot.version.into(),
            snapshot.seller_id.0.into(),
            within(rules::opens_at_ms(snapshot)),
            within(closes_at),
            snapshot.purchase_limit.into(),
            policy.count.into(),
            (i64::from(policy.interval_s) * 1_000).into(),
            policy.capacity.map_or(Value::from(""), Value::from),
            policy.stock_gate.map_or(Value::from(""), |gate| Value::from(gate.to_string())),
            match policy.rejoin {
                Rejoin::Back => "back".into(),
                Rejoin::Keep => "keep".into(),
            },
            snapshot.changed_by.0.into(),
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

    /// Takes what became of an order. Says whether it changed something.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn order(&self, product: ProductId, news: &OrderNews) -> anyhow::Result<bool> {
        let args = vec![
            news.order.to_string().into(),
            news.seq.into(),
            news.user.0.into(),
            news.ticket.0.into(),
            news.units.into(),
            news.effect.as_str().into(),
        ];
        self.step(&self.scripts.order, product, args).await?.changed()
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

    async fn step(&self, script: &Script, product: ProductId, args: Vec<Value>) -> anyhow::Result<Reply> {
        let reply: Value = script.run(&self.redis, keys(product).into(), args).await?;
        Ok(Reply(reply.into_array()))
    }
}

fn keys(product: ProductId) -> [String; PARTS.len()] {
    PARTS.map(|part| format!("room:{{{product}}}:{part}"))
}

/// The name of a right that this step may give.
fn new_jti() -> Value {
    Uuid::now_v7().to_string().into()
}
