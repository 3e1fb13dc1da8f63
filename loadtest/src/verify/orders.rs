//! Orders: every promise was kept, and nothing was ordered that nobody asked for.

use std::collections::{BTreeMap, HashMap};

use common::wire::id::OrderId;
use common::wire::order::OrderState;
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::check::Check;
use super::path::Move;
use super::stock::{Stage, Units};
use crate::notes::Seen;

const AREA: &str = "orders";

/// An order, as the order service's database has it.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) user: i64,
    pub(super) state: OrderState,
    /// Paid too late: it waits for the stock a second time.
    pub(super) reviving: bool,
    pub(super) total_price: i64,
    /// Units by product.
    pub(super) holds: BTreeMap<i64, i64>,
    /// Tickets it used up.
    pub(super) tickets: i64,
    /// Whether a stored answer promises it. Answers are forgotten after a day: older orders need none.
    pub(super) promised: bool,
    /// It is reserved still, though its time was over seconds ago.
    pub(super) overdue: bool,
    /// Its transitions, in their order.
    pub(super) history: Vec<Move>,
}

/// What the order service's tables say of orders, all of one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Book {
    /// By id.
    pub(super) orders: HashMap<Uuid, Order>,
    /// Orders that a stored answer promises and that do not exist.
    pub(super) lost: Vec<String>,
    /// The oldest event that waits to be sent.
    pub(super) unsent: Option<i64>,
}

/// Reads the orders with one product in them, or all.
pub(super) async fn read(db: &mut PgConnection, product: Option<i64>) -> anyhow::Result<Book> {
    let rows = sqlx::query(
        "SELECT o.order_id, o.user_id, o.state, o.reviving, o.total_price,
                o.state = 'reserved' AND o.expires_at < now() - interval '5 seconds' AS overdue,
                coalesce(tickets, 0) AS tickets,
                o.created_at < now() - interval '23 hours' OR EXISTS (
                    SELECT FROM idempotency i
                    WHERE i.user_id = o.user_id AND coalesce(i.answer::jsonb, i.body) ->> 'orderId' = o.order_id::text) AS promised
         FROM orders o
         LEFT JOIN (SELECT order_id, count(*) AS tickets FROM order_ticket GROUP BY order_id) t USING (order_id)
         WHERE $1::bigint IS NULL OR EXISTS (SELECT FROM order_hold h
                                             WHERE h.order_id = o.order_id AND h.product_id = $1)",
    )
    .bind(product)
    .fetch_all(&mut *db)
    .await?;
    let mut orders: HashMap<Uuid, Order> = rows.iter().map(order).collect::<anyhow::Result<_>>()?;
    let holds: Vec<(Uuid, i64, i64)> =
        sqlx::query_as("SELECT order_id, product_id, quantity::bigint FROM order_hold")
            .fetch_all(&mut *db)
            .await?;
    for (id, product, quantity) in holds {
        if let Some(order) = orders.get_mut(&id) {
            order.holds.insert(product, quantity);
        }
    }
    super::path::read(db, &mut orders).await?;
    let lost = sqlx::query_scalar(
        "SELECT coalesce(answer::jsonb, body) ->> 'orderId' FROM idempotency i
         WHERE route = '/api/orders' AND status = 202
           AND NOT EXISTS (SELECT FROM orders o WHERE o.order_id::text = coalesce(i.answer::jsonb, i.body) ->> 'orderId')",
    )
    .fetch_all(&mut *db)
    .await?;
    let unsent = sqlx::query_scalar("SELECT min(id) FROM outbox").fetch_one(db).await?;
    Ok(Book { orders, lost, unsent })
}

fn order(row: &PgRow) -> anyhow::Result<(Uuid, Order)> {
    let state: String = row.try_get("state")?;
    let order = Order {
        user: row.try_get("user_id")?,
        state: serde_json::from_value(state.into())?,
        reviving: row.try_get("reviving")?,
        total_price: row.try_get("total_price")?,
        holds: BTreeMap::new(),
        tickets: row.try_get("tickets")?,
        promised: row.try_get("promised")?,
        overdue: row.try_get("overdue")?,
        history: Vec::new(),
    };
    Ok((row.try_get("order_id")?, order))
}

/// Orders that were accepted with 202 and have not been decided, or do not exist.
pub(super) fn undecided<'a>(accepted: impl IntoIterator<Item = &'a OrderId>, book: &Book) -> Vec<String> {
    let is_open =
        |order: &OrderId| book.orders.get(&order.0).is_none_or(|found| found.state == OrderState::Received);
    accepted.into_iter().filter(|order| is_open(order)).map(ToString::to_string).collect()
}

/// What must hold of the orders that were seen by those who placed them.
pub(super) fn promises(seen: &BTreeMap<OrderId, Seen>, book: &Book) -> Vec<Check> {
    let known = || seen.iter().filter_map(|(id, seen)| Some((id, seen, book.orders.get(&id.0)?)));
    let altered = known().filter(|(_, seen, order)| {
        order.user != seen.user.0 || order.holds.values().sum::<i64>() != i64::from(seen.quantity)
    });
    let unpaid = known().filter(|(_, seen, order)| seen.paid && !was_paid(order.state));
    vec![
        Check::new(AREA, "every accepted order is decided", undecided(seen.keys(), book)),
        Check::new(AREA, "every accepted order is as it was placed", altered.map(|(id, ..)| id)),
        Check::new(AREA, "what was seen paid is paid", unpaid.map(|(id, ..)| id)),
    ]
}

/// What must hold of all orders; `is_all` when the stage has every product of the shop.
pub(super) fn checks(book: &Book, stage: &Stage, is_all: bool) -> Vec<Check> {
    let each = || book.orders.iter();
    let waiting = each().filter(|(_, order)| order.state == OrderState::Received || order.reviving);
    let overdue = each().filter(|(_, order)| order.overdue);
    let unasked = each().filter(|(_, order)| !order.promised);
    let ticketless = each().filter(|(_, order)| {
        let wanted = if uses_ticket(order.state) { order.holds.len() } else { 0 };
        usize::try_from(order.tickets) != Ok(wanted)
    });
    let strangers = stage
        .units
        .iter()
        .filter(|((id, _), units)| **units != Units::default() && !book.orders.contains_key(id))
        .map(|((id, product), _)| format!("{id}, product {product}"));
    vec![
        Check::new(AREA, "no order waits for the stock", waiting.map(|(id, _)| id)),
        Check::new(AREA, "no order is reserved beyond its time", overdue.map(|(id, _)| id)),
        Check::new(AREA, "no order without an answer that promises it", unasked.map(|(id, _)| id)),
        Check::new(AREA, "no promise without its order", &book.lost),
        Check::new(
            AREA,
            "an order uses up a ticket per product, unless it was refused",
            ticketless.map(|(id, _)| id),
        ),
        Check::new(AREA, "units are held for orders only", strangers),
        Check::new(AREA, "orders and reservations say the same", mismatches(book, stage, is_all)),
    ]
}

/// Paid: all units confirmed; reserved: all held; ended: none of either.
fn mismatches(book: &Book, stage: &Stage, is_all: bool) -> Vec<String> {
    let mut mismatches = Vec::new();
    for (id, order) in &book.orders {
        for (product, quantity) in
            order.holds.iter().filter(|(one, _)| is_all || stage.products.contains_key(one))
        {
            let found = stage.units.get(&(*id, *product)).copied().unwrap_or_default();
            if !fits(order, *quantity, found) {
                let Units { held, confirmed } = found;
                mismatches.push(format!(
                    "{id} is {:?}: of {quantity} units of product {product} {held} are held and {confirmed} sold",
                    order.state
                ));
            }
        }
    }
    mismatches
}

fn fits(order: &Order, quantity: i64, found: Units) -> bool {
    let none = found == Units::default();
    let held = found == Units { held: quantity, confirmed: 0 };
    let confirmed = found == Units { held: 0, confirmed: quantity };
    match order.state {
        OrderState::Reserved => held,
        // The stock is asked: that rule is another one.
        OrderState::Received => none || held,
        OrderState::Paying => held || (order.reviving && none),
        OrderState::Paid | OrderState::PartiallyRefunded => confirmed,
        // Paid too late for units that were gone; or the shop decides whether it sells them again.
        OrderState::RefundPending | OrderState::Refunded => confirmed || none,
        OrderState::Rejected | OrderState::Expired | OrderState::Cancelled | OrderState::Failed => none,
    }
}

/// Whether the money for an order is there, or was.
pub(super) fn was_paid(state: OrderState) -> bool {
    matches!(
        state,
        OrderState::Paid | OrderState::RefundPending | OrderState::PartiallyRefunded | OrderState::Refunded
    )
}

fn uses_ticket(state: OrderState) -> bool {
    !matches!(state, OrderState::Rejected | OrderState::Failed)
}

#[cfg(test)]
pub(super) mod tests {
    use common::wire::id::UserId;

    use super::*;

    /// An order of two units of product 1 for 10 won.
    pub(in crate::verify) fn order(state: OrderState) -> Order {
        let tickets = i64::from(uses_ticket(state));
        Order {
            user: 1,
            state,
            reviving: false,
            total_price: 10,
            holds: [(1, 2)].into(),
            tickets,
            promised: true,
            overdue: false,
            history: Vec::new(),
        }
    }

    pub(in crate::verify) fn book(order: &Order) -> (Uuid, Book) {
        let id = Uuid::from_u128(1);
        (id, Book { orders: [(id, order.clone())].into(), ..Book::default() })
    }

    fn names(checks: Vec<Check>) -> Vec<&'static str> {
        checks.into_iter().filter(|check| check.broken > 0).map(|check| check.rule).collect()
    }

    fn judged(order: &Order, units: Units) -> Vec<&'static str> {
        let (id, book) = book(order);
        let products = [(1, Default::default())].into();
        let stage = Stage { products, units: [((id, 1), units)].into(), ..Stage::default() };
        names(checks(&book, &stage, true))
    }

    const NONE: Units = Units { held: 0, confirmed: 0 };
    const HELD: Units = Units { held: 2, confirmed: 0 };
    const SOLD: Units = Units { held: 0, confirmed: 2 };

    #[test]
    fn orders_with_the_units_of_their_state_are_clean() {
        use OrderState as S;
        for (state, units) in [
            (S::Reserved, HELD),
            (S::Paying, HELD),
            (S::Paid, SOLD),
            (S::PartiallyRefunded, SOLD),
            (S::RefundPending, SOLD),
            (S::RefundPending, NONE),
            (S::Refunded, SOLD),
            (S::Refunded, NONE),
            (S::Rejected, NONE),
            (S::Failed, NONE),
            (S::Expired, NONE),
            (S::Cancelled, NONE),
        ] {
            assert!(judged(&order(state), units).is_empty(), "{state:?} {units:?}");
        }
    }

    #[test]
    fn units_that_do_not_fit_the_state_are_found() {
        use OrderState as S;
        let half = Units { held: 1, confirmed: 0 };
        for (state, units) in [
            (S::Reserved, half),
            (S::Reserved, NONE),
            (S::Paid, HELD),
            (S::Paid, NONE),
            (S::Paying, NONE),
            (S::Refunded, HELD),
            (S::Rejected, half),
            (S::Expired, HELD),
            (S::Cancelled, SOLD),
            (S::Failed, half),
        ] {
            let broken = judged(&order(state), units);
            assert_eq!(broken, ["orders and reservations say the same"], "{state:?} {units:?}");
        }
    }

    #[test]
    fn an_order_that_waits_and_one_that_nobody_was_promised_are_found() {
        let waiting = "no order waits for the stock";
        assert_eq!(judged(&order(OrderState::Received), NONE), [waiting]);
        let reviving = Order { reviving: true, ..order(OrderState::Paying) };
        assert_eq!(judged(&reviving, NONE), [waiting]);
        let overdue = Order { overdue: true, ..order(OrderState::Reserved) };
        assert_eq!(judged(&overdue, HELD), ["no order is reserved beyond its time"]);
        let unasked = Order { promised: false, ..order(OrderState::Reserved) };
        assert_eq!(judged(&unasked, HELD), ["no order without an answer that promises it"]);
    }

    #[test]
    fn a_promise_without_its_order_and_units_without_one_are_found() {
        let promised = Book { lost: vec!["x".into()], ..Book::default() };
        assert_eq!(names(checks(&promised, &Stage::default(), true)), ["no promise without its order"]);
        let stage = Stage { units: [((Uuid::from_u128(9), 1), HELD)].into(), ..Stage::default() };
        assert_eq!(names(checks(&Book::default(), &stage, true)), ["units are held for orders only"]);
        let (_, sold) = book(&order(OrderState::Paid));
        let gone = |is_all| names(checks(&sold, &Stage::default(), is_all));
        assert_eq!((gone(true), gone(false)), (vec!["orders and reservations say the same"], Vec::new()));
    }

    #[test]
    fn a_ticket_that_was_not_used_up_or_not_given_back_is_found() {
        let rule = ["an order uses up a ticket per product, unless it was refused"];
        assert_eq!(judged(&Order { tickets: 0, ..order(OrderState::Expired) }, NONE), rule);
        assert_eq!(judged(&Order { tickets: 1, ..order(OrderState::Rejected) }, NONE), rule);
    }

    #[test]
    fn a_lost_an_altered_and_an_unpaid_order_are_found() {
        let seen =
            |user, paid| BTreeMap::from([(OrderId(Uuid::from_u128(1)), Seen { user, quantity: 2, paid })]);
        let (_, there) = book(&order(OrderState::Expired));
        assert!(names(promises(&seen(UserId(1), false), &there)).is_empty());
        let lost = promises(&seen(UserId(1), false), &Book::default());
        assert_eq!(names(lost), ["every accepted order is decided"]);
        assert_eq!(
            names(promises(&seen(UserId(2), false), &there)),
            ["every accepted order is as it was placed"]
        );
        assert_eq!(names(promises(&seen(UserId(1), true), &there)), ["what was seen paid is paid"]);
    }
}
