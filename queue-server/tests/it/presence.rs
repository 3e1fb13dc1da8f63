//! Who is there, and who is not: being away, the grace, coming back.

use common::wire::id::{Ticket, UserId};
use common::wire::product::{ProductSnapshot, Rejoin, StartOrder};
use common::wire::queue::StepKind;
use queue_server::room::store::Standing;
use serde_json::json;

use crate::moments;
use crate::shop::{PRODUCT, ROOM, SOON, Shop, now, sale_of, sale_to_come, seconds};

/// The line as the store has it: nobody is heard of by this.
async fn standing(shop: &Shop, user: i64) -> Standing {
    shop.store.place(PRODUCT, UserId(user)).await.unwrap().unwrap()
}

async fn hear(shop: &Shop, user: i64) {
    let ticket = standing(shop, user).await.ticket.unwrap();
    shop.store.present(PRODUCT, false, &[ticket]).await.unwrap();
}

/// Waits for as many steps of this kind, of these users.
async fn until(shop: &Shop, kind: StepKind, users: &[i64]) {
    testkit::eventually(SOON, async || {
        let steps = shop.steps(kind).await;
        let found: Vec<i64> = steps.iter().filter_map(|step| Some(step.user?.0)).collect();
        anyhow::ensure!(found == users, "{kind:?} {found:?}, not {users:?}");
        Ok(())
    })
    .await;
}

/// A room that opens later, in which 1, 2 and 3 wait.
async fn line(sale: ProductSnapshot) -> Shop {
    let shop = Shop::open().await;
    shop.sell(&sale, 10).await;
    for user in [1, 2, 3] {
        shop.join(user).await;
    }
    shop
}

#[tokio::test]
async fn whoever_is_silent_for_45_s_is_away_and_keeps_the_place() {
    let shop = line(sale_to_come()).await;
    moments::pass(&shop.redis, PRODUCT, 40).await;
    hear(&shop, 2).await;
    moments::pass(&shop.redis, PRODUCT, 10).await;
    until(&shop, StepKind::Away, &[1, 3]).await;
    let place = standing(&shop, 3).await;
    assert_eq!((place.rank, place.total), (3, 3));
}

#[tokio::test]
async fn back_within_the_grace_it_is_the_same_ticket() {
    let shop = line(sale_to_come()).await;
    moments::pass(&shop.redis, PRODUCT, 50).await;
    until(&shop, StepKind::Away, &[1, 2, 3]).await;
    moments::pass(&shop.redis, PRODUCT, 290).await;
    hear(&shop, 2).await;
    until(&shop, StepKind::Back, &[2]).await;
    assert_eq!(standing(&shop, 2).await.rank, 2);
    assert_eq!(shop.steps(StepKind::Joined).await.len(), 3);
}

#[tokio::test]
async fn after_the_grace_the_ticket_is_gone_for_ever() {
    let shop = line(sale_to_come()).await;
    let ticket = standing(&shop, 1).await.ticket.unwrap();
    moments::pass(&shop.redis, PRODUCT, 200).await;
    hear(&shop, 2).await;
    hear(&shop, 3).await;
    moments::pass(&shop.redis, PRODUCT, 150).await;
    until(&shop, StepKind::Expired, &[1]).await;
    shop.store.present(PRODUCT, true, &[ticket]).await.unwrap();
    assert_eq!(shop.place(1).await.body["state"], "expired");
    assert_eq!(standing(&shop, 2).await.rank, 1);
    let again = shop.join(1).await;
    assert_eq!((&again.body["state"], &again.body["rank"]), (&json!("waiting"), &json!(3)));
}

#[tokio::test]
async fn admissions_pass_over_somebody_away_who_comes_before_all_later_ones_once_back() {
    let shop = Shop::open().await;
    // Nobody is let in before the first decision.
    let sale = sale_of(3);
    shop.store.product(&sale).await.unwrap();
    for user in 1..=6 {
        shop.join(user).await;
    }
    moments::pass(&shop.redis, PRODUCT, 50).await;
    for user in [2, 4, 5, 6] {
        hear(&shop, user).await;
    }
    shop.decide(1, [10, 10, 0, 0]).await;
    shop.until(5, "ready").await;
    let called = async || {
        let steps = shop.steps(StepKind::Ready).await;
        steps.iter().map(|step| step.user.unwrap().0).collect::<Vec<_>>()
    };
    assert_eq!(called().await, [2, 4, 5]);
    assert_eq!(standing(&shop, 1).await.rank, 1);
    assert_eq!(standing(&shop, 6).await.rank, 3);
    hear(&shop, 3).await;
    let answer = shop.manager().post(&format!("{ROOM}/admissions"), &json!({"count": 5})).await.unwrap();
    assert_eq!(answer.expect(200).body["admitted"], 2);
    assert_eq!(called().await, [2, 4, 5, 3, 6]);
}

#[tokio::test]
async fn an_empty_line_leads_straight_in_but_one_away_still_bars_the_way() {
    let shop = Shop::open().await;
    shop.store.product(&sale_of(5)).await.unwrap();
    shop.join(1).await;
    moments::pass(&shop.redis, PRODUCT, 50).await;
    until(&shop, StepKind::Away, &[1]).await;
    shop.decide(1, [10, 10, 0, 0]).await;
    assert_eq!(shop.join(2).await.body["state"], "waiting");
    shop.until(2, "ready").await;
    assert_eq!(standing(&shop, 1).await.rank, 1);
}

#[tokio::test]
async fn with_policy_keep_registering_again_is_a_sign_of_life() {
    let mut sale = sale_to_come();
    sale.queue.rejoin = Rejoin::Keep;
    let shop = line(sale).await;
    moments::pass(&shop.redis, PRODUCT, 50).await;
    until(&shop, StepKind::Away, &[1, 2, 3]).await;
    assert_eq!(shop.join(2).await.body["rank"], 2);
    until(&shop, StepKind::Back, &[2]).await;
    moments::pass(&shop.redis, PRODUCT, 300).await;
    let again = shop.join(1).await;
    assert_eq!(again.body["state"], "waiting");
    // The old ticket is gone with its grace, whoever of the tick and the shopper came first.
    assert!(shop.steps(StepKind::Expired).await.iter().any(|step| step.user == Some(UserId(1))));
    assert_eq!(standing(&shop, 1).await.ticket, Some(Ticket(4)));
}

#[tokio::test]
async fn moving_to_the_end_makes_somebody_away_present() {
    let shop = line(sale_to_come()).await;
    moments::pass(&shop.redis, PRODUCT, 50).await;
    until(&shop, StepKind::Away, &[1, 2, 3]).await;
    assert_eq!(shop.join(1).await.body["rank"], 3);
    moments::pass(&shop.redis, PRODUCT, 310).await;
    until(&shop, StepKind::Expired, &[2, 3]).await;
    assert_eq!(standing(&shop, 1).await.rank, 1);
}

#[tokio::test]
async fn a_turn_lasts_as_long_as_the_shopper_needs_to_hear_of_it() {
    let shop = Shop::open().await;
    shop.store.product(&sale_of(2)).await.unwrap();
    shop.join(1).await;
    shop.join(2).await;
    let ticket = standing(&shop, 2).await.ticket.unwrap();
    shop.store.present(PRODUCT, true, &[ticket]).await.unwrap();
    shop.decide(1, [10, 10, 0, 0]).await;
    shop.until(2, "ready").await;
    for (user, within) in [(1, 120), (2, 60)] {
        let ready =
            shop.steps(StepKind::Ready).await.into_iter().find(|step| step.user == Some(UserId(user)));
        let until = standing(&shop, user).await.claim_until.unwrap();
        assert_eq!(until - ready.unwrap().at, within * 1_000, "{user}");
    }
}

#[tokio::test]
async fn time_in_which_nobody_serves_the_room_is_nobody_s_silence() {
    let shop = Shop::open().await;
    shop.store.product(&sale_of(1)).await.unwrap();
    for user in [1, 2] {
        shop.join(user).await;
    }
    shop.decide(1, [10, 10, 0, 0]).await;
    shop.until(1, "ready").await;
    moments::pass_unserved(&shop.redis, PRODUCT, 1_000).await;
    assert_eq!(shop.place(1).await.body["state"], "ready");
    // A served pass over the line finds nobody away.
    moments::pass(&shop.redis, PRODUCT, 20).await;
    shop.store.tick(PRODUCT, 1_000).await.unwrap();
    assert_eq!(standing(&shop, 2).await.rank, 1);
    assert!(shop.steps(StepKind::Away).await.is_empty());
}

#[tokio::test]
async fn whoever_joins_first_after_an_outage_is_not_there_for_as_long_as_it_lasted() {
    let shop = Shop::with(|config| config.tick_ms = 1_000).await;
    shop.sell(&sale_to_come(), 10).await;
    shop.join(1).await;
    moments::pass_unserved(&shop.redis, PRODUCT, 1_000).await;
    shop.join(2).await;
    // A tick finds out, and begins a pass.
    testkit::eventually(SOON, async || {
        let key = format!("room:{{{PRODUCT}}}:meta");
        let began = shop.redis.hash_field(&key, "sweepBegan").await?.unwrap_or_default();
        anyhow::ensure!(began.parse::<i64>()? > now().timestamp_millis() - 5_000, "{began}");
        Ok(())
    })
    .await;
    moments::pass(&shop.redis, PRODUCT, 50).await;
    until(&shop, StepKind::Away, &[1, 2]).await;
}

#[tokio::test]
async fn before_the_draw_there_are_no_places_and_after_it_those_that_the_seed_gives() {
    let shop = Shop::open().await;
    let mut sale = sale_to_come();
    sale.queue.start_order = StartOrder::Draw;
    shop.sell(&sale, 10).await;
    let committed = shop.steps(StepKind::Committed).await[0].text.clone().unwrap();
    // More than one tick draws.
    let people: Vec<i64> = (1..=1_200).collect();
    for some in people.chunks(60) {
        let some: Vec<_> = some
            .iter()
            .map(|user| queue_server::room::store::Joiner { user: UserId(*user), key: None })
            .collect();
        shop.store.join(PRODUCT, &some).await.unwrap();
    }
    let place = shop.join(2_000).await;
    assert_eq!(
        (&place.body["state"], &place.body["total"], &place.body["reason"]),
        (&json!("waiting"), &json!(1_201), &json!("notOpen"))
    );
    assert!(place.body["rank"].is_null() && place.body["startsAt"].is_string(), "{}", place.body);
    // By hand nobody comes in before it either.
    let answer = shop.manager().post(&format!("{ROOM}/admissions"), &json!({"count": 5})).await.unwrap();
    assert_eq!(answer.expect(200).body["admitted"], 0);
    let _ = shop.shopper(7).delete(ROOM).await.unwrap().expect(204);

    (sale.version, sale.sale_start_time, sale.queue.count) = (2, now() - seconds(10), 100);
    shop.store.product(&sale).await.unwrap();
    testkit::eventually(SOON, async || {
        anyhow::ensure!(shop.steps(StepKind::Ready).await.len() == 100);
        Ok(())
    })
    .await;
    let drawn = shop.steps(StepKind::Drawn).await;
    let (seed, count) = (drawn[0].text.clone().unwrap(), drawn[0].ticket.unwrap().0.cast_unsigned());
    assert_eq!((drawn.len(), common::draw::commitment(&seed), count), (1, committed, 1_201));
    assert_eq!(shop.steps(StepKind::DrawEnded).await.len(), 1);
    let mut wanted: Vec<(u64, i64)> = shop
        .steps(StepKind::Joined)
        .await
        .iter()
        .map(|step| (step.ticket.unwrap().0.cast_unsigned(), step.user.unwrap().0))
        .map(|(ticket, user)| (common::draw::drawn(&seed, ticket, count), user))
        .filter(|(_, user)| *user != 7)
        .collect();
    wanted.sort_unstable();
    let ready = shop.steps(StepKind::Ready).await;
    let called: Vec<(u64, i64)> =
        ready.iter().map(|step| (step.ticket.unwrap().0.cast_unsigned(), step.user.unwrap().0)).collect();
    assert_eq!(called, wanted[..100]);
    // Who comes later stands behind all of them.
    let late = shop.join(3_000).await;
    assert_eq!((&late.body["rank"], &late.body["total"]), (&json!(1_101), &json!(1_101)));
}

#[tokio::test]
async fn a_room_s_keys_end_a_day_after_its_sale_unless_it_goes_on() {
    let shop = line(sale_to_come()).await;
    let ends = async || {
        let mut ends = Vec::new();
        for part in ["meta", "log", "tickets", "seen"] {
            ends.push(moments::ends_at(&shop.redis, PRODUCT, part).await);
        }
        ends
    };
    assert_eq!(ends().await, [None; 4]);
    let mut sale = sale_to_come();
    (sale.version, sale.deleted) = (2, true);
    shop.store.product(&sale).await.unwrap();
    let day = now() + seconds(86_400);
    for at in ends().await {
        let off = (at.unwrap() - day.timestamp_millis()).abs();
        assert!(off < 60_000, "{off} ms off");
    }
    // News of orders that come after the end are not kept for ever either.
    let order = (common::wire::id::OrderId::new(), 2);
    shop.order(order, (1, 1), 1, queue_server::room::rules::Effect::Holds).await;
    assert!(moments::ends_at(&shop.redis, PRODUCT, "orders").await.is_some());
    (sale.version, sale.deleted) = (3, false);
    shop.store.product(&sale).await.unwrap();
    assert_eq!(ends().await, [None; 4]);
}
