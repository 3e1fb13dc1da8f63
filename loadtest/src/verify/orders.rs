//! Orders: every promise was kept, and nothing was ordered that nobody asked for.

use std::collections::{BTreeMap, HashMap};

use common::wire::id::OrderId;
use common::wire::order::OrderState;
use sqlx::Row as _;
use sqlx::postgres::{PgPool, PgRow};
use uuid::Uuid;

use super::Check;
use super::stock::{Stock, Units};
use crate::notes::Seen;

const AREA: &str = "orders";

/// An order of the product, as the order service's database has it.
#[derive(Debug, Clone)]
pub(super) struct Order {
    pub(super) user: i64,
    pub(super) state: OrderState,
    /// Units of the product.
    pub(super) quantity: i64,
    pub(super) total_price: i64,
    /// Tickets it used up.
    tickets: i64,
    /// Whether a stored answer promises it.
    promised: bool,
    /// Whether its transitions are numbered without a gap and end where it stands.
    traced: bool,
}

/// Orders by id.
pub(super) type Orders = HashMap<Uuid, Order>;

/// Orders that wait for the stock or for the payment provider.
pub(super) async fn open(pool: &PgPool, product: i64) -> anyhow::Result<i64> {
    let open = sqlx::query_scalar(
        "SELECT count(*) FROM orders JOIN order_hold USING (order_id)
         WHERE product_id = $1 AND state IN ('received', 'paying')",
    );
    Ok(open.bind(product).fetch_one(pool).await?)
}

/// Units of reserved and of paid orders.
pub(super) async fn units(pool: &PgPool, product: i64) -> anyhow::Result<(i64, i64)> {
    let units = sqlx::query_as(
        "SELECT coalesce(sum(quantity) FILTER (WHERE state = 'reserved'), 0),
                coalesce(sum(quantity) FILTER (WHERE state IN ('paid', 'refundPending', 'partiallyRefunded')), 0)
         FROM orders JOIN order_hold USING (order_id) WHERE product_id = $1",
    );
    Ok(units.bind(product).fetch_one(pool).await?)
}

/// All orders with the product in them.
pub(super) async fn read(pool: &PgPool, product: i64) -> anyhow::Result<Orders> {
    let rows = sqlx::query(
        "SELECT o.order_id, o.user_id, o.state, h.quantity::bigint AS quantity, o.total_price,
                (SELECT count(*) FROM order_ticket t WHERE t.order_id = o.order_id) AS tickets,
                EXISTS (SELECT FROM idempotency i
                        WHERE i.user_id = o.user_id AND i.body ->> 'orderId' = o.order_id::text) AS promised,
                (SELECT count(*) = o.seq AND max(t.seq) = o.seq
                        AND bool_or(t.seq = o.seq AND t.\"to\" = o.state)
                 FROM order_transition t WHERE t.order_id = o.order_id) AS traced
         FROM orders o JOIN order_hold h USING (order_id) WHERE h.product_id = $1",
    )
    .bind(product)
    .fetch_all(pool)
    .await?;
    rows.iter().map(order).collect()
}

fn order(row: &PgRow) -> anyhow::Result<(Uuid, Order)> {
    let state: String = row.try_get("state")?;
    let order = Order {
        user: row.try_get("user_id")?,
        state: serde_json::from_value(state.into())?,
        quantity: row.try_get("quantity")?,
        total_price: row.try_get("total_price")?,
        tickets: row.try_get("tickets")?,
        promised: row.try_get("promised")?,
        traced: row.try_get::<Option<bool>, _>("traced")?.unwrap_or(false),
    };
    Ok((row.try_get("order_id")?, order))
}

/// Orders that were accepted with 202 and have not been decided, or do not exist.
pub(super) fn undecided(seen: &BTreeMap<OrderId, Seen>, orders: &Orders) -> Vec<String> {
    let is_open =
        |order: &OrderId| orders.get(&order.0).is_none_or(|found| found.state == OrderState::Received);
    seen.keys().filter(|order| is_open(order)).map(ToString::to_string).collect()
}

/// What must hold of the orders.
pub(super) fn checks(seen: &BTreeMap<OrderId, Seen>, orders: &Orders, stock: &Stock) -> Vec<Check> {
    let known = || seen.iter().filter_map(|(id, seen)| Some((id, seen, orders.get(&id.0)?)));
    let altered = known()
        .filter(|(_, seen, order)| order.user != seen.user.0 || order.quantity != i64::from(seen.quantity))
        .map(|(id, ..)| id);
    let unpaid = known().filter(|(_, seen, order)| seen.paid && !is_paid(order.state)).map(|(id, ..)| id);
    let unasked = orders.iter().filter(|(id, order)| !seen.contains_key(&OrderId(**id)) && !order.promised);
    let ticketless = orders.iter().filter(|(_, order)| (order.tickets > 0) != uses_ticket(order.state));
    let untraced = orders.iter().filter(|(_, order)| !order.traced);
    let strangers =
        stock.units.iter().filter(|(id, units)| **units != Units::default() && !orders.contains_key(*id));
    vec![
        Check::new(AREA, "every accepted order is decided", undecided(seen, orders)),
        Check::new(AREA, "every accepted order is as it was placed", altered),
        Check::new(AREA, "what was seen paid is paid", unpaid),
        Check::new(AREA, "no order without an answer that promises it", unasked.map(|(id, _)| id)),
        Check::new(AREA, "an order uses up one ticket, unless it was refused", ticketless.map(|(id, _)| id)),
        Check::new(AREA, "every transition is written down", untraced.map(|(id, _)| id)),
        Check::new(AREA, "units are held for orders only", strangers.map(|(id, _)| id)),
        Check::new(AREA, "orders and reservations say the same", mismatches(orders, stock)),
    ]
}

/// Paid: all units confirmed; reserved: all held; ended: none of either.
fn mismatches(orders: &Orders, stock: &Stock) -> Vec<String> {
    let mismatch = |(id, order): (&Uuid, &Order)| {
        let found = stock.units.get(id).copied().unwrap_or_default();
        let wanted = match order.state {
            OrderState::Reserved | OrderState::Paying => Units { held: order.quantity, confirmed: 0 },
            state if is_paid(state) => Units { held: 0, confirmed: order.quantity },
            // A refund decides about its units itself, and an open order is a broken rule of its own.
            OrderState::Refunded | OrderState::Received => return None,
            _ => Units::default(),
        };
        (found != wanted).then(|| format!("{id} is {:?}: {found:?}", order.state))
    };
    orders.iter().filter_map(mismatch).collect()
}

/// Whether the money for an order is there, or was.
pub(super) fn is_paid(state: OrderState) -> bool {
    matches!(state, OrderState::Paid | OrderState::RefundPending | OrderState::PartiallyRefunded)
}

fn uses_ticket(state: OrderState) -> bool {
    !matches!(state, OrderState::Rejected | OrderState::Failed)
}

#[cfg(test)]
mod tests {
    use common::wire::id::UserId;

    use super::*;

    fn order(state: OrderState) -> Order {
        let tickets = i64::from(uses_ticket(state));
        Order { user: 1, state, quantity: 2, total_price: 10, tickets, promised: true, traced: true }
    }

    fn judged(order: &Order, units: Units, seen: Option<Seen>) -> Vec<&'static str> {
        let id = OrderId::new();
        let orders = Orders::from([(id.0, order.clone())]);
        let mut stock = Stock::default();
        stock.units.insert(id.0, units);
        let seen = seen.into_iter().map(|seen| (id, seen)).collect();
        checks(&seen, &orders, &stock)
            .iter()
            .filter(|check| check.broken > 0)
            .map(|check| check.rule)
            .collect()
    }

    #[test]
    fn a_paid_order_with_its_units_is_clean() {
        let seen = Seen { user: UserId(1), quantity: 2, paid: true };
        assert!(judged(&order(OrderState::Paid), Units { held: 0, confirmed: 2 }, Some(seen)).is_empty());
    }

    #[test]
    fn a_lost_order_is_found() {
        let seen = BTreeMap::from([(OrderId::new(), Seen { user: UserId(1), quantity: 1, paid: false })]);
        assert_eq!(undecided(&seen, &Orders::new()).len(), 1);
    }

    #[test]
    fn units_kept_by_a_refused_order_are_found() {
        let broken = judged(&order(OrderState::Rejected), Units { held: 1, confirmed: 0 }, None);
        assert_eq!(broken, ["orders and reservations say the same"]);
    }

    #[test]
    fn an_order_that_nobody_was_promised_is_found() {
        let order = Order { promised: false, ..order(OrderState::Reserved) };
        let broken = judged(&order, Units { held: 2, confirmed: 0 }, None);
        assert_eq!(broken, ["no order without an answer that promises it"]);
    }

    #[test]
    fn a_payment_that_was_seen_and_lost_is_found() {
        let seen = Seen { user: UserId(1), quantity: 2, paid: true };
        let broken = judged(&order(OrderState::Expired), Units::default(), Some(seen));
        assert_eq!(broken, ["what was seen paid is paid"]);
    }
}
