//! Money: what the order service booked, and what the payment provider says it took and gave back.

use std::collections::HashMap;

use common::wire::order::OrderState;
use serde::Deserialize;
use sqlx::{PgConnection, Row as _};
use uuid::Uuid;

use super::check::Check;
use super::orders::{Book, Order};
use crate::http::{Agent, Call};
use crate::stack::Stack;

const AREA: &str = "money";

/// A payment as the order service booked it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) order: Uuid,
    /// The provider's name of it.
    pub(super) key: String,
    pub(super) amount: i64,
    pub(super) state: State,
    /// Won that went back.
    pub(super) returned: i64,
    /// Won that are on their way back.
    pub(super) returning: i64,
}

/// Where a payment stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum State {
    Sent,
    Unknown,
    Approved,
    Declined,
    Surplus,
    Cancelled,
}

/// A payment at the provider.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Payment {
    payment_key: String,
    order_id: String,
    status: String,
    total_amount: i64,
    balance_amount: i64,
}

impl Payment {
    /// What the provider has of the shopper's money.
    fn kept(&self) -> i64 {
        if matches!(self.status.as_str(), "DONE" | "PARTIAL_CANCELED") { self.balance_amount } else { 0 }
    }
}

/// The provider's list.
#[derive(Debug, Deserialize)]
struct Payments {
    items: Vec<Payment>,
}

/// Every payment that the order service booked.
pub(super) async fn attempts(db: &mut PgConnection) -> anyhow::Result<Vec<Attempt>> {
    let rows = sqlx::query(
        "SELECT order_id, provider_ref, p.amount, p.state,
                coalesce(sum(r.amount) FILTER (WHERE r.state = 'done'), 0)::bigint AS returned,
                coalesce(sum(r.amount) FILTER (WHERE r.state IN ('sent', 'unknown')), 0)::bigint AS returning
         FROM payment_attempt p LEFT JOIN refund r USING (payment_id) GROUP BY payment_id",
    )
    .fetch_all(db)
    .await?;
    let attempt = |row: &sqlx::postgres::PgRow| {
        Ok(Attempt {
            order: row.try_get("order_id")?,
            key: row.try_get("provider_ref")?,
            amount: row.try_get("amount")?,
            state: serde_json::from_value(row.try_get::<String, _>("state")?.into())?,
            returned: row.try_get("returned")?,
            returning: row.try_get("returning")?,
        })
    };
    rows.iter().map(attempt).collect()
}

/// All payments that the provider knows.
pub(super) async fn provider(stack: &Stack, agent: &Agent) -> anyhow::Result<Vec<Payment>> {
    let call = Call::get(format!("{}/sandbox/payments", stack.payment_sandbox));
    let list: Payments = agent.send(&call).await?.success("the provider's payments")?;
    Ok(list.items)
}

/// What must hold of the books.
pub(super) fn checks(book: &Book, attempts: &[Attempt]) -> Vec<Check> {
    let mut of_order: HashMap<Uuid, Vec<&Attempt>> = HashMap::new();
    for attempt in attempts {
        of_order.entry(attempt.order).or_default().push(attempt);
    }
    let amounts = |id: &Uuid, state: State| -> Vec<i64> {
        let own = of_order.get(id).into_iter().flatten();
        own.filter(|attempt| attempt.state == state).map(|attempt| attempt.amount).collect()
    };
    let price = |order: &Order| if owns_money(order) { vec![order.total_price] } else { Vec::new() };
    let unbooked = book.orders.iter().filter_map(|(id, order)| {
        let approved = amounts(id, State::Approved);
        let fits = approved == price(order);
        (!fits).then(|| format!("{id} is {:?}: approved {approved:?} won", order.state))
    });
    let unreturned = book.orders.iter().filter(|(id, order)| {
        order.state == OrderState::Refunded && !amounts(id, State::Cancelled).contains(&order.total_price)
    });
    // Whoever waits does so for somebody who will end it.
    let stuck = book.orders.iter().filter(|(id, order)| {
        let any = |open: fn(&Attempt) -> bool| of_order.get(id).into_iter().flatten().any(|one| open(one));
        match order.state {
            OrderState::Paying => !order.reviving && !any(is_open),
            OrderState::RefundPending => !any(|attempt| attempt.returning > 0),
            _ => false,
        }
    });
    let known = attempts.iter().filter(|attempt| book.orders.contains_key(&attempt.order));
    let open = known.clone().filter(|attempt| is_open(attempt) || attempt.returning > 0);
    let bad = |rule: fn(&Attempt) -> bool| {
        known.clone().filter(move |attempt| !rule(attempt)).map(|attempt| &attempt.key)
    };
    vec![
        Check::new(AREA, "no payment and no refund waits for the provider", open.map(|one| &one.key)),
        Check::new(
            AREA,
            "an order that waits for money has a payment or refund open",
            stuck.map(|(id, _)| id),
        ),
        Check::new(AREA, "an order has one approved payment of its price exactly while it is paid", unbooked),
        Check::new(AREA, "of a refunded order all money went back", unreturned.map(|(id, _)| id)),
        Check::new(
            AREA,
            "no more goes back than was paid",
            bad(|attempt| attempt.returned + attempt.returning <= attempt.amount),
        ),
        Check::new(
            AREA,
            "money that no order waits for is on its way back",
            bad(|one| one.state != State::Surplus || one.returned + one.returning == one.amount),
        ),
        Check::new(
            AREA,
            "a payment is over exactly when all of it went back",
            bad(|one| {
                one.state == State::Surplus || (one.state == State::Cancelled) == (one.returned == one.amount)
            }),
        ),
    ]
}

/// Whether the provider has not said yet what became of it.
fn is_open(attempt: &Attempt) -> bool {
    matches!(attempt.state, State::Sent | State::Unknown)
}

/// Whether the shop has money for the order. One paid too late has it while the stock is asked again.
fn owns_money(order: &Order) -> bool {
    match order.state {
        OrderState::Paid | OrderState::RefundPending | OrderState::PartiallyRefunded => true,
        OrderState::Paying => order.reviving,
        _ => false,
    }
}

/// What must hold between the books and the provider; `all` when the book has every order of the shop.
pub(super) fn provider_checks(
    book: &Book,
    attempts: &[Attempt],
    payments: &[Payment],
    all: bool,
) -> Vec<Check> {
    let theirs: HashMap<&str, &Payment> =
        payments.iter().map(|payment| (payment.payment_key.as_str(), payment)).collect();
    let ours: HashMap<&str, &Attempt> =
        attempts.iter().map(|attempt| (attempt.key.as_str(), attempt)).collect();
    let known = attempts.iter().filter(|attempt| book.orders.contains_key(&attempt.order));
    let different = known.filter_map(|attempt| {
        let found = theirs.get(attempt.key.as_str());
        let kept = found.map(|payment| payment.kept());
        let total = found.map(|payment| payment.total_amount);
        let fits = match attempt.state {
            // The answer is not known here; another rule says that it becomes so.
            State::Sent | State::Unknown => true,
            State::Declined => kept.unwrap_or_default() == 0,
            State::Approved | State::Surplus | State::Cancelled => {
                let left = attempt.amount - attempt.returned;
                total == Some(attempt.amount)
                    && (kept == Some(left) || kept == Some(left - attempt.returning))
            }
        };
        (!fits).then(|| {
            format!("{} ({:?}): booked {attempt:?}, the provider keeps {kept:?}", attempt.key, attempt.state)
        })
    });
    let stray = payments.iter().filter(|payment| {
        let about = payment.order_id.parse().ok().is_some_and(|id| book.orders.contains_key(&id));
        (all || about) && payment.kept() > 0 && !ours.contains_key(payment.payment_key.as_str())
    });
    vec![
        Check::new(AREA, "the provider keeps what the books say", different),
        Check::new(
            AREA,
            "the provider took nothing that is not in the books",
            stray.map(|payment| &payment.payment_key),
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::orders::tests::{book, order};

    const BOOKED: &str = "an order has one approved payment of its price exactly while it is paid";
    const KEEPS: &str = "the provider keeps what the books say";
    const OPEN: &str = "no payment and no refund waits for the provider";

    fn attempt(state: State, (returned, returning): (i64, i64)) -> Attempt {
        let order = Uuid::from_u128(1);
        Attempt { order, key: "k".into(), amount: 10, state, returned, returning }
    }

    fn payment(status: &str, balance_amount: i64) -> Payment {
        Payment {
            payment_key: "k".into(),
            order_id: Uuid::from_u128(1).to_string(),
            status: status.into(),
            total_amount: 10,
            balance_amount,
        }
    }

    fn broken(state: OrderState, attempts: &[Attempt], payments: &[Payment]) -> Vec<&'static str> {
        let (_, book) = book(&order(state));
        let theirs = provider_checks(&book, attempts, payments, true);
        let checks = checks(&book, attempts).into_iter().chain(theirs);
        checks.filter(|check| check.broken > 0).map(|check| check.rule).collect()
    }

    #[test]
    fn books_that_agree_with_the_provider_are_clean() {
        use OrderState as S;
        let done = || vec![payment("DONE", 10)];
        for (state, attempts, payments) in [
            (S::Reserved, vec![], vec![payment("READY", 10), payment("IN_PROGRESS", 10)]),
            (S::Paid, vec![attempt(State::Approved, (0, 0))], done()),
            (S::Reserved, vec![attempt(State::Declined, (0, 0))], vec![payment("ABORTED", 10)]),
            (
                S::PartiallyRefunded,
                vec![attempt(State::Approved, (4, 0))],
                vec![payment("PARTIAL_CANCELED", 6)],
            ),
            (S::Refunded, vec![attempt(State::Cancelled, (10, 0))], vec![payment("CANCELED", 0)]),
            (S::Expired, vec![attempt(State::Cancelled, (10, 0))], vec![payment("CANCELED", 0)]),
            (S::Expired, vec![attempt(State::Surplus, (10, 0))], vec![payment("CANCELED", 0)]),
        ] {
            assert!(broken(state, &attempts, &payments).is_empty(), "{state:?} {attempts:?}");
        }
    }

    #[test]
    fn a_paid_order_without_its_money_and_money_without_its_order_are_found() {
        use OrderState as S;
        let approved = || attempt(State::Approved, (0, 0));
        assert_eq!(broken(S::Paid, &[], &[]), [BOOKED]);
        assert_eq!(broken(S::Expired, &[approved()], &[payment("DONE", 10)]), [BOOKED]);
        let cheap = Attempt { amount: 9, ..approved() };
        let nine = Payment { total_amount: 9, ..payment("DONE", 9) };
        assert_eq!(broken(S::Paid, &[cheap], &[nine]), [BOOKED]);
        let second = Attempt { key: "l".into(), ..approved() };
        let other = Payment { payment_key: "l".into(), ..payment("DONE", 10) };
        assert_eq!(broken(S::Paid, &[approved(), second], &[payment("DONE", 10), other]), [BOOKED]);
    }

    #[test]
    fn too_much_and_too_little_that_went_back_are_found() {
        use OrderState as S;
        let over = "a payment is over exactly when all of it went back";
        let too_much = broken(
            S::PartiallyRefunded,
            &[attempt(State::Approved, (4, 7))],
            &[payment("PARTIAL_CANCELED", 6)],
        );
        assert_eq!(too_much, [OPEN, "no more goes back than was paid"]);
        let not_over = broken(S::Refunded, &[attempt(State::Cancelled, (4, 0))], &[payment("CANCELED", 6)]);
        assert_eq!(not_over, [over, KEEPS]);
        let unreturned = broken(S::Refunded, &[], &[]);
        assert_eq!(unreturned, ["of a refunded order all money went back"]);
        let surplus = broken(S::Expired, &[attempt(State::Surplus, (0, 0))], &[payment("DONE", 10)]);
        assert_eq!(surplus, ["money that no order waits for is on its way back"]);
    }

    #[test]
    fn orders_that_wait_for_nobody_are_found() {
        use OrderState as S;
        let stuck = "an order that waits for money has a payment or refund open";
        assert_eq!(broken(S::Paying, &[], &[]), [stuck]);
        let declined = attempt(State::Declined, (0, 0));
        assert_eq!(broken(S::Paying, &[declined], &[payment("ABORTED", 0)]), [stuck]);
        let approved = attempt(State::Approved, (0, 0));
        assert_eq!(broken(S::RefundPending, &[approved], &[payment("DONE", 10)]), [stuck]);
        assert_eq!(broken(S::Paying, &[attempt(State::Unknown, (0, 0))], &[payment("DONE", 10)]), [OPEN]);
        let returning = attempt(State::Approved, (0, 10));
        assert_eq!(broken(S::RefundPending, &[returning], &[payment("DONE", 10)]), [OPEN]);
    }

    #[test]
    fn what_the_provider_says_otherwise_is_found() {
        use OrderState as S;
        let approved = [attempt(State::Approved, (0, 0))];
        assert_eq!(broken(S::Paid, &approved, &[]), [KEEPS]);
        assert_eq!(broken(S::Paid, &approved, &[payment("PARTIAL_CANCELED", 9)]), [KEEPS]);
        let dearer = Payment { total_amount: 11, ..payment("DONE", 10) };
        assert_eq!(broken(S::Paid, &approved, &[dearer]), [KEEPS]);
        let declined = [attempt(State::Declined, (0, 0))];
        assert_eq!(broken(S::Expired, &declined, &[payment("DONE", 10)]), [KEEPS]);
        let stray = "the provider took nothing that is not in the books";
        assert_eq!(broken(S::Expired, &[], &[payment("DONE", 10)]), [stray]);
        let lost = Payment { order_id: Uuid::from_u128(2).to_string(), ..payment("DONE", 10) };
        assert_eq!(broken(S::Expired, &[], &[lost]), [stray]);
        let unknown = [attempt(State::Unknown, (0, 0))];
        assert_eq!(broken(S::Paying, &unknown, &[payment("DONE", 10)]), [OPEN]);
    }

    #[test]
    fn money_on_its_way_back_may_have_arrived() {
        let waiting = [attempt(State::Approved, (0, 4))];
        for payments in [[payment("DONE", 10)], [payment("PARTIAL_CANCELED", 6)]] {
            assert_eq!(broken(OrderState::RefundPending, &waiting, &payments), [OPEN]);
        }
    }
}
