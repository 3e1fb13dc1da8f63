//! The order pipeline in the small, exhaustively: orders × payments × reservations, every order of steps, one crash
//! anywhere. The steps are taken by the rules of the services themselves; what is around them (outboxes, logs, the
//! payment provider) is a queue each.

#![expect(clippy::unwrap_used, reason = "a test panics when something fails")]

mod world;

use std::collections::HashSet;

use world::{Shape, Step, World};

/// Takes every step from every state that can be reached; returns how many states there are.
fn explore(shape: Shape) -> usize {
    let start = World::new(shape);
    let mut seen = HashSet::from([start.fingerprint()]);
    // How each state was reached: the one before it, and the step.
    let mut ways: Vec<(usize, Option<Step>)> = vec![(0, None)];
    let mut open = vec![(start, 0)];
    while let Some((world, number)) = open.pop() {
        let steps = world.steps();
        if let Err(wrong) = world.check(steps.iter().all(|step| step.is_optional())) {
            panic!("{wrong}\nafter {:#?}\n{world:#?}", way_to(number, &ways));
        }
        for step in steps {
            let mut next = world.clone();
            next.take(step);
            if seen.insert(next.fingerprint()) {
                open.push((next, ways.len()));
                ways.push((number, Some(step)));
            }
        }
    }
    seen.len()
}

fn way_to(mut number: usize, ways: &[(usize, Option<Step>)]) -> Vec<Step> {
    let mut way = Vec::new();
    while let (before, Some(step)) = ways[number] {
        way.push(step);
        number = before;
    }
    way.reverse();
    way
}

#[test]
fn two_orders_for_one_unit_end_well_whatever_happens_in_between() {
    let states = explore(Shape { orders: 2, products: 1, stock: 1, crashes: 1 });
    assert!(states > 10_000, "only {states} states: is a step missing?");
}

#[test]
fn an_order_of_two_products_is_all_or_nothing_whatever_happens_in_between() {
    let states = explore(Shape { orders: 1, products: 2, stock: 1, crashes: 1 });
    assert!(states > 1_000, "only {states} states: is a step missing?");
}
