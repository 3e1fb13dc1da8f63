//! The timetable, and admissions by hand.

use common::wire::queue::{ScheduleView, StepKind};
use common::wire::token::Role;
use serde_json::json;

use crate::shop::{ROOM, SELLER, SOON, Shop, now, sale, sale_of, sale_to_come, seconds};

const SCHEDULE: &str = "/api/queue/7/schedule";
const ADMISSIONS: &str = "/api/queue/7/admissions";

#[tokio::test]
async fn nobody_is_in_before_the_opening_and_exactly_count_right_after() {
    let shop = Shop::open().await;
    let mut sale = sale_of(3);
    // The default delay is a minute: a sale that began 57 s ago opens in three.
    sale.sale_start_time = now() - seconds(57);
    sale.queue.admission_delay_s = 60;
    let opens_at = (sale.sale_start_time + seconds(60)).timestamp_millis();
    shop.sell(&sale, 100).await;
    for user in 1..=5 {
        assert_eq!(shop.join(user).await.body["state"], "waiting");
    }
    for user in 1..=3 {
        shop.until(user, "ready").await;
    }
    assert!(shop.steps(StepKind::Ready).await.iter().all(|step| step.at >= opens_at));
    assert_eq!(shop.steps(StepKind::Ready).await.len(), 3);
    assert_eq!(shop.place(4).await.body["rank"], 1);
}

#[tokio::test]
async fn owner_and_staff_change_the_timetable_and_nobody_else() {
    let shop = Shop::open().await;
    shop.sell(&sale(), 10).await;
    let wanted = json!({"count": 5, "intervalS": 30});
    for login in [shop.seller(), shop.manager(), shop.login(901, Role::Admin)] {
        let view: ScheduleView = login.put(SCHEDULE, &wanted).await.unwrap().expect(200).body();
        assert_eq!((view.count, view.interval_s, view.stopped), (5, 30, false));
    }
    for login in [shop.shopper(1), shop.login(SELLER + 1, Role::Seller)] {
        login.put(SCHEDULE, &wanted).await.unwrap().problem(403, "forbidden");
        login.delete(SCHEDULE).await.unwrap().problem(403, "forbidden");
        login.post(ADMISSIONS, &json!({"count": 1})).await.unwrap().problem(403, "forbidden");
    }
    shop.seller().post(ADMISSIONS, &json!({"count": 1})).await.unwrap().problem(403, "forbidden");
}

#[tokio::test]
async fn a_senseless_timetable_is_refused_and_changes_nothing() {
    let shop = Shop::open().await;
    shop.sell(&sale(), 10).await;
    let steps = shop.log().await.len();
    for wanted in [
        json!({"count": 0, "intervalS": 30}),
        json!({"count": -1, "intervalS": 30}),
        json!({"count": 100_001, "intervalS": 30}),
        json!({"count": 1, "intervalS": 0}),
        json!({"count": 1, "intervalS": 3_601}),
        json!({"count": "many", "intervalS": 30}),
        json!({"count": 1}),
        json!({"count": 1, "intervalS": 30, "startsAt": "tomorrow"}),
        json!({"count": 1, "intervalS": 30, "startsAt": "9999-12-31T23:59:59Z"}),
        json!({"count": 1, "intervalS": 30, "startsAt": "1970-01-01T00:00:00Z"}),
        json!({"count": 1, "intervalS": 30, "stop": true}),
    ] {
        shop.manager().put(SCHEDULE, &wanted).await.unwrap().problem(400, "validation-failed");
    }
    for count in [json!(0), json!(-5), json!(100_001), json!(1.5)] {
        let asked = json!({"count": count});
        shop.manager().post(ADMISSIONS, &asked).await.unwrap().problem(400, "validation-failed");
    }
    assert_eq!(shop.log().await.len(), steps);
}

#[tokio::test]
async fn a_change_begins_at_the_next_boundary_and_gives_no_second_budget() {
    let shop = Shop::open().await;
    shop.sell(&sale_of(1), 10).await;
    assert_eq!(shop.join(1).await.body["state"], "admitted");
    let opens_at = shop.store.room(crate::shop::PRODUCT).await.unwrap().unwrap().opens_at;
    let wanted = json!({"count": 50, "intervalS": 60});
    let view: ScheduleView = shop.manager().put(SCHEDULE, &wanted).await.unwrap().expect(200).body();
    assert_eq!(view.starts_at.timestamp_millis(), opens_at + 3_600_000);
    let place = shop.join(2).await;
    assert_eq!(place.body["state"], "waiting");
    // Not before half an hour, and then with the new budget.
    assert!(place.body["etaLowS"].as_u64().unwrap() > 1_700, "{}", place.body);
}

#[tokio::test]
async fn across_the_boundary_every_interval_keeps_the_budget_of_its_own_timetable() {
    let shop = Shop::open().await;
    let mut sale = sale_of(2);
    sale.queue.interval_s = 1;
    shop.sell(&sale, 1_000).await;
    for user in 1..=20 {
        shop.join(user).await;
    }
    shop.until(3, "ready").await;
    let _ = shop.manager().put(SCHEDULE, &json!({"count": 5, "intervalS": 1})).await.unwrap().expect(200);
    shop.until(19, "ready").await;
    let mut intervals = std::collections::BTreeMap::<i64, (u32, u32)>::new();
    for step in shop.log().await.iter().filter(|step| step.interval.is_some()) {
        let (count, spent) = intervals.entry(step.interval.unwrap()).or_default();
        assert!(*count == 0 || Some(*count) == step.count, "{step:?} in an interval of {count}");
        (*count, *spent) = (step.count.unwrap(), *spent + 1);
    }
    assert!(intervals.values().all(|(count, spent)| spent <= count), "{intervals:?}");
    let counts: Vec<u32> = intervals.values().map(|(count, _)| *count).collect();
    assert!(counts.is_sorted() && counts.first() == Some(&2) && counts.last() == Some(&5), "{intervals:?}");
}

#[tokio::test]
async fn a_start_time_given_begins_a_new_timetable_there() {
    let shop = Shop::open().await;
    shop.sell(&sale_of(1), 10).await;
    shop.join(1).await;
    assert_eq!(shop.join(2).await.body["state"], "waiting");
    let wanted = json!({"count": 5, "intervalS": 3_600, "startsAt": now() - seconds(10)});
    let _ = shop.manager().put(SCHEDULE, &wanted).await.unwrap().expect(200);
    shop.until(2, "ready").await;
    // Intervals of the new timetable have numbers of their own.
    assert_eq!(shop.steps(StepKind::Ready).await[0].interval, Some(1));
    let later = json!({"count": 5, "intervalS": 60, "startsAt": now() + seconds(600)});
    let _ = shop.manager().put(SCHEDULE, &later).await.unwrap().expect(200);
    let place = shop.join(3).await;
    assert_eq!((&place.body["state"], &place.body["reason"]), (&json!("waiting"), &json!("notOpen")));
}

#[tokio::test]
async fn a_sale_without_an_end_in_sight_is_a_sale() {
    let shop = Shop::open().await;
    let mut sale = sale();
    sale.sale_end_time = "9999-12-31T23:59:59Z".parse().unwrap();
    shop.sell(&sale, 1).await;
    assert_eq!(shop.join(1).await.body["state"], "admitted");
}

#[tokio::test]
async fn before_the_opening_a_change_keeps_it() {
    let shop = Shop::open().await;
    let sale = sale_to_come();
    shop.sell(&sale, 10).await;
    let wanted = json!({"count": 7, "intervalS": 60});
    let view: ScheduleView = shop.seller().put(SCHEDULE, &wanted).await.unwrap().expect(200).body();
    assert_eq!(view.starts_at.timestamp_millis(), sale.sale_start_time.timestamp_millis());
    assert_eq!(view.count, 7);
}

#[tokio::test]
async fn a_stop_by_staff_is_ended_by_staff_only() {
    let shop = Shop::open().await;
    shop.sell(&sale(), 10).await;
    let stopped: ScheduleView = shop.manager().delete(SCHEDULE).await.unwrap().expect(200).body();
    assert!(stopped.stopped);
    let place = shop.join(1).await;
    assert_eq!((&place.body["state"], &place.body["reason"]), (&json!("waiting"), &json!("stopped")));
    assert!(place.body["etaLowS"].is_null());
    let wanted = json!({"count": 5, "intervalS": 60});
    shop.seller().put(SCHEDULE, &wanted).await.unwrap().problem(403, "forbidden");
    // A stop by the owner on top does not make it the owner's.
    let _ = shop.seller().delete(SCHEDULE).await.unwrap().expect(200);
    shop.seller().put(SCHEDULE, &wanted).await.unwrap().problem(403, "forbidden");
    // Nor does what the owner edits on the product.
    let mut edited = sale_of(1_000);
    edited.version = 2;
    shop.store.product(&edited).await.unwrap();
    assert_eq!(shop.place(1).await.body["reason"], "stopped");
    let _ = shop.manager().put(SCHEDULE, &wanted).await.unwrap().expect(200);
    shop.until(1, "ready").await;
}

#[tokio::test]
async fn a_stop_by_the_owner_is_ended_by_the_owner() {
    let shop = Shop::open().await;
    shop.sell(&sale(), 10).await;
    let _ = shop.seller().delete(SCHEDULE).await.unwrap().expect(200);
    assert_eq!(shop.join(1).await.body["reason"], "stopped");
    let _ = shop.seller().put(SCHEDULE, &json!({"count": 5, "intervalS": 60})).await.unwrap().expect(200);
    shop.until(1, "ready").await;
}

#[tokio::test]
async fn an_edited_product_changes_the_timetable_and_an_old_snapshot_nothing() {
    let shop = Shop::open().await;
    let first = sale_to_come();
    shop.sell(&first, 10).await;
    let mut second = first.clone();
    (second.version, second.sale_start_time) = (2, now() - seconds(10));
    shop.store.product(&second).await.unwrap();
    shop.store.product(&first).await.unwrap();
    assert_eq!(shop.join(1).await.body["state"], "admitted");
    // A change that does not touch the timetable leaves the one set by hand.
    let wanted = json!({"count": 1, "intervalS": 60, "startsAt": now() + seconds(600)});
    let _ = shop.manager().put(SCHEDULE, &wanted).await.unwrap().expect(200);
    (second.version, second.product_name) = (3, "Teapot".into());
    shop.store.product(&second).await.unwrap();
    assert_eq!(shop.join(2).await.body["reason"], "notOpen");
}

#[tokio::test]
async fn a_capacity_set_by_hand_outlasts_all_edits_but_that_of_the_seller_s_own_figure() {
    let shop = Shop::open().await;
    let mut sale = sale();
    sale.queue.capacity = Some(2);
    shop.sell(&sale, 10).await;
    let capacity = async || shop.store.room(crate::shop::PRODUCT).await.unwrap().unwrap().capacity;
    let _ = shop.manager().put("/api/queue/7/capacity", &json!({"capacity": 5})).await.unwrap().expect(200);
    (sale.version, sale.product_name) = (2, "Teapot".into());
    shop.store.product(&sale).await.unwrap();
    assert_eq!(capacity().await, Some(5));
    (sale.version, sale.queue.capacity) = (3, Some(3));
    shop.store.product(&sale).await.unwrap();
    assert_eq!(capacity().await, Some(3));
}

#[tokio::test]
async fn by_hand_the_next_ones_come_in_before_the_opening_and_outside_the_budget() {
    let shop = Shop::open().await;
    shop.sell(&sale_to_come(), 10).await;
    for user in 1..=5 {
        shop.join(user).await;
    }
    let _ = shop.manager().delete(SCHEDULE).await.unwrap().expect(200);
    let answer = shop.manager().post(ADMISSIONS, &json!({"count": 2})).await.unwrap().expect(200);
    assert_eq!(answer.body, json!({"requested": 2, "admitted": 2}));
    assert_eq!(shop.place(2).await.body["state"], "ready");
    assert_eq!(shop.place(3).await.body["rank"], 1);
    let steps = shop.steps(StepKind::Ready).await;
    assert!(steps.iter().all(|step| step.by_hand && step.interval.is_none()), "{steps:?}");
    let answer = shop.manager().post(ADMISSIONS, &json!({"count": 100_000})).await.unwrap().expect(200);
    assert_eq!(answer.body["admitted"], 3);
}

#[tokio::test]
async fn by_hand_capacity_and_stock_still_count_and_a_turn_gives_nothing_back() {
    let shop = Shop::open().await;
    let mut sale = sale_of(1);
    sale.queue.capacity = Some(2);
    shop.sell(&sale, 10).await;
    for user in 1..=4 {
        shop.join(user).await;
    }
    let answer = shop.manager().post(ADMISSIONS, &json!({"count": 3})).await.unwrap().expect(200);
    assert_eq!(answer.body, json!({"requested": 3, "admitted": 1}));
    // The interval's only unit went to the first: giving up a turn by hand must not bring another.
    let _ = shop.shopper(2).delete(ROOM).await.unwrap().expect(204);
    assert_eq!(shop.store.room(crate::shop::PRODUCT).await.unwrap().unwrap().spent, 1);
    shop.decide(2, [10, 0, 10, 0]).await;
    let answer = shop.manager().post(ADMISSIONS, &json!({"count": 1})).await.unwrap().expect(200);
    assert_eq!(answer.body["admitted"], 0);
}

#[tokio::test]
async fn nothing_is_carried_over_from_intervals_that_nobody_used() {
    let shop = Shop::open().await;
    let mut sale = sale_of(2);
    sale.queue.interval_s = 1;
    sale.sale_start_time = now() - seconds(600);
    shop.sell(&sale, 1_000).await;
    for user in 1..=9 {
        shop.join(user).await;
    }
    testkit::eventually(SOON, async || {
        anyhow::ensure!(shop.place(9).await.body["state"] == "ready");
        Ok(())
    })
    .await;
    let mut spent = std::collections::BTreeMap::<i64, u32>::new();
    for step in shop.log().await.iter().filter_map(|step| step.interval) {
        *spent.entry(step).or_default() += 1;
    }
    assert!(spent.values().all(|units| *units <= 2), "{spent:?}");
}
