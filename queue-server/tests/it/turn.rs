//! One's turn: being called, coming, not coming, leaving.

use std::time::Duration;

use common::wire::id::{ProductId, UserId};
use common::wire::queue::StepKind;
use common::wire::token::{Identity, Pass, Role};
use serde_json::json;
use tokio::time::Instant;

use crate::shop::{ROOM, Shop, now, sale_of, sale_to_come, seconds};

#[tokio::test]
async fn a_free_place_goes_to_the_first_in_line_within_half_a_second() {
    let shop = Shop::with(|config| config.tick_ms = 250).await;
    shop.store.product(&sale_of(1)).await.unwrap();
    shop.join(1).await;
    shop.join(2).await;
    shop.decide(1, [10, 10, 0, 0]).await;
    let free = Instant::now();
    let place = shop.until(1, "ready").await;
    assert!(free.elapsed() < Duration::from_millis(500), "told after {:?}", free.elapsed());
    assert!(place.body["claimUntil"].is_string() && place.body["rank"].is_null(), "{}", place.body);
    assert_eq!(shop.place(2).await.body["rank"], 1);
}

#[tokio::test]
async fn the_token_is_the_same_right_however_often_it_is_asked_for() {
    let shop = Shop::open().await;
    shop.sell(&sale_to_come(), 10).await;
    shop.join(1).await;
    let _ =
        shop.manager().post(&format!("{ROOM}/admissions"), &json!({"count": 1})).await.unwrap().expect(200);
    let token = format!("{ROOM}/token");
    let (phone, laptop) = (shop.token(1, Role::Customer), shop.token(1, Role::Customer));
    let mut passes = Vec::new();
    for login in [&phone, &phone, &laptop] {
        let identity: Identity = shop.verifier().identity(login).await.unwrap();
        let answer = shop.anybody().login(login).post(&token, &json!({})).await.unwrap().expect(200);
        let pass: Pass =
            shop.verifier().pass(answer.body["token"].as_str().unwrap(), &identity).await.unwrap();
        assert_eq!((pass.sub, pass.pid, pass.sid), (UserId(1), ProductId(7), identity.sid));
        passes.push(pass);
    }
    assert!(
        passes
            .iter()
            .all(|pass| (pass.jti, pass.tkt, pass.exp) == (passes[0].jti, passes[0].tkt, passes[0].exp))
    );
    let end = shop.steps(StepKind::Admitted).await[0].at / 1_000 + 600;
    assert!((end - 5..=end - 4).contains(&passes[0].exp), "{} ends {end}", passes[0].exp);
    let foreign = shop.verifier().identity(&shop.token(2, Role::Customer)).await.unwrap();
    let answer = shop.anybody().login(&phone).get(ROOM).await.unwrap().expect(200);
    assert!(shop.verifier().pass(answer.body["token"].as_str().unwrap(), &foreign).await.is_err());
}

#[tokio::test]
async fn before_ones_turn_there_is_no_token() {
    let shop = Shop::open().await;
    shop.sell(&sale_to_come(), 10).await;
    let token = format!("{ROOM}/token");
    shop.shopper(1).post(&token, &json!({})).await.unwrap().problem(409, "not-ready");
    shop.join(1).await;
    shop.shopper(1).post(&token, &json!({})).await.unwrap().problem(409, "not-ready");
    assert_eq!(shop.place(1).await.body["rank"], 1);
}

#[tokio::test]
async fn a_turn_that_runs_out_goes_to_the_next_at_once() {
    let shop = Shop::open().await;
    let mut sale = sale_of(1);
    sale.queue.claim_poll_s = 1;
    shop.store.product(&sale).await.unwrap();
    shop.join(1).await;
    shop.join(2).await;
    shop.decide(1, [10, 10, 0, 0]).await;
    shop.until(1, "ready").await;
    shop.until(2, "ready").await;
    assert_eq!(shop.place(1).await.body["state"], "expired");
    shop.shopper(1).post(&format!("{ROOM}/token"), &json!({})).await.unwrap().problem(409, "not-ready");
    let expired = &shop.steps(StepKind::ClaimExpired).await[0];
    assert_eq!((expired.user, expired.interval, expired.count), (Some(UserId(1)), Some(0), Some(1)));
    // Once expired, a shopper begins at the end.
    let place = shop.join(1).await;
    assert_eq!(place.body["state"], "waiting");
}

#[tokio::test]
async fn whoever_gives_up_the_turn_gives_it_to_the_next() {
    let shop = Shop::open().await;
    shop.store.product(&sale_of(1)).await.unwrap();
    shop.join(1).await;
    shop.join(2).await;
    shop.decide(1, [10, 10, 0, 0]).await;
    shop.until(1, "ready").await;
    let _ = shop.shopper(1).delete(ROOM).await.unwrap().expect(204);
    assert_eq!(shop.place(1).await.body["state"], "left");
    shop.until(2, "ready").await;
    let left = &shop.steps(StepKind::Left).await[0];
    assert_eq!((left.user, left.interval), (Some(UserId(1)), Some(0)));
}

#[tokio::test]
async fn leaving_the_line_is_possible_any_number_of_times() {
    let shop = Shop::open().await;
    shop.sell(&sale_to_come(), 10).await;
    let _ = shop.shopper(1).delete(ROOM).await.unwrap().expect(204);
    assert_eq!(shop.place(1).await.body["state"], "none");
    shop.join(1).await;
    shop.join(2).await;
    for _ in 0..2 {
        let _ = shop.shopper(1).delete(ROOM).await.unwrap().expect(204);
        assert_eq!(shop.place(1).await.body["state"], "left");
    }
    assert_eq!(shop.place(2).await.body["rank"], 1);
    assert_eq!(shop.steps(StepKind::Left).await.len(), 1);
}

#[tokio::test]
async fn whoever_is_inside_does_not_leave() {
    let shop = Shop::open().await;
    shop.sell(&sale_of(1), 10).await;
    shop.join(1).await;
    shop.shopper(1).delete(ROOM).await.unwrap().problem(409, "already-admitted");
    assert_eq!(shop.place(1).await.body["state"], "admitted");
}

#[tokio::test]
async fn an_admission_that_ends_frees_its_place() {
    let shop = Shop::open().await;
    let mut sale = sale_of(10);
    sale.queue.admission_s = 1;
    sale.queue.capacity = Some(1);
    shop.sell(&sale, 10).await;
    assert_eq!(shop.join(1).await.body["state"], "admitted");
    assert_eq!(shop.join(2).await.body["state"], "waiting");
    shop.until(2, "ready").await;
    let place = shop.place(1).await;
    assert_eq!(place.body["state"], "expired");
    assert!(place.body["token"].is_null());
    assert_eq!(shop.steps(StepKind::AdmissionExpired).await.len(), 1);
}

#[tokio::test]
async fn the_wait_told_is_that_of_the_timetable() {
    let shop = Shop::open().await;
    let mut sale = sale_to_come();
    sale.sale_start_time = now() + seconds(100);
    sale.queue.count = 2;
    sale.queue.interval_s = 60;
    shop.sell(&sale, 10).await;
    for user in 1..=3 {
        shop.join(user).await;
    }
    let [second, third] = [shop.place(2).await.body, shop.place(3).await.body];
    assert!((95..=100).contains(&second["etaLowS"].as_u64().unwrap()), "{second}");
    assert!((155..=160).contains(&third["etaLowS"].as_u64().unwrap()), "{third}");
    assert!((215..=221).contains(&third["etaHighS"].as_u64().unwrap()), "{third}");
}
