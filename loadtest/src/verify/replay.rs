//! The log of commands, decided once more from its beginning: by the rules alone and apart from the service's code, so
//! that a mistake there is none here. What comes out must be what the stock stage decided and stored.

use std::collections::{BTreeMap, HashMap, HashSet};

use common::wire::Time;
use common::wire::event::{Outcome, Refusal, Reserve, StockCommand, Terms};
use common::wire::id::{OrderId, UserId};
use uuid::Uuid;

use super::stock::Units;

/// What is answered to a reserve.
pub(super) type Answer = (Outcome, Option<Refusal>);

/// The answer that the log asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Expected {
    pub(super) offset: i64,
    pub(super) order: OrderId,
    pub(super) attempt: i32,
    pub(super) answer: Answer,
    /// It took units, which a repeat does not.
    pub(super) moves: bool,
}

/// One product's sale, as far as the log was replayed.
#[derive(Debug, Default)]
pub(super) struct Sale {
    terms: Option<Terms>,
    /// The highest purchase limit that it ever had.
    pub(super) limit_max: u32,
    total: i64,
    available: i64,
    holds: HashMap<(OrderId, i32), Hold>,
    live: HashMap<UserId, u32>,
    adjusted: HashSet<Uuid>,
    /// Answers, in the order of the log.
    pub(super) expected: Vec<Expected>,
}

#[derive(Debug)]
struct Hold {
    user: UserId,
    quantity: u32,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Held,
    Confirmed,
    Ended,
}

impl Sale {
    /// Takes the command at `offset`.
    pub(super) fn take(&mut self, offset: i64, command: &StockCommand) {
        match command {
            StockCommand::Terms(terms) => self.terms(terms),
            StockCommand::Reserve(wish) => {
                let available = self.available;
                let refused = self.reserve(wish).err();
                let result = if refused.is_some() { Outcome::Rejected } else { Outcome::Reserved };
                let (order, attempt, moves) = (wish.order_id, wish.attempt, self.available != available);
                self.expected.push(Expected { offset, order, attempt, answer: (result, refused), moves });
            }
            StockCommand::Confirm(end) => {
                self.settle((end.order_id, end.attempt), State::Held, State::Confirmed)
            }
            StockCommand::Release(end) if self.terms.is_some() => {
                let barred = Hold { user: end.user_id, quantity: 0, state: State::Ended };
                self.holds.entry((end.order_id, end.attempt)).or_insert(barred);
                self.settle((end.order_id, end.attempt), State::Held, State::Ended);
            }
            StockCommand::Restock(end) => {
                self.settle((end.order_id, end.attempt), State::Confirmed, State::Ended);
            }
            StockCommand::Adjust(adjust) if self.terms.is_some() => {
                let possible = self.available.checked_add(adjust.delta).is_some_and(|left| left >= 0);
                if self.adjusted.insert(adjust.adjustment_id) && possible {
                    self.total += adjust.delta;
                    self.available += adjust.delta;
                }
            }
            StockCommand::Release(_) | StockCommand::Adjust(_) => {}
        }
    }

    fn terms(&mut self, terms: &Terms) {
        match &self.terms {
            None => (self.total, self.available) = (terms.stock, terms.stock),
            Some(known) if known.version >= terms.version => return,
            Some(_) => {}
        }
        self.limit_max = self.limit_max.max(terms.purchase_limit);
        self.terms = Some(terms.clone());
    }

    fn reserve(&mut self, wish: &Reserve) -> Result<(), Refusal> {
        let terms = self.terms.as_ref().ok_or(Refusal::UnknownProduct)?;
        if let Some(hold) = self.holds.get(&(wish.order_id, wish.attempt)) {
            return if hold.state == State::Ended { Err(Refusal::SoldOut) } else { Ok(()) };
        }
        let is_open = |at: Time| terms.opens_at <= at && at < terms.closes_at;
        let live = self.live.entry(wish.user_id).or_default();
        if !is_open(wish.at) {
            return Err(Refusal::Closed);
        } else if wish.price_version != terms.price_version {
            return Err(Refusal::PriceChanged);
        } else if live.saturating_add(wish.quantity) > terms.purchase_limit {
            return Err(Refusal::Limit);
        } else if self.available < i64::from(wish.quantity) {
            return Err(Refusal::SoldOut);
        }
        *live += wish.quantity;
        self.available -= i64::from(wish.quantity);
        let hold = Hold { user: wish.user_id, quantity: wish.quantity, state: State::Held };
        self.holds.insert((wish.order_id, wish.attempt), hold);
        Ok(())
    }

    fn settle(&mut self, key: (OrderId, i32), from: State, to: State) {
        let Some(hold) = self.holds.get_mut(&key).filter(|hold| hold.state == from) else { return };
        hold.state = to;
        if to == State::Ended {
            self.available += i64::from(hold.quantity);
            *self.live.entry(hold.user).or_default() -= hold.quantity;
        }
    }

    /// Live units by order.
    pub(super) fn units(&self) -> BTreeMap<OrderId, Units> {
        let mut units: BTreeMap<OrderId, Units> = BTreeMap::new();
        for ((order, _), hold) in &self.holds {
            let of_order = units.entry(*order).or_default();
            match hold.state {
                State::Held => of_order.held += i64::from(hold.quantity),
                State::Confirmed => of_order.confirmed += i64::from(hold.quantity),
                State::Ended => {}
            }
        }
        units
    }

    /// Total, available, reserved, sold; nothing before its registration.
    pub(super) fn counts(&self) -> Option<[i64; 4]> {
        self.terms.as_ref()?;
        let units = self.units();
        let (held, confirmed) =
            units.values().fold((0, 0), |sum, one| (sum.0 + one.held, sum.1 + one.confirmed));
        Some([self.total, self.available, held, confirmed])
    }
}

#[cfg(test)]
mod tests {
    use common::wire::event::{Adjust, Settle};
    use common::wire::id::ProductId;

    use super::*;

    const PRODUCT: ProductId = ProductId(1);

    fn at(s: i64) -> Time {
        chrono::DateTime::from_timestamp(s, 0).unwrap()
    }

    fn terms(version: i64, purchase_limit: u32, stock: i64) -> StockCommand {
        let (opens_at, closes_at, by) = (at(10), at(100), UserId(9));
        let (product_id, price_version) = (PRODUCT, version);
        StockCommand::Terms(Terms {
            product_id,
            version,
            price_version,
            purchase_limit,
            opens_at,
            closes_at,
            stock,
            by,
        })
    }

    fn wish(order: u128, user: i64, quantity: u32) -> Reserve {
        let (order_id, user_id) = (OrderId(Uuid::from_u128(order)), UserId(user));
        Reserve { product_id: PRODUCT, order_id, attempt: 1, user_id, quantity, price_version: 1, at: at(50) }
    }

    fn end(order: u128) -> Settle {
        let order_id = OrderId(Uuid::from_u128(order));
        let reason = String::new();
        Settle { product_id: PRODUCT, order_id, attempt: 1, user_id: UserId(1), reason, at: at(60) }
    }

    fn replayed(commands: &[StockCommand]) -> (Vec<Option<Refusal>>, Option<[i64; 4]>) {
        let mut sale = Sale::default();
        for (command, offset) in commands.iter().zip(0..) {
            sale.take(offset, command);
        }
        (sale.expected.iter().map(|one| one.answer.1).collect(), sale.counts())
    }

    #[test]
    fn units_are_given_in_the_logs_order_and_refused_for_their_reason() {
        let reserve = StockCommand::Reserve;
        let early = Reserve { at: at(9), ..wish(5, 5, 1) };
        let late = Reserve { at: at(100), ..wish(6, 6, 1) };
        let dear = Reserve { price_version: 2, ..wish(7, 7, 1) };
        let commands = [
            reserve(wish(1, 1, 1)),
            terms(1, 2, 3),
            reserve(wish(2, 1, 2)),
            reserve(wish(2, 1, 2)),
            reserve(wish(3, 1, 1)),
            reserve(wish(4, 2, 2)),
            reserve(early),
            reserve(late),
            reserve(dear),
            reserve(wish(8, 2, 1)),
            StockCommand::Confirm(end(2)),
            StockCommand::Confirm(end(2)),
        ];
        let (refused, counts) = replayed(&commands);
        let expected = [
            Some(Refusal::UnknownProduct),
            None,
            None,
            Some(Refusal::Limit),
            Some(Refusal::SoldOut),
            Some(Refusal::Closed),
            Some(Refusal::Closed),
            Some(Refusal::PriceChanged),
            None,
        ];
        assert_eq!((refused.as_slice(), counts), (expected.as_slice(), Some([3, 0, 1, 2])));
    }

    #[test]
    fn what_comes_back_can_be_had_again_once() {
        let reserve = StockCommand::Reserve;
        let take = |delta, id| {
            let (product_id, by, at) = (PRODUCT, UserId(9), at(60));
            StockCommand::Adjust(Adjust { product_id, adjustment_id: Uuid::from_u128(id), delta, by, at })
        };
        let commands = [
            terms(1, 1, 1),
            reserve(wish(1, 1, 1)),
            StockCommand::Release(end(1)),
            StockCommand::Release(end(1)),
            reserve(wish(1, 1, 1)),
            StockCommand::Release(end(2)),
            reserve(wish(2, 2, 1)),
            reserve(wish(3, 3, 1)),
            StockCommand::Restock(end(3)),
            StockCommand::Confirm(end(3)),
            StockCommand::Restock(end(3)),
            take(-2, 1),
            take(4, 2),
            take(4, 2),
        ];
        let (refused, counts) = replayed(&commands);
        let expected = [None, Some(Refusal::SoldOut), Some(Refusal::SoldOut), None];
        assert_eq!((refused.as_slice(), counts), (expected.as_slice(), Some([5, 5, 0, 0])));
    }

    #[test]
    fn newer_terms_count_and_older_ones_do_not() {
        let commands = [terms(2, 5, 1), terms(1, 1, 9), terms(3, 2, 9)];
        let mut sale = Sale::default();
        for (command, offset) in commands.iter().zip(0..) {
            sale.take(offset, command);
        }
        assert_eq!((sale.limit_max, sale.counts()), (5, Some([1, 1, 0, 0])));
    }
}
