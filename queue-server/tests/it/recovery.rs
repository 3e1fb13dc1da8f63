//! A Redis of a test's own that dies, and loses what it wrote last.

use common::wire::queue::StepKind;
use common::wire::token::Role;
use serde_json::json;
use testkit::own::Own;
use testkit::process::Server as _;
use testkit::redis::Redis;

use crate::shop::{PRODUCT, ROOM, SOON, Shop, sale_of};

async fn recovered(shop: &Shop, times: usize) {
    testkit::eventually(SOON, async || {
        shop.store.place(PRODUCT, common::wire::id::UserId(1)).await?;
        let steps = shop.log().await;
        let count = steps.iter().filter(|step| step.step == StepKind::Recovered).count();
        anyhow::ensure!(count == times, "{count} times");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_dies_takes_nobody_s_place_and_lets_nobody_in_twice() {
    let mut own = Own::start(Redis::start);
    let shop = Shop::on(own.server.url(), |_| {}).await;
    shop.sell(&sale_of(4), 100).await;
    // Two walk in, the rest wait; two are called, by whom the budget is spent, and one of them comes.
    for user in 1..=12 {
        shop.join(user).await;
    }
    let ranks = async || {
        let mut ranks = Vec::new();
        for user in 5..=12 {
            ranks.push(shop.place(user).await.body["rank"].as_u64());
        }
        ranks
    };
    let before = ranks().await;
    assert_eq!(before.first(), Some(&Some(1)));
    let given = shop.shopper(1).get(ROOM).await.unwrap().expect(200).body["expiresAt"].clone();
    // Lost with the machine: new people, and somebody who is let in by hand and comes.
    for user in 777_001..=777_005 {
        shop.join(user).await;
    }
    let _ =
        shop.manager().post(&format!("{ROOM}/admissions"), &json!({"count": 1})).await.unwrap().expect(200);
    let _ = shop.shopper(5).post(&format!("{ROOM}/token"), &json!({})).await.unwrap().expect(200);
    own.server.die_before("777001").unwrap();
    own.server.restart().unwrap();
    recovered(&shop, 1).await;

    assert_eq!(ranks().await, before, "places are as they were before the last second");
    assert_eq!(shop.place(1).await.body["expiresAt"], given);
    let recovered_at = shop.steps(StepKind::Recovered).await[0].ticket.unwrap().0;
    assert_eq!(recovered_at, 12);
    // A number that was given and lost is not given again.
    let place = shop.join(777_001).await;
    assert_eq!((&place.body["state"], &place.body["rank"]), (&json!("waiting"), &json!(9)));
    assert_eq!(shop.steps(StepKind::Joined).await.last().unwrap().ticket.unwrap().0, 100_013);
    // The interval's budget may have been given before: it is not given again.
    let admitted = |steps: Vec<common::wire::queue::Step>| {
        steps.iter().filter(|step| step.step == StepKind::Ready || step.step == StepKind::Admitted).count()
    };
    assert_eq!(shop.store.tick(PRODUCT, 1_000).await.unwrap().unwrap().called, 0);
    assert_eq!(admitted(shop.log().await), 4);
    assert_eq!(shop.place(1).await.body["state"], "admitted");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_redis_is_away_turns_do_not_run_out_and_nobody_goes_away() {
    let mut own = Own::start(Redis::start);
    let shop = Shop::on(own.server.url(), |_| {}).await;
    let mut sale = sale_of(1);
    (sale.queue.claim_poll_s, sale.queue.away_after_s, sale.queue.grace_s) = (3, 3, 0);
    shop.store.product(&sale).await.unwrap();
    shop.join(1).await;
    shop.join(2).await;
    shop.decide(1, [10, 10, 0, 0]).await;
    shop.until(1, "ready").await;
    own.server.kill9();
    let dead = std::time::Instant::now();
    testkit::eventually(SOON, async || {
        anyhow::ensure!(dead.elapsed().as_millis() > 4_000, "dead for {:?}", dead.elapsed());
        Ok(())
    })
    .await;
    own.server.restart().unwrap();
    recovered(&shop, 1).await;
    let claim = shop.shopper(1).post(&format!("{ROOM}/token"), &json!({})).await.unwrap();
    let _ = claim.expect(200);
    assert_eq!(shop.place(2).await.body["state"], "waiting");
    assert!(shop.steps(StepKind::Expired).await.is_empty());
    // The same right from another login.
    let other = shop.login(1, Role::Customer).post(&format!("{ROOM}/token"), &json!({})).await.unwrap();
    let _ = other.expect(200);
}
