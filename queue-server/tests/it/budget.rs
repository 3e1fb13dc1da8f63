//! Many instances at once are one.

use std::collections::{BTreeMap, HashSet};

use common::wire::id::UserId;
use common::wire::queue::StepKind;
use futures::future::join_all;
use queue_server::room::store::Joiner;
use serde_json::json;

use crate::shop::{PRODUCT, ROOM, SOON, Shop, now, sale_of, seconds};

/// Units spent and given back, by interval.
fn by_interval(steps: &[common::wire::queue::Step]) -> BTreeMap<i64, (u32, u32)> {
    let mut intervals = BTreeMap::<i64, (u32, u32)>::new();
    for step in steps {
        let Some(interval) = step.interval else { continue };
        let (spent, back) = intervals.entry(interval).or_default();
        match step.step {
            StepKind::Ready | StepKind::Admitted => *spent += 1,
            StepKind::Left | StepKind::ClaimExpired => *back += 1,
            other => panic!("{other:?} has no interval"),
        }
    }
    intervals
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn eight_tickers_and_joiners_let_in_exactly_count_per_interval() {
    let shop = Shop::open().await;
    let mut sale = sale_of(7);
    sale.queue.interval_s = 1;
    sale.sale_start_time = now() - seconds(100);
    shop.sell(&sale, 10_000).await;
    let until = now() + seconds(4);
    let work = (0..8_i64).map(|worker| {
        let store = shop.store.clone();
        async move {
            let mut user = worker * 10_000;
            while now() < until {
                user += 1;
                store.join(PRODUCT, &[Joiner { user: UserId(user), key: None }]).await.unwrap();
                store.tick(PRODUCT, 1_000).await.unwrap();
                if user % 3 == 0 {
                    store.leave(PRODUCT, UserId(user)).await.unwrap();
                }
            }
        }
    });
    join_all(work).await;
    let steps = shop.log().await;
    let intervals = by_interval(&steps);
    let whole = intervals.len() - 2;
    assert!(whole >= 2, "{intervals:?}");
    // The first and the last one were cut off by the test.
    for (interval, (spent, back)) in intervals.iter().skip(1).take(whole) {
        assert_eq!(*spent, 7 + back, "interval {interval} of {intervals:?}");
    }
    assert!(intervals.values().all(|(spent, back)| *spent <= 7 + back), "{intervals:?}");

    // In order, one ticket each, nobody without having joined.
    let mut tickets = HashSet::new();
    let mut called = 0;
    for step in &steps {
        let ticket = step.ticket.map_or(0, |ticket| ticket.0);
        match step.step {
            StepKind::Joined => assert!(tickets.insert(ticket), "ticket {ticket} twice"),
            StepKind::Ready => {
                assert!(tickets.contains(&ticket));
                assert!(ticket > called, "ticket {ticket} after {called}");
                called = ticket;
            }
            _ => {}
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crowd_that_finds_the_line_empty_does_not_walk_past_the_budget() {
    let shop = Shop::open().await;
    shop.sell(&sale_of(5), 1_000).await;
    let other = shop.another("queue-server-2").await;
    let crowd = (1..=60).map(async |user| {
        let door = if user % 2 == 0 { shop.anybody() } else { other.clone() };
        let login = door.login(&shop.token(user, common::wire::token::Role::Customer));
        login.post(ROOM, &json!({})).await.unwrap().expect(200).body["state"].clone()
    });
    let states = join_all(crowd).await;
    let admitted = states.iter().filter(|state| **state == "admitted").count();
    assert_eq!(admitted, 5, "{:#?}", shop.log().await);
    assert_eq!(shop.steps(StepKind::Ready).await.len(), 0);
}

#[tokio::test]
async fn two_instances_are_one_room() {
    let shop = Shop::open().await;
    shop.store.product(&sale_of(1)).await.unwrap();
    let other = shop.another("queue-server-2").await;
    let token = shop.token(2, common::wire::token::Role::Customer);
    let second = other.login(&token);
    shop.join(1).await;
    assert_eq!(second.post(ROOM, &json!({})).await.unwrap().expect(200).body["rank"], 2);
    assert_eq!(shop.place(2).await.body["rank"], 2);
    shop.decide(1, [5, 5, 0, 0]).await;
    shop.until(1, "ready").await;
    let wish = format!("{ROOM}/token");
    let here = shop.anybody().login(&token);
    // The right of one instance is the right of the other.
    let _ = shop.shopper(1).delete(ROOM).await.unwrap().expect(204);
    testkit::eventually(SOON, async || {
        anyhow::ensure!(second.get(ROOM).await?.body["state"] == "ready");
        Ok(())
    })
    .await;
    let one = here.post(&wish, &json!({})).await.unwrap().expect(200).body["expiresAt"].clone();
    assert_eq!(second.post(&wish, &json!({})).await.unwrap().expect(200).body["expiresAt"], one);
    assert_eq!(shop.steps(StepKind::Ready).await.len(), 2);
}
