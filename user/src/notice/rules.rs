//! What is worth a notice, and the names of events: the same event always has the same name.

use chrono::TimeDelta;
use common::wire::Time;
use common::wire::event::{OrderChanged, StockDecided};
use common::wire::id::ProductId;
use common::wire::notice::Notice;
use common::wire::order::OrderState;

/// Subscribers are told so long before a sale begins.
pub(super) const SOON: TimeDelta = TimeDelta::minutes(5);
/// Between two notices that a product is back: while single units come back from refunds and go again, subscribers are
/// not told of each.
const BACK_AGAIN: TimeDelta = TimeDelta::minutes(10);

/// The event that a sale will soon begin.
pub(super) fn soon(product: ProductId, starts_at: Time) -> String {
    format!("soon:{product}:{}", starts_at.timestamp_micros())
}

/// The event that a sale has begun.
pub(super) fn begun(product: ProductId, starts_at: Time) -> String {
    format!("begun:{product}:{}", starts_at.timestamp_micros())
}

/// The event that a product is back, by the decision that brought it.
pub(super) fn back(product: ProductId, last: i64) -> String {
    format!("back:{product}:{last}")
}

/// The event's name and the notice of a transition, unless the buyer has just caused it and waits for what follows.
pub(super) fn of_order(change: &OrderChanged) -> Option<(String, Notice)> {
    let OrderChanged { order_id, seq, state, .. } = *change;
    let passing = matches!(state, OrderState::Received | OrderState::Paying | OrderState::RefundPending);
    let notice = Notice::OrderChanged { order_id, state, reason: change.reason.clone() };
    (!passing).then(|| (format!("order:{order_id}:{seq}"), notice))
}

/// Whether a product is known to be sold out, and by which decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Stock {
    pub(super) last: i64,
    pub(super) is_sold_out: bool,
    pub(super) back_told_at: Option<Time>,
}

/// What a decision makes of what was known; `None` when nothing. A product is sold out when no unit is left and none can
/// come back by itself, as in its waiting room. Only the changes are kept: between two of them every decision says the
/// same, so a decision that comes again changes nothing.
pub(super) fn decided(known: Option<Stock>, decision: &StockDecided) -> Option<Stock> {
    let is_sold_out = decision.total > 0 && decision.available == 0 && decision.reserved == 0;
    // Units that are only reserved make nothing sold out, and nothing come back.
    let is_back = decision.available > 0;
    let was = known.unwrap_or(Stock { last: -1, is_sold_out: false, back_told_at: None });
    let changes = if was.is_sold_out { is_back } else { is_sold_out };
    (decision.last > was.last && changes).then_some(Stock { last: decision.last, is_sold_out, ..was })
}

/// Whether subscribers are told that a product is back.
pub(super) fn tells_back(stock: &Stock, now: Time) -> bool {
    !stock.is_sold_out && stock.back_told_at.is_none_or(|told| now - told >= BACK_AGAIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decision(last: i64, available: i64, reserved: i64) -> StockDecided {
        let product_id = ProductId(7);
        let sold = 10 - available - reserved;
        StockDecided {
            product_id,
            first: last,
            last,
            total: 10,
            available,
            reserved,
            sold,
            decisions: vec![],
        }
    }

    /// The changes that these decisions bring, by their `last`.
    fn changes(known: &mut Option<Stock>, decisions: &[StockDecided]) -> Vec<(i64, bool)> {
        let mut seen = Vec::new();
        for decision in decisions {
            if let Some(stock) = decided(*known, decision) {
                seen.push((stock.last, stock.is_sold_out));
                *known = Some(stock);
            }
        }
        seen
    }

    #[test]
    fn a_product_is_back_once_after_it_was_sold_out_and_never_by_a_repeat() {
        let decisions = [
            decision(1, 5, 5),
            decision(2, 0, 10), // all reserved: not sold out
            decision(3, 1, 9),  // and so not back
            decision(4, 0, 1),
            decision(5, 0, 0), // sold out
            decision(6, 0, 0),
            decision(9, 2, 0), // back
            decision(10, 1, 1),
            decision(12, 0, 0), // sold out
            decision(13, 1, 0), // back
        ];
        let mut known = None;
        let all = [(5, true), (9, false), (12, true), (13, false)];
        assert_eq!(changes(&mut known, &decisions), all);
        for from in 0..decisions.len() {
            assert_eq!(changes(&mut known, &decisions[from..]), [], "again from {from}");
        }
        // Whoever stopped in the middle and reads some again sees the rest, once.
        for stopped in 0..decisions.len() {
            for again in 0..=stopped {
                let mut known = None;
                let mut seen = changes(&mut known, &decisions[..stopped]);
                seen.extend(changes(&mut known, &decisions[again..]));
                assert_eq!(seen, all, "stopped at {stopped}, again from {again}");
            }
        }
    }

    #[test]
    fn a_product_without_stock_was_never_sold_out() {
        let none = StockDecided { total: 0, sold: 0, ..decision(1, 0, 0) };
        assert_eq!(decided(None, &none), None);
    }

    #[test]
    fn units_that_come_and_go_are_told_of_every_ten_minutes() {
        let at = |minute: i64| Time::from_timestamp(1_800_000_000 + minute * 60, 0).unwrap();
        let back = |told| Stock { last: 1, is_sold_out: false, back_told_at: told };
        assert!(tells_back(&back(None), at(0)));
        assert!(!tells_back(&back(Some(at(0))), at(9)));
        assert!(tells_back(&back(Some(at(0))), at(10)));
        assert!(!tells_back(&Stock { is_sold_out: true, ..back(None) }, at(0)));
    }

    #[test]
    fn states_that_only_pass_are_not_told() {
        let told = |state| {
            let change = OrderChanged {
                order_id: common::wire::id::OrderId::new(),
                seq: 2,
                user_id: common::wire::id::UserId(1),
                state,
                reason: None,
                lines: vec![],
                at: Time::UNIX_EPOCH,
            };
            of_order(&change).is_some()
        };
        for state in [OrderState::Received, OrderState::Paying, OrderState::RefundPending] {
            assert!(!told(state), "{state:?}");
        }
        for state in [OrderState::Reserved, OrderState::Rejected, OrderState::Paid, OrderState::Refunded] {
            assert!(told(state), "{state:?}");
        }
    }
}
