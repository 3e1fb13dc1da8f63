//! Products without a free unit, by the stock's own last word: an order for one is refused in the transaction that
//! places it, and the stock is not asked. After the last unit went, nearly all orders are of this kind.
//!
//! The refusal is one that the stock itself would have given a moment before. Its word counts for orders placed
//! within half a second of one that it was given about; then some orders are sent to it again, and its answer to them is
//! its next word. And it counts only if it is about an order that was placed after the last units went back from here:
//! an order follows those units in the log, so the word says that they are gone too.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::TimeDelta;
use common::wire::Time;
use common::wire::event::StockCommand;
use common::wire::id::ProductId;

/// How old the stock's word may be: longer than it takes to answer, shorter than anybody waits for units to come back.
const FRESH: TimeDelta = TimeDelta::milliseconds(500);
/// Products remembered at most; beyond, all are forgotten: the stock's next word is half a second away.
const KNOWN_MAX: usize = 1_000;

/// What is known of products. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct SoldOut(Arc<Mutex<Memory>>);

#[derive(Debug, Default)]
struct Memory {
    products: HashMap<ProductId, Known>,
    /// When units of a product that was forgotten last went back.
    back_at: Option<Time>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Known {
    /// When the newest order was placed that the stock said "none is left" after.
    none_at: Option<Time>,
    /// When units last went back from here.
    back_at: Option<Time>,
}

impl SoldOut {
    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stock said that `available` units are left; the newest order that it has answered was placed at `placed_at`.
    pub fn told(&self, product: ProductId, available: i64, placed_at: Option<Time>) {
        let mut memory = self.memory();
        if available > 0 {
            if let Some(known) = memory.products.get_mut(&product) {
                known.none_at = None;
            }
        } else if placed_at.is_some() {
            let known = memory.of(product);
            known.none_at = known.none_at.max(placed_at);
        }
    }

    /// The stock is being told to take units back.
    pub fn returned(&self, commands: &[StockCommand], now: Time) {
        for command in commands {
            if let StockCommand::Release(_) | StockCommand::Restock(_) = command {
                self.memory().of(command.product_id()).back_at = Some(now);
            }
        }
    }

    /// Whether an order placed now would find no unit.
    #[must_use]
    pub fn is(&self, product: ProductId, now: Time) -> bool {
        let memory = self.memory();
        let Some(Known { none_at: Some(none_at), back_at }) = memory.products.get(&product) else {
            return false;
        };
        now - none_at < FRESH && (*back_at).max(memory.back_at).is_none_or(|back_at| back_at < *none_at)
    }
}

impl Memory {
    fn of(&mut self, product: ProductId) -> &mut Known {
        if self.products.len() >= KNOWN_MAX && !self.products.contains_key(&product) {
            let back_at = self.products.drain().filter_map(|(_, known)| known.back_at).max();
            self.back_at = self.back_at.max(back_at);
        }
        self.products.entry(product).or_default()
    }
}

#[cfg(test)]
mod tests {
    use common::wire::event::Settle;
    use common::wire::id::{OrderId, UserId};

    use super::*;

    const LAMP: ProductId = ProductId(1);

    fn at(ms: i64) -> Time {
        Time::from_timestamp_millis(1_800_000_000_000 + ms).unwrap()
    }

    fn release(product: ProductId) -> StockCommand {
        let (order_id, user_id) = (OrderId::new(), UserId(7));
        let reason = "time-over".into();
        StockCommand::Release(Settle {
            product_id: product,
            order_id,
            attempt: 1,
            user_id,
            reason,
            at: at(0),
        })
    }

    #[test]
    fn the_word_counts_while_it_is_fresh_and_for_its_product_alone() {
        let sold_out = SoldOut::default();
        assert!(!sold_out.is(LAMP, at(0)), "nothing was said");
        sold_out.told(LAMP, 0, Some(at(0)));
        assert!(sold_out.is(LAMP, at(499)));
        assert!(!sold_out.is(LAMP, at(500)), "the stock is asked again");
        assert!(!sold_out.is(ProductId(2), at(1)));
        sold_out.told(LAMP, 0, Some(at(400)));
        sold_out.told(LAMP, 0, Some(at(300)));
        assert!(sold_out.is(LAMP, at(899)), "an older word takes nothing from a newer one");
    }

    #[test]
    fn units_that_are_there_end_it_at_once() {
        let sold_out = SoldOut::default();
        sold_out.told(LAMP, 0, Some(at(0)));
        sold_out.told(LAMP, 1, None);
        assert!(!sold_out.is(LAMP, at(1)));
    }

    #[test]
    fn a_word_from_before_units_went_back_says_nothing() {
        let sold_out = SoldOut::default();
        sold_out.told(LAMP, 0, Some(at(0)));
        sold_out.returned(&[release(LAMP)], at(10));
        assert!(!sold_out.is(LAMP, at(11)));
        sold_out.told(LAMP, 0, Some(at(10)));
        assert!(!sold_out.is(LAMP, at(11)), "that order may have been before them in the log");
        sold_out.told(LAMP, 0, Some(at(11)));
        assert!(sold_out.is(LAMP, at(12)), "they came back and went");
    }

    #[test]
    fn a_repeat_from_long_ago_says_nothing() {
        let sold_out = SoldOut::default();
        sold_out.told(LAMP, 0, Some(at(0)));
        assert!(!sold_out.is(LAMP, at(60_000)));
    }

    #[test]
    fn what_is_remembered_has_an_end_and_forgets_no_units_that_went_back() {
        let sold_out = SoldOut::default();
        sold_out.returned(&[release(LAMP)], at(100));
        for product in 2..5_000 {
            sold_out.told(ProductId(product), 0, Some(at(50)));
        }
        assert!(sold_out.memory().products.len() <= KNOWN_MAX);
        sold_out.told(LAMP, 0, Some(at(99)));
        assert!(!sold_out.is(LAMP, at(101)));
        sold_out.told(LAMP, 0, Some(at(101)));
        assert!(sold_out.is(LAMP, at(102)));
    }
}
