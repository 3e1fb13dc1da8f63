//! Registering: the rows of the transition table that a join can take.

use common::wire::product::Rejoin;
use common::wire::queue::StepKind;
use common::wire::token::{ASSERTION_HEADER, Role};
use queue_server::room::rules::Effect;
use serde_json::json;

use common::wire::id::OrderId;

use crate::shop::{ROOM, SELLER, Shop, sale, sale_of, sale_to_come};

#[tokio::test]
async fn before_the_opening_everybody_waits_in_order_of_arrival() {
    let shop = Shop::open().await;
    shop.sell(&sale_to_come(), 10).await;
    let first = shop.join(1).await;
    assert_eq!(first.body["state"], "waiting");
    assert_eq!(
        (&first.body["rank"], &first.body["ahead"], &first.body["total"]),
        (&json!(1), &json!(0), &json!(1))
    );
    assert_eq!(first.body["reason"], "notOpen");
    assert!(first.body["startsAt"].is_string(), "{}", first.body);
    assert!(first.body["token"].is_null(), "{}", first.body);
    let second = shop.join(2).await;
    assert_eq!((&second.body["rank"], &second.body["total"]), (&json!(2), &json!(2)));
}

#[tokio::test]
async fn an_empty_line_and_a_free_place_lead_straight_in_and_spend_the_budget() {
    let shop = Shop::open().await;
    shop.sell(&sale_of(2), 10).await;
    for user in [1, 2] {
        let place = shop.join(user).await;
        assert_eq!(place.body["state"], "admitted");
        assert!(place.body["token"].is_string() && place.body["expiresAt"].is_string(), "{}", place.body);
    }
    assert_eq!(shop.join(3).await.body["state"], "waiting");
    assert_eq!(shop.join(4).await.body["rank"], 2);
    let admitted = shop.steps(StepKind::Admitted).await;
    assert_eq!(
        admitted.iter().map(|step| (step.interval, step.count)).collect::<Vec<_>>(),
        [(Some(0), Some(2)); 2]
    );
}

#[tokio::test]
async fn a_room_without_a_decision_lets_nobody_in() {
    let shop = Shop::open().await;
    shop.store.product(&sale()).await.unwrap();
    let place = shop.join(1).await;
    assert_eq!(place.body["state"], "waiting");
    assert!(place.body["etaLowS"].is_null(), "{}", place.body);
}

#[tokio::test]
async fn somebody_live_in_the_line_bars_the_straight_way() {
    let shop = Shop::with(|config| config.tick_ms = 1_000).await;
    shop.store.product(&sale()).await.unwrap();
    shop.join(1).await;
    shop.decide(1, [10, 10, 0, 0]).await;
    // Whoever comes before the next tick must not overtake the one who waits.
    let place = shop.join(2).await;
    assert!(
        place.body["state"] == "waiting" || shop.place(1).await.body["state"] == "ready",
        "{}",
        place.body
    );
}

#[tokio::test]
async fn registering_again_moves_to_the_very_end_with_a_new_ticket() {
    let shop = Shop::open().await;
    shop.sell(&sale_to_come(), 10).await;
    for user in [1, 2, 3] {
        shop.join(user).await;
    }
    let moved = shop.join(1).await;
    assert_eq!((&moved.body["rank"], &moved.body["total"]), (&json!(3), &json!(3)));
    assert_eq!(shop.place(2).await.body["rank"], 1);
    assert_eq!(shop.place(3).await.body["rank"], 2);
    let moved = shop.steps(StepKind::Moved).await;
    assert_eq!(moved.len(), 1);
    assert_eq!(moved[0].ticket.map(|ticket| ticket.0), Some(4));
}

#[tokio::test]
async fn with_policy_keep_registering_again_keeps_the_ticket() {
    let shop = Shop::open().await;
    let mut sale = sale_to_come();
    sale.queue.rejoin = Rejoin::Keep;
    shop.sell(&sale, 10).await;
    for user in [1, 2, 1] {
        shop.join(user).await;
    }
    assert_eq!(shop.place(1).await.body["rank"], 1);
    assert_eq!(shop.steps(StepKind::Joined).await.len(), 2);
    assert!(shop.steps(StepKind::Moved).await.is_empty());
}

#[tokio::test]
async fn a_known_idempotency_key_has_no_effect() {
    let shop = Shop::open().await;
    shop.sell(&sale_to_come(), 10).await;
    let join = async |user: i64, key: &str| {
        shop.shopper(user).key(key).post(ROOM, &json!({})).await.unwrap().expect(200).body["rank"].clone()
    };
    assert_eq!(join(1, "a").await, 1);
    assert_eq!(join(2, "a").await, 2);
    assert_eq!(join(1, "a").await, 1, "a repeat stays");
    assert_eq!(join(1, "b").await, 2, "a new key moves");
    assert_eq!(join(1, "a").await, 2, "the last but one is still known");
    assert_eq!(join(2, "b").await, 2, "keys are the account's own");
    assert_eq!(join(2, "c").await, 2);
    assert_eq!(join(2, "d").await, 2);
    assert_eq!(join(1, "z").await, 2);
    assert_eq!(join(2, "b").await, 2, "the third last is forgotten: moves again");
}

#[tokio::test]
async fn a_known_key_does_not_bring_back_somebody_who_left() {
    let shop = Shop::open().await;
    shop.sell(&sale_to_come(), 10).await;
    let shopper = shop.shopper(1).key("once");
    let _ = shopper.post(ROOM, &json!({})).await.unwrap().expect(200);
    let _ = shopper.delete(ROOM).await.unwrap().expect(204);
    assert_eq!(shopper.post(ROOM, &json!({})).await.unwrap().expect(200).body["state"], "left");
    assert_eq!(shop.join(1).await.body["state"], "waiting");
}

#[tokio::test]
async fn an_invalid_idempotency_key_is_refused() {
    let shop = Shop::open().await;
    shop.sell(&sale_to_come(), 10).await;
    let refused = shop.shopper(1).key(&"k".repeat(129)).post(ROOM, &json!({})).await.unwrap();
    refused.problem(400, "validation-failed");
    assert_eq!(shop.place(1).await.body["state"], "none");
}

#[tokio::test]
async fn ready_and_admitted_shoppers_who_register_stay_where_they_are() {
    let shop = Shop::open().await;
    shop.store.product(&sale_of(1)).await.unwrap();
    shop.join(1).await;
    shop.join(2).await;
    shop.decide(1, [10, 10, 0, 0]).await;
    shop.until(1, "ready").await;
    assert_eq!(shop.join(1).await.body["state"], "ready");
    let token = shop.shopper(1).post(&format!("{ROOM}/token"), &json!({})).await.unwrap().expect(200);
    let again = shop.join(1).await;
    assert_eq!(again.body["state"], "admitted");
    assert_eq!(again.body["expiresAt"], token.body["expiresAt"]);
    assert_eq!(shop.place(2).await.body["rank"], 1);
}

#[tokio::test]
async fn a_completed_shopper_registers_again_only_below_the_purchase_limit() {
    let shop = Shop::open().await;
    let mut sale = sale();
    sale.purchase_limit = 2;
    shop.sell(&sale, 10).await;
    shop.join(1).await;
    shop.order((OrderId::new(), 2), (1, 1), 1, Effect::Holds).await;
    assert_eq!(shop.place(1).await.body["state"], "completed");
    assert_eq!(shop.join(1).await.body["state"], "admitted");
    shop.order((OrderId::new(), 2), (1, 2), 1, Effect::Holds).await;
    shop.shopper(1).post(ROOM, &json!({})).await.unwrap().problem(409, "purchase-limit-reached");
    assert_eq!(shop.place(1).await.body["state"], "completed");
}

#[tokio::test]
async fn a_closed_room_takes_nobody() {
    let shop = Shop::open().await;
    let mut sale = sale();
    sale.deleted = true;
    shop.sell(&sale, 10).await;
    shop.shopper(1).post(ROOM, &json!({})).await.unwrap().problem(409, "sale-closed");
    assert_eq!(shop.place(1).await.body["state"], "none");
    assert!(shop.steps(StepKind::Joined).await.is_empty());
}

#[tokio::test]
async fn only_people_who_are_logged_in_wait() {
    let shop = Shop::open().await;
    shop.sell(&sale(), 10).await;
    shop.anybody().post(ROOM, &json!({})).await.unwrap().problem(401, "login-required");
    shop.anybody().login("forged").get(ROOM).await.unwrap().problem(401, "invalid-token");
    let service = shop.verifier().assert_service().unwrap();
    shop.anybody()
        .with(ASSERTION_HEADER, service)
        .post(ROOM, &json!({}))
        .await
        .unwrap()
        .problem(403, "forbidden");
    for (user, role) in [(SELLER, Role::Seller), (900, Role::Manager), (901, Role::Admin)] {
        let place = shop.login(user, role).post(ROOM, &json!({})).await.unwrap().expect(200);
        assert_eq!(place.body["state"], "admitted");
    }
}

#[tokio::test]
async fn asking_for_the_place_changes_nothing() {
    let shop = Shop::open().await;
    shop.sell(&sale_to_come(), 10).await;
    shop.join(1).await;
    let steps = shop.log().await.len();
    for user in [1, 1, 2] {
        shop.place(user).await;
    }
    assert_eq!(shop.place(1).await.body["rank"], 1);
    assert_eq!(shop.place(2).await.body["state"], "none");
    assert_eq!(shop.log().await.len(), steps);
}
