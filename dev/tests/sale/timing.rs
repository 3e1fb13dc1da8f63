//! Who is let in, and when.

use std::time::Duration;

use anyhow::ensure;
use chrono::TimeDelta;
use common::clock::Clock;
use serde_json::json;
use testkit::eventually;

use crate::shop::{PATIENCE, Sale, Shopper, shared};

async fn states(shoppers: &[Shopper], product: common::wire::id::ProductId) -> Vec<String> {
    let mut states = Vec::new();
    for shopper in shoppers {
        let place = shopper.place(product).await.expect(200);
        states.push(place.body["state"].as_str().unwrap().to_owned());
    }
    states
}

fn inside(states: &[String]) -> usize {
    states.iter().filter(|state| matches!(state.as_str(), "ready" | "admitted")).count()
}

#[tokio::test]
async fn nobody_is_in_before_the_delay_and_exactly_count_right_after() {
    let shop = shared();
    let queue = json!({"count": 4, "intervalS": 60});
    let opens = Clock::system().now() + TimeDelta::seconds(3);
    let sale = Sale { units: 50, started_s: 57, queue, ..Sale::default() };
    let product = shop.register(sale).await;
    let shoppers: Vec<_> = (0..10).map(|_| shop.shopper()).collect();
    for shopper in &shoppers {
        let place = shopper.join(product).await.expect(200);
        if Clock::system().now() < opens {
            assert_eq!(place.body["state"], "waiting", "{}", place.body);
        }
    }
    eventually(Duration::from_secs(10), async || {
        let before = states(&shoppers, product).await;
        // All answers came before the opening, or they say nothing about it.
        if Clock::system().now() < opens {
            assert_eq!(inside(&before), 0, "somebody was let in before the opening");
        }
        ensure!(inside(&before) == 4, "{before:?}");
        Ok(())
    })
    .await;
    let after = states(&shoppers, product).await;
    assert_eq!(inside(&after), 4, "exactly the interval's budget is let in: {after:?}");
    assert_eq!(inside(&after[..4]), 4, "in the order of their joins: {after:?}");
}

#[tokio::test]
async fn a_crowd_that_finds_the_queue_empty_does_not_walk_past_the_budget() {
    let shop = shared();
    let queue = json!({"count": 5, "intervalS": 3_600, "admissionDelayS": 0});
    let product = shop.register(Sale { units: 1_000, queue, ..Sale::default() }).await;
    let shoppers: Vec<_> = (0..60).map(|_| shop.shopper()).collect();
    let mut joins = tokio::task::JoinSet::new();
    for shopper in shoppers.clone() {
        joins.spawn(async move { shopper.join(product).await.expect(200).body });
    }
    let straight = joins.join_all().await.into_iter().filter(|place| place["state"] == "admitted").count();
    assert!(straight <= 5, "{straight} walked straight through");
    eventually(PATIENCE, async || {
        let states = states(&shoppers, product).await;
        ensure!(inside(&states) == 5, "{states:?}");
        Ok(())
    })
    .await;
    assert_eq!(inside(&states(&shoppers, product).await), 5);
}

#[tokio::test]
async fn registering_again_moves_to_the_very_end() {
    let shop = shared();
    let product = shop.register(Sale { units: 5, started_s: -600, ..Sale::default() }).await;
    let (first, second) = (shop.shopper(), shop.shopper());
    assert_eq!(first.join(product).await.expect(200).body["rank"], 1);
    assert_eq!(second.join(product).await.expect(200).body["rank"], 2);
    assert_eq!(first.place(product).await.body["rank"], 1, "a look never moves anybody");
    assert_eq!(first.join(product).await.expect(200).body["rank"], 2);
    assert_eq!(second.place(product).await.body["rank"], 1);
    let path = format!("/api/queue/{product}");
    second.http.delete(&path).await.unwrap().expect(204);
    second.http.delete(&path).await.unwrap().expect(204);
    assert_eq!(second.place(product).await.body["state"], "left");
    assert_eq!(first.place(product).await.body["rank"], 1);
}

#[tokio::test]
async fn an_operator_lets_the_next_ones_in_by_hand() {
    let shop = shared();
    let product = shop.register(Sale { units: 50, started_s: -600, ..Sale::default() }).await;
    let shoppers: Vec<_> = (0..5).map(|_| shop.shopper()).collect();
    for shopper in &shoppers {
        shopper.join(product).await.expect(200);
    }
    let path = format!("/api/queue/{product}/admissions");
    shoppers[0].http.post(&path, &json!({"count": 1})).await.unwrap().problem(403, "forbidden");
    let manager = shop.login("manager").await;
    let answer = manager.post(&path, &json!({"count": 2})).await.unwrap().expect(200);
    assert_eq!(answer.body, json!({"requested": 2, "admitted": 2}));
    assert_eq!(states(&shoppers, product).await, ["ready", "ready", "waiting", "waiting", "waiting"]);
}
