//! The decision itself: one command at a time over what a partition's writer knows, no I/O, no clock.
//!
//! [`decide`] changes the [`Memory`] and notes in [`Effects`] what a journal must hold so that the same memory can be
//! loaded from it. A command that was decided before gives the same answer and notes nothing; the exception is a
//! refused reserve, which leaves no trace and is decided anew. That is harmless: whoever got the first answer no
//! longer waits for this attempt and releases it.

mod effects;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use common::wire::Time;
use common::wire::event::{Adjust, Decision, Outcome, Refusal, Reserve, Settle, StockCommand, Terms};
use common::wire::id::{OrderId, ProductId, UserId};
use uuid::Uuid;

pub use effects::{Adjusted, Change, Effects, HoldChange};

/// Units of one shopper and product at most: the highest purchase limit, and the width of the slots.
pub const LIMIT_MAX: u32 = 100;

/// What the writer of one partition knows.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Memory {
    /// Every sale whose commands this partition carries.
    pub sales: HashMap<ProductId, Sale>,
}

/// One product's sale.
#[derive(Debug, Clone, PartialEq)]
pub struct Sale {
    /// The terms of the newest version seen.
    pub terms: Bounds,
    /// Where the units are.
    pub counts: Counts,
    /// Slots that each shopper's live reservations occupy, one bit each.
    pub slots: HashMap<UserId, u128>,
    /// Every reservation ever made, by order and attempt.
    pub holds: HashMap<(OrderId, i32), Hold>,
    /// Adjustments that were decided.
    pub adjustments: HashSet<Uuid>,
}

/// What a reserve is measured against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Older versions change nothing.
    pub version: i64,
    /// What an order must have seen.
    pub price_version: i64,
    /// Units per shopper.
    pub limit: u32,
    /// First moment of the sale.
    pub opens_at: Time,
    /// First moment after it.
    pub closes_at: Time,
    /// Who set them.
    pub by: UserId,
}

/// Where a sale's units are; `available + reserved + sold = total` at all times.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Ever given to the sale.
    pub total: i64,
    /// Can be reserved.
    pub available: i64,
    /// Held by orders.
    pub reserved: i64,
    /// Paid.
    pub sold: i64,
}

/// One reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// The buyer.
    pub user: UserId,
    /// Its units: the bits of the slots it took. Slot 0 stands for one that never held any.
    pub slots: u128,
    /// What became of it.
    pub state: HoldState,
}

/// What became of a reservation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HoldState {
    /// Units are held.
    Held,
    /// They are paid.
    Confirmed,
    /// They went back before payment.
    Released,
    /// They went back after payment.
    Restocked,
    /// Released before it was reserved: the reserve will be refused.
    Barred,
}

impl HoldState {
    /// As in the table.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Held => "held",
            Self::Confirmed => "confirmed",
            Self::Released => "released",
            Self::Restocked => "restocked",
            Self::Barred => "barred",
        }
    }

    /// The state of that name.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Held, Self::Confirmed, Self::Released, Self::Restocked, Self::Barred]
            .into_iter()
            .find(|state| state.as_str() == text)
    }

    /// Whether its units count against the shopper's limit.
    #[must_use]
    pub fn is_live(self) -> bool {
        matches!(self, Self::Held | Self::Confirmed)
    }
}

impl Hold {
    /// Its units.
    #[must_use]
    pub fn quantity(&self) -> i64 {
        i64::from(self.slots.count_ones())
    }
}

impl Sale {
    /// A sale without reservations.
    #[must_use]
    pub fn new(terms: Bounds, counts: Counts) -> Self {
        // Room for what a writer is about to read back: growing on the way costs it more than the rest.
        let live = usize::try_from(counts.reserved + counts.sold).unwrap_or_default();
        let (slots, holds) = (HashMap::with_capacity(live), HashMap::with_capacity(live));
        Self { terms, counts, slots, holds, adjustments: HashSet::new() }
    }

    /// Puts one stored unit of a reservation back into memory.
    pub fn restore(&mut self, order: OrderId, attempt: i32, unit: Hold) {
        let hold = self.holds.entry((order, attempt)).or_insert(Hold { slots: 0, ..unit });
        hold.slots |= unit.slots;
        if unit.state.is_live() {
            *self.slots.entry(unit.user).or_default() |= unit.slots;
        }
    }
}

impl From<&Terms> for Bounds {
    fn from(terms: &Terms) -> Self {
        Self {
            version: terms.version,
            price_version: terms.price_version,
            limit: terms.purchase_limit,
            opens_at: terms.opens_at,
            closes_at: terms.closes_at,
            by: terms.by,
        }
    }
}

/// Refuses what no journal could hold and no service here sends.
///
/// # Errors
/// Why the command is none.
pub fn check(command: &StockCommand) -> Result<(), &'static str> {
    match command {
        StockCommand::Terms(terms) if !(1..=LIMIT_MAX).contains(&terms.purchase_limit) => {
            Err("purchaseLimit is not between 1 and 100")
        }
        StockCommand::Terms(terms) if terms.stock < 0 => Err("stock is negative"),
        StockCommand::Reserve(reserve) if reserve.quantity == 0 => Err("quantity is 0"),
        _ => Ok(()),
    }
}

/// Decides one command, the record at `offset`.
pub fn decide(memory: &mut Memory, effects: &mut Effects, offset: i64, command: &StockCommand) {
    let product = command.product_id();
    let mut sale = memory.sales.get_mut(&product);
    effects.touch(product, offset, sale.as_deref().map(|sale| sale.counts));
    match (command, &mut sale) {
        (StockCommand::Terms(new), None) => {
            let counts = Counts { total: new.stock, available: new.stock, ..Counts::default() };
            memory.sales.insert(product, Sale::new(new.into(), counts));
            effects.change(product).is_new = true;
        }
        (StockCommand::Terms(new), Some(sale)) => {
            if new.version > sale.terms.version {
                sale.terms = new.into();
                effects.change(product).terms_changed = true;
            }
        }
        (StockCommand::Reserve(wish), sale) => {
            let answer = reserve(sale.as_deref_mut(), effects, offset, wish);
            effects.change(product).decisions.push(Decision {
                order_id: wish.order_id,
                attempt: wish.attempt,
                result: if answer.is_ok() { Outcome::Reserved } else { Outcome::Rejected },
                reason: answer.err(),
            });
        }
        (StockCommand::Adjust(adjust), Some(sale)) => self::adjust(sale, effects, offset, adjust),
        (StockCommand::Confirm(end), Some(sale)) => {
            settle(sale, effects, offset, (end, HoldState::Confirmed))
        }
        (StockCommand::Release(end), Some(sale)) => settle(sale, effects, offset, (end, HoldState::Released)),
        (StockCommand::Restock(end), Some(sale)) => {
            settle(sale, effects, offset, (end, HoldState::Restocked))
        }
        (_, None) => tracing::debug!(product.id = %product, offset, "command for a product without a sale"),
    }
    if let Some(sale) = memory.sales.get(&product) {
        effects.change(product).after = sale.counts;
    }
}

fn reserve(
    sale: Option<&mut Sale>,
    effects: &mut Effects,
    offset: i64,
    wish: &Reserve,
) -> Result<(), Refusal> {
    let sale = sale.ok_or(Refusal::UnknownProduct)?;
    let key = (wish.order_id, wish.attempt);
    if let Some(hold) = sale.holds.get(&key) {
        return if hold.state.is_live() { Ok(()) } else { Err(Refusal::SoldOut) };
    }
    if !(sale.terms.opens_at..sale.terms.closes_at).contains(&wish.at) {
        return Err(Refusal::Closed);
    }
    if wish.price_version != sale.terms.price_version {
        return Err(Refusal::PriceChanged);
    }
    let occupied = sale.slots.get(&wish.user_id).copied().unwrap_or_default();
    if occupied.count_ones().saturating_add(wish.quantity) > sale.terms.limit {
        return Err(Refusal::Limit);
    }
    let quantity = i64::from(wish.quantity);
    if sale.counts.available < quantity {
        return Err(Refusal::SoldOut);
    }
    let hold =
        Hold { user: wish.user_id, slots: lowest_free(occupied, wish.quantity), state: HoldState::Held };
    sale.counts.available -= quantity;
    sale.counts.reserved += quantity;
    sale.slots.insert(wish.user_id, occupied | hold.slots);
    sale.holds.insert(key, hold);
    effects.made(wish.product_id, key, hold, offset);
    Ok(())
}

/// The `quantity` lowest bits that are not set. There are as many below [`LIMIT_MAX`], because the limit was kept.
fn lowest_free(occupied: u128, quantity: u32) -> u128 {
    let mut taken = 0;
    for _ in 0..quantity {
        let free = !(occupied | taken);
        taken |= free & free.wrapping_neg();
    }
    taken
}

/// Confirms, releases or restocks. What does not fit the reservation's state changes nothing: it is a repeat, or it
/// lost a race that the order service decides.
fn settle(sale: &mut Sale, effects: &mut Effects, offset: i64, (end, to): (&Settle, HoldState)) {
    let key = (end.order_id, end.attempt);
    let Some(hold) = sale.holds.get_mut(&key) else {
        if to == HoldState::Released {
            let hold = Hold { user: end.user_id, slots: 1, state: HoldState::Barred };
            sale.holds.insert(key, hold);
            effects.made(end.product_id, key, hold, offset);
            effects.explain(end.product_id, key, &end.reason);
        }
        return;
    };
    let units = hold.quantity();
    let counts = &mut sale.counts;
    match (hold.state, to) {
        (HoldState::Held, HoldState::Confirmed) => {
            counts.reserved -= units;
            counts.sold += units;
        }
        (HoldState::Held, HoldState::Released) => {
            counts.reserved -= units;
            counts.available += units;
        }
        (HoldState::Confirmed, HoldState::Restocked) => {
            counts.sold -= units;
            counts.available += units;
        }
        (from, to) => {
            tracing::debug!(order.id = %end.order_id, attempt = end.attempt, ?from, ?to, "settle changes nothing");
            return;
        }
    }
    hold.state = to;
    if !to.is_live()
        && let Some(occupied) = sale.slots.get_mut(&hold.user)
    {
        *occupied &= !hold.slots;
        if *occupied == 0 {
            sale.slots.remove(&hold.user);
        }
    }
    effects.settled(end.product_id, key, *hold, offset);
    effects.explain(end.product_id, key, &end.reason);
}

fn adjust(sale: &mut Sale, effects: &mut Effects, offset: i64, adjust: &Adjust) {
    if !sale.adjustments.insert(adjust.adjustment_id) {
        return;
    }
    let Counts { total, available, .. } = sale.counts;
    let wanted = total.checked_add(adjust.delta).zip(available.checked_add(adjust.delta));
    let possible = wanted.filter(|(_, available)| *available >= 0);
    if let Some((total, available)) = possible {
        sale.counts = Counts { total, available, ..sale.counts };
    }
    effects.adjustments.push(Adjusted { adjust: adjust.clone(), refused: possible.is_none(), offset });
}
