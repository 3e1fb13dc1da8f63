//! What becomes of the orders of those inside.

use common::wire::id::OrderId;
use common::wire::product::ProductSnapshot;
use common::wire::queue::StepKind;
use queue_server::room::rules::Effect;
use serde_json::json;

use crate::shop::{ROOM, Shop, sale_of};

/// Room for one, units for many.
fn narrow() -> ProductSnapshot {
    let mut sale = sale_of(100);
    sale.queue.capacity = Some(1);
    sale
}

#[tokio::test]
async fn an_order_that_holds_units_completes_and_frees_the_place() {
    let shop = Shop::open().await;
    shop.sell(&narrow(), 10).await;
    assert_eq!(shop.join(1).await.body["state"], "admitted");
    assert_eq!(shop.join(2).await.body["state"], "waiting");
    shop.order((OrderId::new(), 2), (1, 1), 1, Effect::Holds).await;
    let place = shop.place(1).await;
    assert_eq!(place.body["state"], "completed");
    assert!(place.body["token"].is_null());
    shop.until(2, "ready").await;
    shop.shopper(1).delete(ROOM).await.unwrap().problem(409, "already-admitted");
    assert_eq!(shop.steps(StepKind::Completed).await.len(), 1);
}

#[tokio::test]
async fn an_order_of_another_ticket_completes_nothing() {
    let shop = Shop::open().await;
    shop.sell(&narrow(), 10).await;
    shop.join(1).await;
    shop.order((OrderId::new(), 2), (1, 99), 1, Effect::Holds).await;
    assert_eq!(shop.place(1).await.body["state"], "admitted");
}

#[tokio::test]
async fn an_order_refused_as_sold_out_frees_the_place_and_leaves_the_token() {
    let shop = Shop::open().await;
    shop.sell(&narrow(), 10).await;
    shop.join(1).await;
    shop.join(2).await;
    shop.order((OrderId::new(), 2), (1, 1), 0, Effect::Refused).await;
    shop.until(2, "ready").await;
    let place = shop.place(1).await;
    assert_eq!(place.body["state"], "admitted");
    assert!(place.body["token"].is_string());
    let _ = shop.shopper(1).post(&format!("{ROOM}/token"), &json!({})).await.unwrap().expect(200);
    // The token still buys.
    shop.order((OrderId::new(), 2), (1, 1), 1, Effect::Holds).await;
    assert_eq!(shop.place(1).await.body["state"], "completed");
}

#[tokio::test]
async fn an_order_that_ends_lets_the_shopper_register_again() {
    let shop = Shop::open().await;
    shop.sell(&sale_of(100), 10).await;
    shop.join(1).await;
    let order = OrderId::new();
    shop.order((order, 2), (1, 1), 1, Effect::Holds).await;
    shop.shopper(1).post(ROOM, &json!({})).await.unwrap().problem(409, "purchase-limit-reached");
    shop.order((order, 3), (1, 1), 1, Effect::Ends).await;
    assert_eq!(shop.place(1).await.body["state"], "left");
    assert_eq!(shop.join(1).await.body["state"], "admitted");
    assert_eq!(shop.steps(StepKind::Returned).await.len(), 1);
}

#[tokio::test]
async fn old_news_of_an_order_change_nothing() {
    let shop = Shop::open().await;
    shop.sell(&sale_of(100), 10).await;
    shop.join(1).await;
    let order = OrderId::new();
    for (seq, effect) in [(2, Effect::Holds), (3, Effect::Ends), (2, Effect::Holds), (3, Effect::Ends)] {
        shop.order((order, seq), (1, 1), 1, effect).await;
    }
    assert_eq!(shop.place(1).await.body["state"], "left");
    assert_eq!(shop.steps(StepKind::Completed).await.len(), 1);
    assert_eq!(shop.join(1).await.body["state"], "admitted");
}

#[tokio::test]
async fn news_of_an_earlier_order_leave_the_present_ticket_alone() {
    let shop = Shop::open().await;
    let mut sale = sale_of(100);
    sale.purchase_limit = 2;
    shop.sell(&sale, 10).await;
    shop.join(1).await;
    let order = OrderId::new();
    shop.order((order, 2), (1, 1), 1, Effect::Holds).await;
    assert_eq!(shop.join(1).await.body["state"], "admitted");
    shop.order((order, 3), (1, 1), 1, Effect::Ends).await;
    assert_eq!(shop.place(1).await.body["state"], "admitted");
    shop.order((OrderId::new(), 2), (1, 2), 2, Effect::Holds).await;
    shop.shopper(1).post(ROOM, &json!({})).await.unwrap().problem(409, "purchase-limit-reached");
}

#[tokio::test]
async fn a_late_payment_completes_an_order_that_had_ended() {
    let shop = Shop::open().await;
    shop.sell(&sale_of(100), 10).await;
    shop.join(1).await;
    let order = OrderId::new();
    for (seq, effect) in [(2, Effect::Holds), (3, Effect::Ends), (5, Effect::Holds)] {
        shop.order((order, seq), (1, 1), 1, effect).await;
    }
    shop.shopper(1).post(ROOM, &json!({})).await.unwrap().problem(409, "purchase-limit-reached");
}
