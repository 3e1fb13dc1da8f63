//! What the stock does to a room.

use common::wire::id::OrderId;
use common::wire::queue::StepKind;
use queue_server::room::rules::Effect;
use serde_json::json;

use crate::shop::{ROOM, SOON, Shop, now, sale, sale_of, sale_to_come, seconds};

#[tokio::test]
async fn while_all_units_are_reserved_nobody_is_called_and_turns_do_not_run_out() {
    let shop = Shop::open().await;
    let mut sale = sale_of(1);
    sale.queue.claim_poll_s = 1;
    shop.store.product(&sale).await.unwrap();
    shop.join(1).await;
    shop.join(2).await;
    shop.decide(1, [5, 5, 0, 0]).await;
    shop.until(1, "ready").await;
    shop.decide(2, [5, 0, 5, 0]).await;
    let frozen = shop.place(1).await;
    assert_eq!((&frozen.body["state"], &frozen.body["reason"]), (&json!("ready"), &json!("allReserved")));
    assert_eq!(shop.place(2).await.body["reason"], "allReserved");
    // The turn lasts a second: by now it would be over.
    testkit::eventually(SOON, async || {
        let steps = shop.steps(StepKind::Ready).await;
        anyhow::ensure!(now().timestamp_millis() > steps[0].at + 1_300);
        Ok(())
    })
    .await;
    assert_eq!(shop.place(1).await.body["state"], "ready");
    shop.decide(3, [5, 1, 4, 0]).await;
    assert_eq!(shop.place(1).await.body["state"], "ready");
    shop.until(1, "expired").await;
    shop.until(2, "ready").await;
}

#[tokio::test]
async fn sold_out_ends_waiting_and_turns_but_not_the_admissions() {
    let shop = Shop::open().await;
    let mut sale = sale_of(2);
    sale.queue.capacity = Some(2);
    shop.sell(&sale, 2).await;
    shop.join(1).await;
    shop.join(2).await;
    shop.order((OrderId::new(), 2), (2, 2), 1, Effect::Holds).await;
    shop.join(3).await;
    shop.join(4).await;
    let _ =
        shop.manager().post(&format!("{ROOM}/admissions"), &json!({"count": 1})).await.unwrap().expect(200);
    assert_eq!(shop.place(3).await.body["state"], "ready");
    shop.decide(2, [2, 0, 0, 2]).await;
    for user in [3, 4] {
        let place = shop.place(user).await;
        assert_eq!((&place.body["state"], &place.body["total"]), (&json!("soldOut"), &json!(0)));
    }
    assert_eq!(shop.place(1).await.body["state"], "admitted");
    assert!(shop.join(1).await.body["token"].is_string());
    assert_eq!(shop.place(2).await.body["state"], "completed");
    shop.shopper(3).post(&format!("{ROOM}/token"), &json!({})).await.unwrap().problem(409, "not-ready");
    for user in [3, 5] {
        assert_eq!(shop.join(user).await.body["state"], "soldOut");
    }
    assert_eq!(shop.place(5).await.body["state"], "none");
    assert_eq!(shop.steps(StepKind::Joined).await.len(), 4);
    assert_eq!(shop.steps(StepKind::SoldOut).await.len(), 1);
}

#[tokio::test]
async fn units_that_come_back_open_a_new_round_in_which_tickets_go_on_counting() {
    let shop = Shop::open().await;
    shop.sell(&sale_to_come(), 1).await;
    shop.join(1).await;
    shop.join(2).await;
    shop.decide(2, [1, 0, 0, 1]).await;
    shop.decide(3, [2, 1, 0, 1]).await;
    assert_eq!(shop.place(1).await.body["state"], "soldOut");
    let place = shop.join(2).await;
    assert_eq!((&place.body["state"], &place.body["rank"]), (&json!("waiting"), &json!(1)));
    let joined = shop.steps(StepKind::Joined).await;
    assert_eq!(joined.last().unwrap().ticket.map(|ticket| ticket.0), Some(3));
    assert_eq!(shop.steps(StepKind::Reopened).await.len(), 1);
    // A second end of a round finds those of the first as they were.
    shop.decide(4, [2, 0, 0, 2]).await;
    assert_eq!(shop.place(2).await.body["state"], "soldOut");
}

#[tokio::test]
async fn a_room_without_stock_admits_nobody_and_is_never_sold_out() {
    let shop = Shop::open().await;
    shop.sell(&sale(), 0).await;
    assert_eq!(shop.join(1).await.body["state"], "waiting");
    let answer = shop.manager().post(&format!("{ROOM}/admissions"), &json!({"count": 1})).await.unwrap();
    assert_eq!(answer.expect(200).body, json!({"requested": 1, "admitted": 0}));
    assert_eq!(shop.place(1).await.body["state"], "waiting");
}

#[tokio::test]
async fn a_decision_that_comes_before_the_product_is_not_lost() {
    let shop = Shop::open().await;
    shop.decide(5, [3, 3, 0, 0]).await;
    shop.store.product(&sale()).await.unwrap();
    assert_eq!(shop.join(1).await.body["state"], "admitted");
}

#[tokio::test]
async fn an_older_decision_changes_nothing() {
    let shop = Shop::open().await;
    shop.sell(&sale(), 3).await;
    shop.decide(9, [3, 0, 0, 3]).await;
    shop.decide(8, [3, 1, 0, 2]).await;
    shop.decide(9, [3, 3, 0, 0]).await;
    assert_eq!(shop.join(1).await.body["state"], "soldOut");
}

#[tokio::test]
async fn the_stock_gate_lets_in_as_many_as_the_stock_is_worth() {
    let shop = Shop::open().await;
    let mut sale = sale();
    sale.purchase_limit = 2;
    sale.queue.stock_gate = Some(1.5);
    shop.sell(&sale, 4).await;
    // ⌊4 · 1.5 / 2⌋ = 3
    let mut states = Vec::new();
    for user in 1..=5 {
        states.push(shop.join(user).await.body["state"].clone());
    }
    assert_eq!(states, ["admitted", "admitted", "admitted", "waiting", "waiting"]);
    // Never below one: those inside gone, the last unit still finds somebody.
    shop.decide(2, [4, 1, 3, 0]).await;
    for user in 1..=3 {
        shop.order((OrderId::new(), 2), (user, user), 1, Effect::Holds).await;
    }
    shop.until(4, "ready").await;
    assert_eq!(shop.place(5).await.body["state"], "waiting");
}

#[tokio::test]
async fn at_the_sale_s_end_everything_live_is_closed_and_held_orders_go_on() {
    let shop = Shop::open().await;
    let mut sale = sale_of(1);
    sale.sale_end_time = now() + seconds(2);
    shop.sell(&sale, 5).await;
    shop.join(1).await;
    shop.join(2).await;
    shop.join(3).await;
    let _ =
        shop.manager().post(&format!("{ROOM}/admissions"), &json!({"count": 1})).await.unwrap().expect(200);
    assert_eq!(shop.place(2).await.body["state"], "ready");
    for user in [1, 2, 3] {
        shop.until(user, "closed").await;
    }
    shop.shopper(3).post(ROOM, &json!({})).await.unwrap().problem(409, "sale-closed");
    shop.shopper(2).post(&format!("{ROOM}/token"), &json!({})).await.unwrap().problem(409, "not-ready");
    let _ = shop.shopper(3).delete(ROOM).await.unwrap().expect(204);
    shop.order((OrderId::new(), 2), (1, 1), 1, Effect::Holds).await;
    assert_eq!(shop.place(1).await.body["state"], "completed");
    testkit::eventually(SOON, async || {
        anyhow::ensure!(shop.steps(StepKind::Closed).await.len() == 1);
        anyhow::ensure!(shop.store.rooms().await?.is_empty(), "still listed");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_sale_that_is_prolonged_takes_people_again() {
    let shop = Shop::open().await;
    let mut sale = sale_to_come();
    sale.deleted = true;
    shop.sell(&sale, 5).await;
    shop.shopper(1).post(ROOM, &json!({})).await.unwrap().problem(409, "sale-closed");
    (sale.deleted, sale.version) = (false, 2);
    shop.store.product(&sale).await.unwrap();
    assert_eq!(shop.join(1).await.body["state"], "waiting");
    shop.until(1, "waiting").await;
}
