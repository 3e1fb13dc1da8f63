//! The steps of sellers and staff. In a room's `meta` these are theirs:
//!
//! - of `room`: who `held` it (staff, seller); how the capacity follows the load (`adaptive`, the wire's [`Adaptive`]),
//!   who set it by hand (`capBy`) and when it was set, by hand or by the load (`capAt`); the `epoch` of access tokens;
//! - `holdText` and `message`, what those waiting are told.
//!
//! The epoch stands in `pass-epoch:{<product>}` as well, and the ids of single rights that were taken back in the set
//! `pass-denied:{<product>}`, where gateway and order service read them. Both end by themselves, after the tokens.
//!
//! [`Adaptive`]: common::wire::room::Adaptive

use anyhow::{Context as _, bail};
use common::redis::{Script, Value};
use common::wire::id::{ProductId, Ticket, UserId};
use common::wire::product::StartOrder;
use common::wire::queue::{QueueState, ScheduleView};
use common::wire::room::{CapacityView, DrawView, Hand, HoldView, Insider, MessageView, RevokedView, Waiter};

use super::answer::Reply;
use super::{Asker, Room, Store, keys};
use crate::adapt::EVERY_MS;
use crate::room::rules;

#[derive(Debug)]
pub(super) struct Scripts {
    hold: Script,
    message: Script,
    capacity: Script,
    adapt: Script,
    revoke: Script,
    list: Script,
}

/// What came of a step that a seller or staff asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum Operated<T> {
    /// How it is now.
    Done(T),
    /// Another seller's product.
    Foreign,
    /// Staff did it, and must undo it.
    ByStaff,
    /// The sale is over.
    Closed,
}

/// Whom a list shows next: those after this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct After {
    /// The one is called, not inside.
    pub is_ready: bool,
    /// By which the list is ordered, in ms.
    pub score: i64,
    /// Who.
    pub user: UserId,
}

/// One who was called or is inside, with the place in the list.
pub type Inside = (Insider, After);

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            hold: script!("head", "lib", "people", "operator", "hold"),
            message: script!("head", "lib", "people", "operator", "message"),
            capacity: script!("head", "lib", "people", "operator", "capacity"),
            adapt: script!("head", "lib", "adapt"),
            revoke: script!("head", "lib", "people", "operator", "revoke"),
            list: script!("head", "lib", "people", "presence", "operator", "list"),
        }
    }
}

/// What was asked for, with nothing said about it.
type Answer<T> = anyhow::Result<Option<Operated<T>>>;

impl Store {
    /// Starts or changes a timetable of `count` admissions every so many seconds; without `starts_at` (ms) it begins at
    /// the next boundary of the old one. `None`: the product is not known.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn start(
        &self,
        product: ProductId,
        asker: &Asker,
        (count, interval_s): (u32, u32),
        starts_at: Option<i64>,
    ) -> Answer<ScheduleView> {
        let starts_at = starts_at.map_or(Value::from(""), Value::from);
        let args = [Value::from("start"), count.into(), (i64::from(interval_s) * 1_000).into(), starts_at];
        self.operate(&self.scripts.schedule, product, asker, args).await?.operated(Reply::timetable)
    }

    /// Stops a timetable. `None`: the product is not known.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn stop(&self, product: ProductId, asker: &Asker) -> Answer<ScheduleView> {
        self.operate(&self.scripts.schedule, product, asker, [Value::from("stop")])
            .await?
            .operated(Reply::timetable)
    }

    /// Pauses admissions and tells those waiting `reason`. `None`: the product is not known.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn hold(&self, product: ProductId, asker: &Asker, reason: Option<&str>) -> Answer<HoldView> {
        let args = [Value::from("hold"), reason.unwrap_or_default().into()];
        self.operate(&self.operator.hold, product, asker, args).await?.operated(Reply::held)
    }

    /// Ends a pause. `None`: the product is not known.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn resume(&self, product: ProductId, asker: &Asker) -> Answer<HoldView> {
        let args = [Value::from("resume"), "".into()];
        self.operate(&self.operator.hold, product, asker, args).await?.operated(Reply::held)
    }

    /// Tells everybody waiting something, or nothing more. `None`: the product is not known.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn message(
        &self,
        product: ProductId,
        asker: &Asker,
        text: Option<&str>,
    ) -> Answer<MessageView> {
        let args = [text.unwrap_or_default().into()];
        let reply = self.operate(&self.operator.message, product, asker, args).await?;
        reply.operated(|_| Ok(MessageView { text: text.map(str::to_owned) }))
    }

    /// Sets how many may be inside at once, and whether that follows the load. `None`: the product is not known.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn capacity(
        &self,
        product: ProductId,
        asker: &Asker,
        wanted: CapacityView,
    ) -> Answer<CapacityView> {
        let adaptive = wanted.adaptive.as_ref().map(serde_json::to_string).transpose()?;
        let args =
            [wanted.capacity.map_or(Value::from(""), Value::from), adaptive.unwrap_or_default().into()];
        let reply = self.operate(&self.operator.capacity, product, asker, args).await?;
        reply.operated(|_| Ok(wanted))
    }

    /// Moves a capacity that follows the load, as decided with what was set at `set_at` (ms). Says whether it moved: at
    /// most once per `EVERY_MS`, whoever asks.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn adapt(
        &self,
        product: ProductId,
        set_at: i64,
        capacity: u32,
        why: &str,
    ) -> anyhow::Result<bool> {
        let args = vec![set_at.into(), capacity.into(), why.into(), EVERY_MS.into()];
        self.step(&self.operator.adapt, product, args).await?.changed()
    }

    /// Takes the access tokens of one shopper or of all back; nothing inside: the shopper holds none. `None`: the product
    /// is not known.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn revoke(
        &self,
        product: ProductId,
        asker: &Asker,
        user: Option<UserId>,
    ) -> Answer<Option<RevokedView>> {
        let mut keys = keys(product).to_vec();
        keys.extend(["pass-epoch", "pass-denied"].map(|name| format!("{name}:{{{product}}}")));
        let mut args = opening(asker);
        args.push(user.map_or(Value::from(""), |user| user.0.into()));
        self.step_with(&self.operator.revoke, product, keys, args).await?.operated(Reply::revoked)
    }

    /// The line from the ticket after `after` on, `most` people at most, and whether there are more. `None`: the product
    /// is not known.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn waiting(
        &self,
        product: ProductId,
        asker: &Asker,
        (most, after): (u32, Ticket),
    ) -> Answer<(Vec<Waiter>, bool)> {
        let args = [most.into(), Value::from("waiting"), after.0.into()];
        self.operate(&self.operator.list, product, asker, args).await?.operated(Reply::waiters)
    }

    /// Those who were called, then those inside, after `after`, `most` people at most, and whether there are more.
    /// `None`: the product is not known.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn inside(
        &self,
        product: ProductId,
        asker: &Asker,
        (most, after): (u32, Option<After>),
    ) -> Answer<(Vec<Inside>, bool)> {
        let (stage, score, user) = after.map_or(("r", 0, Value::from("")), |after| {
            (if after.is_ready { "r" } else { "a" }, after.score, after.user.0.to_string().into())
        });
        let args = [most.into(), Value::from("admitted"), stage.into(), score.into(), user];
        self.operate(&self.operator.list, product, asker, args).await?.operated(Reply::inside)
    }

    /// Who sells a product. `None`: the product is not known.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn seller(&self, product: ProductId) -> anyhow::Result<Option<UserId>> {
        let [meta, ..] = keys(product);
        let seller = self.redis.hash_field(&meta, "seller").await?;
        seller.map(|seller| seller.parse().map(UserId).context("a product's seller")).transpose()
    }

    /// The draw of a room whose line is ordered by lot; nothing inside: it is not. `None`: the product is not known.
    ///
    /// # Errors
    /// When Redis does not answer.
    pub async fn draw(&self, product: ProductId) -> anyhow::Result<Option<Option<DrawView>>> {
        let Some(Room { order, draw_up_to: tickets, .. }) = self.room(product).await? else {
            return Ok(None);
        };
        if order != StartOrder::Draw {
            return Ok(Some(None));
        }
        let [meta, ..] = keys(product);
        let commitment =
            self.redis.hash_field(&meta, "commitment").await?.context("a draw without a commitment")?;
        // Nobody must know it before.
        let seed = match tickets {
            Some(_) => self.redis.hash_field(&meta, "seed").await?,
            None => None,
        };
        Ok(Some(Some(DrawView { product_id: product, start_order: order, commitment, seed, tickets })))
    }

    async fn operate<const N: usize>(
        &self,
        script: &Script,
        product: ProductId,
        asker: &Asker,
        args: [Value; N],
    ) -> anyhow::Result<Reply> {
        let args = opening(asker).into_iter().chain(args).collect();
        self.step(script, product, args).await
    }
}

/// The arguments of `lua/operator.lua`.
fn opening(asker: &Asker) -> Vec<Value> {
    let why = asker.why.as_deref().unwrap_or_default();
    vec![asker.user.0.into(), i64::from(asker.is_staff).into(), why.into()]
}

impl Reply {
    fn operated<T>(&self, done: impl FnOnce(&Self) -> anyhow::Result<T>) -> Answer<T> {
        Ok(Some(match self.word(0)?.as_str() {
            "unknown" => return Ok(None),
            "foreign" => Operated::Foreign,
            "staff" => Operated::ByStaff,
            "closed" => Operated::Closed,
            _ => Operated::Done(done(self)?),
        }))
    }

    fn timetable(&self) -> anyhow::Result<ScheduleView> {
        Ok(ScheduleView {
            count: self.number(1)?.try_into()?,
            interval_s: (self.number(2)? / 1_000).try_into()?,
            starts_at: rules::time(self.number(3)?),
            stopped: self.number(4)? == 1,
        })
    }

    fn held(&self) -> anyhow::Result<HoldView> {
        let by = match self.word(1)?.as_str() {
            "" => None,
            "staff" => Some(Hand::Staff),
            "seller" => Some(Hand::Seller),
            other => bail!("a pause by {other}"),
        };
        let reason = Some(self.word(2)?).filter(|reason| !reason.is_empty());
        Ok(HoldView { held: by.is_some(), by, reason })
    }

    fn revoked(&self) -> anyhow::Result<Option<RevokedView>> {
        if self.word(0)? == "none" {
            return Ok(None);
        }
        Ok(Some(RevokedView { revoked: self.number(1)?.try_into()?, epoch: self.number(2)? }))
    }

    fn waiters(&self) -> anyhow::Result<(Vec<Waiter>, bool)> {
        let waiter = |row: &[i64; 4]| {
            let [user, ticket, rank, away] = *row;
            let rank = u64::try_from(rank).ok().filter(|rank| *rank > 0);
            Waiter { user_id: UserId(user), ticket: Ticket(ticket), rank, away: away == 1 }
        };
        Ok((self.rows()?.iter().map(waiter).collect(), self.number(1)? == 1))
    }

    fn inside(&self) -> anyhow::Result<(Vec<Inside>, bool)> {
        let rows = self.0.get(2..).unwrap_or_default().chunks(6);
        let inside = rows.map(|row| {
            let number = |at: usize| row.get(at).and_then(Value::as_i64).context("a row of a list is short");
            let is_ready = row.get(2).and_then(Value::as_string).is_some_and(|state| state == "r");
            let user_id = UserId(number(0)?);
            let insider = Insider {
                user_id,
                ticket: Ticket(number(1)?),
                state: if is_ready { QueueState::Ready } else { QueueState::Admitted },
                until: rules::time(number(3)?),
                by_hand: number(4)? == 1,
            };
            Ok((insider, After { is_ready, score: number(5)?, user: user_id }))
        });
        Ok((inside.collect::<anyhow::Result<_>>()?, self.number(1)? == 1))
    }

    /// The numbers after the first two, `N` in a row.
    fn rows<const N: usize>(&self) -> anyhow::Result<Vec<[i64; N]>> {
        let numbers = (2..self.0.len()).map(|at| self.number(at)).collect::<anyhow::Result<Vec<_>>>()?;
        numbers.chunks(N).map(|row| row.try_into().context("a row of a list is short")).collect()
    }
}
