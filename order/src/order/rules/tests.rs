use chrono::Duration;
use common::wire::id::Ticket;
use common::wire::money::Won;
use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};

use super::*;
use crate::order::Hold;

const ALL: [OrderState; 11] = [
    OrderState::Received,
    OrderState::Reserved,
    OrderState::Rejected,
    OrderState::Paying,
    OrderState::Paid,
    OrderState::Expired,
    OrderState::Cancelled,
    OrderState::Failed,
    OrderState::RefundPending,
    OrderState::Refunded,
    OrderState::PartiallyRefunded,
];

fn start() -> Time {
    Time::from_timestamp(1_800_000_000, 0).unwrap()
}

fn until() -> Time {
    start() + Duration::seconds(300)
}

fn triggers() -> [Trigger; 16] {
    [
        Trigger::Held { until: until() },
        Trigger::Refused { reason: Refusal::SoldOut },
        Trigger::Unanswered,
        Trigger::Cancelled,
        Trigger::TimeOver,
        Trigger::PaymentStarted,
        Trigger::Approved,
        Trigger::Declined { in_time: true },
        Trigger::Declined { in_time: false },
        Trigger::PaidLate,
        Trigger::RefundAsked { cancels: false },
        Trigger::RefundAsked { cancels: true },
        Trigger::Refunded { whole: true, restock: true },
        Trigger::Refunded { whole: false, restock: true },
        Trigger::RefundRefused { partly: true },
        Trigger::RefundRefused { partly: false },
    ]
}

fn order(products: i64) -> Order {
    let holds = (1..=products).map(|product| Hold {
        product: ProductId(product),
        quantity: 2,
        ticket: Ticket(product * 10),
        price_version: 1,
        attempt: 1,
        held: false,
    });
    Order {
        id: OrderId::new(),
        user: UserId(7),
        state: OrderState::Received,
        reviving: false,
        seq: 1,
        total: Won(1_000),
        expires_at: None,
        resends: 0,
        created_at: start(),
        holds: holds.collect(),
    }
}

fn told(order: &Order, product: i64, refused: Option<Refusal>) -> Told {
    Told { order: order.id, product: ProductId(product), attempt: 1, refused }
}

fn run(told: &[Told], order: &mut Order) -> Decided {
    let mut orders = BTreeMap::from([(order.id, order.clone())]);
    let decided = decide(&mut orders, told, until(), start());
    *order = orders.remove(&order.id).unwrap();
    decided
}

fn released(commands: &[StockCommand]) -> Vec<i64> {
    let release = |command: &StockCommand| match command {
        StockCommand::Release(settle) => Some(settle.product_id.0),
        _ => None,
    };
    commands.iter().filter_map(release).collect()
}

#[test]
fn exactly_the_listed_transitions_exist() {
    let mut legal = Vec::new();
    for (from, reviving) in ALL.map(|from| (from, false)).into_iter().chain([(OrderState::Paying, true)]) {
        for trigger in triggers() {
            if let Ok(to) = next((from, reviving), trigger) {
                let from = if reviving { "reviving" } else { name(from) };
                legal.push((from, trigger.cause(), name(to)));
            }
        }
    }
    let expected = [
        ("received", "stock-held", "reserved"),
        ("received", "stock-refused", "rejected"),
        ("received", "stock-silent", "failed"),
        ("reserved", "buyer-cancelled", "cancelled"),
        ("reserved", "time-over", "expired"),
        ("reserved", "payment-started", "paying"),
        ("paying", "payment-approved", "paid"),
        ("paying", "payment-declined", "reserved"),
        ("paying", "payment-declined", "expired"),
        ("paid", "refund-asked", "refundPending"),
        ("paid", "buyer-cancelled", "refundPending"),
        ("expired", "payment-late", "paying"),
        ("cancelled", "payment-late", "paying"),
        ("failed", "payment-late", "paying"),
        ("refundPending", "refund-done", "refunded"),
        ("refundPending", "refund-done", "partiallyRefunded"),
        ("refundPending", "refund-refused", "partiallyRefunded"),
        ("refundPending", "refund-refused", "paid"),
        ("partiallyRefunded", "refund-asked", "refundPending"),
        ("partiallyRefunded", "buyer-cancelled", "refundPending"),
        ("reviving", "stock-held", "paid"),
        ("reviving", "stock-refused", "refundPending"),
        ("reviving", "stock-silent", "refundPending"),
    ];
    assert_eq!(legal, expected);
}

#[test]
fn names_are_those_of_the_wire() {
    for state in ALL {
        assert_eq!(serde_json::to_value(state).unwrap(), name(state));
    }
}

#[test]
fn an_order_is_reserved_when_its_last_product_is_held() {
    let mut order = order(2);
    let decided = run(&[told(&order, 1, None)], &mut order);
    assert_eq!((decided.held.len(), decided.steps.len(), decided.strays.len()), (1, 0, 0));
    let decided = run(&[told(&order, 2, None)], &mut order);
    assert_eq!(decided.steps.len(), 1);
    assert_eq!((order.state, order.seq, order.expires_at), (OrderState::Reserved, 2, Some(until())));
    assert!(decided.steps[0].commands.is_empty());
}

#[test]
fn one_refusal_rejects_the_order_and_releases_the_winners() {
    let mut order = order(3);
    let answers = [told(&order, 1, None), told(&order, 2, Some(Refusal::Limit)), told(&order, 3, None)];
    let decided = run(&answers, &mut order);
    assert_eq!(order.state, OrderState::Rejected);
    assert_eq!(decided.steps[0].event.reason.as_deref(), Some("limit"));
    assert_eq!(released(&decided.steps[0].commands), [1], "held before the refusal");
    assert_eq!(released(&decided.strays), [3], "held after it");
}

#[test]
fn a_repeated_answer_changes_nothing_while_the_order_holds_it() {
    let mut order = order(1);
    run(&[told(&order, 1, None)], &mut order);
    for trigger in [Trigger::PaymentStarted, Trigger::Approved] {
        let decided = run(&[told(&order, 1, None), told(&order, 1, Some(Refusal::SoldOut))], &mut order);
        assert!(decided.held.is_empty() && decided.steps.is_empty() && decided.strays.is_empty());
        order.take(trigger, By::System, start()).unwrap();
    }
}

#[test]
fn a_yes_that_nobody_waits_for_is_given_back() {
    let mut failed = order(1);
    let step = failed.take(Trigger::Unanswered, By::System, start()).unwrap();
    assert_eq!(released(&step.commands), [1]);
    assert_eq!(released(&run(&[told(&failed, 1, None)], &mut failed).strays), [1]);

    let mut other_attempt = order(1);
    let late = Told { attempt: 2, ..told(&other_attempt, 1, None) };
    assert_eq!(released(&run(&[late], &mut other_attempt).strays), [1]);
    assert_eq!(other_attempt.state, OrderState::Received);

    let unknown = told(&order(1), 1, None);
    let decided = decide(&mut BTreeMap::new(), &[unknown], until(), start());
    assert_eq!(released(&decided.strays), [1]);
}

fn of_first_product(command: &StockCommand) -> Option<(i32, &'static str)> {
    let attempt = match command {
        StockCommand::Reserve(reserve) if reserve.product_id.0 == 1 => reserve.attempt,
        StockCommand::Confirm(s) | StockCommand::Release(s) | StockCommand::Restock(s)
            if s.product_id.0 == 1 =>
        {
            s.attempt
        }
        _ => return None,
    };
    Some((attempt, common::wire::event::Event::kind(command)))
}

#[test]
fn a_late_payment_asks_again_and_is_paid_or_refunded() {
    for refused in [None, Some(Refusal::SoldOut)] {
        let mut order = order(2);
        run(&[told(&order, 1, None), told(&order, 2, None)], &mut order);
        order.take(Trigger::TimeOver, By::System, start()).unwrap();
        let step = order.take(Trigger::PaidLate, By::System, start()).unwrap();
        assert_eq!((order.state, order.reviving, step.commands.len()), (OrderState::Paying, true, 2));
        let again = |product, refused| Told { attempt: 2, ..told(&order, product, refused) };
        let (first, second) = (again(1, None), again(2, refused));
        // The first attempt was given back: its answers mean nothing any more.
        let late = told(&order, 1, None);
        assert_eq!(released(&run(&[late], &mut order).strays), [1]);
        let decided = run(&[first, second], &mut order);
        let commands: Vec<_> = decided.steps[0].commands.iter().filter_map(of_first_product).collect();
        match refused {
            None => {
                assert_eq!((order.state, order.reviving), (OrderState::Paid, false));
                assert_eq!(commands, [(2, "stock.confirm.v1")]);
            }
            Some(_) => {
                assert_eq!((order.state, order.reviving), (OrderState::RefundPending, false));
                assert_eq!(commands, [(2, "stock.release.v1")]);
                let step = order.take(Trigger::Refunded { whole: true, restock: true }, By::System, start());
                assert_eq!(step.unwrap().commands, [], "there is nothing to sell again");
            }
        }
    }
}

fn any_trigger() -> impl Strategy<Value = Trigger> {
    (0..triggers().len()).prop_map(|index| triggers()[index])
}

fn any_answer() -> impl Strategy<Value = (i64, i32, Option<Refusal>)> {
    let refusal = prop_oneof![3 => Just(None), 1 => Just(Some(Refusal::SoldOut))];
    (1..=3_i64, prop_oneof![9 => Just(1), 1 => Just(2)], refusal)
}

proptest! {
    #[test]
    fn no_sequence_leaves_the_table(sequence in prop::collection::vec(any_trigger(), 0..60)) {
        let mut order = order(2);
        let mut told: Vec<(i32, &'static str)> = Vec::new();
        for trigger in sequence {
            if order.waits_for_stock() && matches!(trigger, Trigger::Held { .. }) {
                order.holds.iter_mut().for_each(|hold| hold.held = true);
            }
            let before = order.clone();
            match order.take(trigger, By::System, start()) {
                Ok(step) => {
                    assert_eq!(order.seq, before.seq + 1);
                    assert_eq!(next((before.state, before.reviving), trigger), Ok(order.state));
                    assert_eq!((step.event.seq, step.event.state, step.reviving), (order.seq, order.state, order.reviving));
                    assert!(!order.reviving || order.state == OrderState::Paying);
                    assert!(order.state != OrderState::Paying || order.expires_at.is_some());
                    told.extend(step.commands.iter().filter_map(of_first_product));
                }
                Err(_) => {
                    assert_eq!((order.state, order.seq), (before.state, before.seq));
                }
            }
        }
        // What each attempt of the first product was told, in order.
        for attempt in 1..=order.holds[0].attempt {
            let settled: Vec<_> =
                told.iter().filter(|(of, kind)| *of == attempt && *kind != "stock.reserve.v1").map(|(_, kind)| *kind).collect();
            let legal: [&[&str]; 4] =
                [&[], &["stock.release.v1"], &["stock.confirm.v1"], &["stock.confirm.v1", "stock.restock.v1"]];
            assert!(legal.contains(&&*settled), "attempt {attempt}: {settled:?}");
            if attempt < order.holds[0].attempt {
                assert_eq!(settled, ["stock.release.v1"], "asked again only after giving back");
            }
        }
    }

    #[test]
    fn units_are_kept_exactly_by_orders_that_hold_them(
        answers in prop::collection::vec(any_answer(), 0..20),
        split in any::<prop::sample::Index>(),
    ) {
        let mut order = order(3);
        let answers: Vec<Told> = answers
            .into_iter()
            .map(|(product, attempt, refused)| Told { attempt, ..told(&order, product, refused) })
            .collect();
        // Batches may be cut anywhere.
        let (first, second) = answers.split_at(split.index(answers.len() + 1));
        let mut given_back = Vec::new();
        let mut steps = 0;
        for batch in [first, second] {
            let decided = run(batch, &mut order);
            steps += decided.steps.len();
            let commands = decided.steps.iter().flat_map(|step| step.commands.clone()).chain(decided.strays);
            given_back.extend(commands);
        }
        assert!(steps <= 1);
        assert_eq!(order.state == OrderState::Reserved, order.holds.iter().all(|hold| hold.held));
        for answer in answers.iter().filter(|answer| answer.refused.is_none()) {
            let gave_back = given_back.iter().any(|command| match command {
                StockCommand::Release(s) => s.product_id == answer.product && s.attempt == answer.attempt,
                _ => false,
            });
            let keeps = order.keeps_units() && answer.attempt == 1;
            assert_eq!(gave_back, !keeps, "{answer:?} {order:?}");
        }
    }
}
