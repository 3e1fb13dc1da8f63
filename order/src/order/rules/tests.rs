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

fn triggers() -> [Trigger; 9] {
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
    for from in ALL {
        for trigger in triggers() {
            if let Ok(to) = next(from, trigger) {
                legal.push((name(from), trigger.cause(), name(to)));
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

fn any_trigger() -> impl Strategy<Value = Trigger> {
    (0..triggers().len()).prop_map(|index| triggers()[index])
}

fn any_answer() -> impl Strategy<Value = (i64, i32, Option<Refusal>)> {
    let refusal = prop_oneof![3 => Just(None), 1 => Just(Some(Refusal::SoldOut))];
    (1..=3_i64, prop_oneof![9 => Just(1), 1 => Just(2)], refusal)
}

proptest! {
    #[test]
    fn no_sequence_leaves_the_table(sequence in prop::collection::vec(any_trigger(), 0..30)) {
        let mut order = order(2);
        order.holds.iter_mut().for_each(|hold| hold.held = true);
        let (mut released_times, mut confirmed_times) = (0, 0);
        for trigger in sequence {
            let before = order.clone();
            match order.take(trigger, By::System, start()) {
                Ok(step) => {
                    assert_eq!(order.seq, before.seq + 1);
                    assert_eq!(next(before.state, trigger), Ok(order.state));
                    assert_eq!(step.event.seq, order.seq);
                    assert_eq!(step.event.state, order.state);
                    released_times += usize::from(!released(&step.commands).is_empty());
                    confirmed_times +=
                        usize::from(step.commands.iter().any(|c| matches!(c, StockCommand::Confirm(_))));
                }
                Err(_) => assert_eq!(order, before),
            }
        }
        assert!(released_times + confirmed_times <= 1, "units are settled once");
        assert_eq!(confirmed_times == 1, order.state == OrderState::Paid);
        assert_eq!(released_times == 1, !order.keeps_units());
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
