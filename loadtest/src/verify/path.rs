//! The way of every order from state to state: as the state machine has it, written down without a gap, and told.

use std::collections::{BTreeMap, HashMap};

use common::wire::order::OrderState;
use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::check::Check;
use super::orders::{Book, Order};

const AREA: &str = "orders";

/// A transition as the history has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Move {
    pub(super) seq: i64,
    pub(super) from: Option<OrderState>,
    pub(super) to: OrderState,
    /// A user id, or `system`.
    pub(super) by: String,
}

/// What the topic told of each order: states by number.
pub(super) type Told = HashMap<Uuid, BTreeMap<i64, Vec<OrderState>>>;

/// The topic beside the book.
#[derive(Debug, Clone, Copy)]
pub(super) struct Topic<'a> {
    pub(super) told: &'a Told,
    /// Whether it has its beginning: else what was told before is not known.
    pub(super) is_kept: bool,
    /// Whether the book has every order of the shop.
    pub(super) is_all: bool,
}

/// Reads the histories of these orders.
pub(super) async fn read(db: &mut PgConnection, orders: &mut HashMap<Uuid, Order>) -> anyhow::Result<()> {
    let rows = sqlx::query(
        "SELECT order_id, seq, \"from\", \"to\", by FROM order_transition ORDER BY order_id, seq",
    )
    .fetch_all(db)
    .await?;
    let state = |name: String| serde_json::from_value::<OrderState>(name.into());
    for row in rows {
        let id: Uuid = row.try_get("order_id")?;
        let Some(order) = orders.get_mut(&id) else { continue };
        order.history.push(Move {
            seq: row.try_get("seq")?,
            from: row.try_get::<Option<String>, _>("from")?.map(state).transpose()?,
            to: state(row.try_get("to")?)?,
            by: row.try_get("by")?,
        });
    }
    Ok(())
}

/// The states that may follow `at`, which was reached from `before`.
fn successors(before: Option<OrderState>, at: OrderState) -> &'static [OrderState] {
    use OrderState::{
        Cancelled, Expired, Failed, Paid, PartiallyRefunded, Paying, Received, RefundPending, Refunded,
        Rejected, Reserved,
    };
    match at {
        Received => &[Reserved, Rejected, Failed],
        Reserved => &[Cancelled, Expired, Paying],
        Paying if before == Some(Reserved) => &[Paid, Reserved, Expired],
        // Paid too late: units again, or the money back.
        Paying => &[Paid, RefundPending],
        Expired | Cancelled | Failed => &[Paying],
        Paid | PartiallyRefunded => &[RefundPending],
        RefundPending => &[Refunded, PartiallyRefunded, Paid],
        Rejected | Refunded => &[],
    }
}

/// What must hold of the histories.
pub(super) fn checks(book: &Book, topic: Topic<'_>) -> Vec<Check> {
    let Topic { told, is_kept, is_all } = topic;
    let each = || book.orders.iter();
    let gaps = each().filter(|(_, order)| !is_whole(order));
    let wrong = each().filter_map(|(id, order)| Some(format!("{id}: {}", misstep(order)?)));
    let nameless = each().filter(|(_, order)| {
        order.history.iter().any(|step| step.by != "system" && step.by.parse::<i64>().is_err())
    });
    let mut checks = vec![
        Check::new(AREA, "every transition is written down", gaps.map(|(id, _)| id)),
        Check::new(AREA, "no transition that the states do not know", wrong),
        Check::new(AREA, "every transition names who caused it", nameless.map(|(id, _)| id)),
    ];
    let silent = each().flat_map(|(id, order)| {
        let told = told.get(id);
        let untold = move |step: &&Move| {
            told.and_then(|told| told.get(&step.seq)).is_none_or(|states| !states.contains(&step.to))
        };
        order.history.iter().filter(untold).map(move |step| format!("{id}: {} {:?}", step.seq, step.to))
    });
    if is_kept {
        checks.push(Check::new(AREA, "every transition was told", silent));
    }
    let invented = each().flat_map(|(id, order)| {
        let happened = |seq: i64, state: OrderState| {
            order.history.iter().any(|step| (step.seq, step.to) == (seq, state))
        };
        let told = told.get(id).into_iter().flatten();
        let told = told.flat_map(|(seq, states)| states.iter().map(move |state| (*seq, *state)));
        let invented: Vec<_> = told.filter(|(seq, state)| !happened(*seq, *state)).collect();
        invented.into_iter().map(move |(seq, state)| format!("{id}: {seq} {state:?}"))
    });
    checks.push(Check::new(AREA, "only transitions were told", invented));
    if is_all {
        let gone = told.keys().filter(|id| !book.orders.contains_key(id));
        checks.push(Check::new(AREA, "every order that was told of exists", gone));
    }
    checks
}

/// Numbered from 1 without a gap, each from where the one before it led, the last one to where the order stands.
fn is_whole(order: &Order) -> bool {
    let mut before = None;
    let linked = order.history.iter().zip(1..).all(|(step, seq)| {
        let fits = step.seq == seq && step.from == before;
        before = Some(step.to);
        fits
    });
    linked && before == Some(order.state)
}

fn misstep(order: &Order) -> Option<String> {
    let mut before: [Option<OrderState>; 2] = [None, None];
    for step in &order.history {
        let allowed = match before[1] {
            None => step.to == OrderState::Received,
            Some(at) => successors(before[0], at).contains(&step.to),
        };
        if !allowed {
            return Some(format!("{:?} to {:?}", before[1], step.to));
        }
        before = [before[1], Some(step.to)];
    }
    None
}

#[cfg(test)]
mod tests {
    use OrderState::{
        Cancelled, Expired, Failed, Paid, PartiallyRefunded, Paying, Received, RefundPending, Refunded,
        Rejected, Reserved,
    };

    use super::*;
    use crate::verify::orders::tests::{book, order};

    fn history(states: &[OrderState]) -> Vec<Move> {
        let before = std::iter::once(None).chain(states.iter().copied().map(Some));
        let steps = states.iter().zip(before).zip(1..);
        steps.map(|((to, from), seq)| Move { seq, from, to: *to, by: "7".into() }).collect()
    }

    fn walked(states: &[OrderState]) -> Order {
        Order { history: history(states), ..order(*states.last().unwrap()) }
    }

    fn broken(order: &Order, told: Option<&[OrderState]>) -> Vec<&'static str> {
        let (id, book) = book(order);
        let is_kept = told.is_some();
        let states = told.unwrap_or_default().iter().zip(1..).map(|(state, seq)| (seq, vec![*state]));
        let told = Told::from([(id, states.collect())]);
        let checks = checks(&book, Topic { told: &told, is_kept, is_all: true });
        checks.into_iter().filter(|check| check.broken > 0).map(|check| check.rule).collect()
    }

    #[test]
    fn every_way_of_the_state_machine_is_clean() {
        for way in [
            &[Received, Rejected][..],
            &[Received, Failed],
            &[Received, Reserved, Cancelled],
            &[Received, Reserved, Paying, Reserved, Expired, Paying, Paid],
            &[Received, Reserved, Expired, Paying, RefundPending, Refunded],
            &[Received, Reserved, Paying, Paid, RefundPending, PartiallyRefunded, RefundPending, Refunded],
            &[Received, Reserved, Paying, Paid, RefundPending, Paid],
        ] {
            assert!(broken(&walked(way), Some(way)).is_empty(), "{way:?}");
        }
    }

    #[test]
    fn a_step_that_no_state_knows_is_found() {
        for way in [
            &[Reserved][..],
            &[Received, Paid],
            &[Received, Rejected, Reserved],
            &[Received, Reserved, Paid],
            &[Received, Reserved, Paying, RefundPending],
            &[Received, Reserved, Cancelled, Paying, Reserved],
            &[Received, Reserved, Cancelled, Paying, Expired],
            &[Received, Reserved, Paying, Paid, Refunded],
        ] {
            assert_eq!(broken(&walked(way), None), ["no transition that the states do not know"], "{way:?}");
        }
    }

    #[test]
    fn a_gap_and_another_end_are_found() {
        let rule = "every transition is written down";
        let whole = walked(&[Received, Reserved, Cancelled]);
        let moved = Order { state: Reserved, ..whole.clone() };
        assert_eq!(broken(&moved, None), [rule]);
        let mut renumbered = whole.clone();
        renumbered.history[2].seq = 4;
        assert_eq!(broken(&renumbered, None), [rule]);
        let mut unlinked = whole.clone();
        unlinked.history[2].from = Some(Received);
        assert_eq!(broken(&unlinked, None), [rule]);
        let mut nameless = whole;
        nameless.history[1].by = String::new();
        assert_eq!(broken(&nameless, None), ["every transition names who caused it"]);
    }

    #[test]
    fn what_was_not_told_and_what_was_invented_are_found() {
        let order = walked(&[Received, Reserved]);
        assert_eq!(broken(&order, Some(&[Received])), ["every transition was told"]);
        let (untold, invented) = ("every transition was told", "only transitions were told");
        assert_eq!(broken(&order, Some(&[Received, Rejected])), [untold, invented]);
        assert_eq!(broken(&order, Some(&[Received, Reserved, Cancelled])), [invented]);
        let stranger = Told::from([(Uuid::from_u128(9), BTreeMap::from([(1, vec![Received])]))]);
        let lost = |is_all| {
            let topic = Topic { told: &stranger, is_kept: false, is_all };
            let checks = checks(&Book::default(), topic).into_iter();
            checks.filter(|check| check.broken > 0).map(|check| check.rule).collect::<Vec<_>>()
        };
        assert_eq!((lost(true), lost(false)), (vec!["every order that was told of exists"], Vec::new()));
    }
}
