use std::time::Duration;

use common::wire::event::{Refusal, StockCommand};
use common::wire::id::{OrderId, UserId};
use common::wire::order::OrderState;

use crate::{HOLD_S, SOON, TestOrder};

#[tokio::test]
async fn a_yes_reserves_the_order_once_however_often_it_comes() {
    let test = TestOrder::start().await;
    let (shopper, order) = test.placed(7).await;
    for _ in 0..3 {
        test.decide(order, 1, None).await;
    }
    test.reaches(order, OrderState::Reserved).await;
    let expires_at = shopper.show(order).await.expires_at.unwrap();
    assert_eq!(expires_at, test.clock.now() + chrono::Duration::seconds(HOLD_S.into()));

    // An answer that comes after these shows that they were taken.
    let stray = OrderId::new();
    test.decide(stray, 1, None).await;
    testkit::eventually(SOON, async || {
        anyhow::ensure!(test.released(stray).await.len() == 1, "not released yet");
        Ok(())
    })
    .await;
    assert_eq!(test.commands(order).await, ["stock.reserve.v1"], "nothing is given back");
    assert_eq!(test.history(order).await, [(1, OrderState::Received), (2, OrderState::Reserved)]);
}

#[tokio::test]
async fn an_order_of_two_products_is_reserved_when_both_are_held() {
    let test = TestOrder::start().await;
    test.product(1).await;
    test.product(2).await;
    let shopper = test.shopper(7).with_pass(1, 1).with_pass(2, 1);
    let order = shopper.place("k", &[(1, 1), (2, 1)]).await;
    test.decide(order, 2, None).await;
    test.decide(order, 1, None).await;
    test.reaches(order, OrderState::Reserved).await;
    assert_eq!(test.commands(order).await.len(), 2);
}

#[tokio::test]
async fn one_refusal_rejects_the_order_and_gives_the_rest_back() {
    let test = TestOrder::start().await;
    for product in [1, 2, 3] {
        test.product(product).await;
    }
    let shopper = test.shopper(7).with_pass(1, 1).with_pass(2, 1).with_pass(3, 1);
    let order = shopper.place("k", &[(1, 1), (2, 1), (3, 1)]).await;
    test.decide(order, 1, None).await;
    testkit::eventually(SOON, async || {
        let held: i64 =
            sqlx::query_scalar("SELECT count(*) FROM order_hold WHERE held").fetch_one(&test.pg).await?;
        anyhow::ensure!(held == 1, "{held} held");
        Ok(())
    })
    .await;
    test.decide(order, 2, Some(Refusal::Limit)).await;
    test.reaches(order, OrderState::Rejected).await;
    assert_eq!(shopper.show(order).await.reason.as_deref(), Some("limit"));
    let products = |released: Vec<common::wire::event::Settle>| -> Vec<(i64, i32, UserId)> {
        released.iter().map(|settle| (settle.product_id.0, settle.attempt, settle.user_id)).collect()
    };
    assert_eq!(products(test.released(order).await), [(1, 1, UserId(7))]);
    assert_eq!(test.rows("order_ticket").await, 0, "the tickets are free");

    test.decide(order, 3, None).await;
    testkit::eventually(SOON, async || {
        let mut released = products(test.released(order).await);
        released.sort_unstable_by_key(|(product, ..)| *product);
        anyhow::ensure!(released == [(1, 1, UserId(7)), (3, 1, UserId(7))], "{released:?}");
        Ok(())
    })
    .await;
    assert_eq!(test.history(order).await, [(1, OrderState::Received), (2, OrderState::Rejected)]);
}

#[tokio::test]
async fn a_yes_to_another_attempt_is_given_back() {
    let test = TestOrder::start().await;
    let (_, order) = test.placed(7).await;
    test.decide_attempt(order, 1, 2, None).await;
    testkit::eventually(SOON, async || {
        let released = test.released(order).await;
        anyhow::ensure!(released.len() == 1 && released[0].attempt == 2, "{released:?}");
        Ok(())
    })
    .await;
    test.reaches(order, OrderState::Received).await;
}

#[tokio::test]
async fn an_order_that_nobody_pays_expires_and_its_units_go_back() {
    let test = TestOrder::start().await;
    let (shopper, order) = test.reserved(7).await;
    test.clock.advance(Duration::from_secs(u64::from(HOLD_S) - 1));
    assert_eq!(shopper.show(order).await.state, OrderState::Reserved);
    test.clock.advance(Duration::from_secs(1));
    test.reaches(order, OrderState::Expired).await;
    assert_eq!(test.released(order).await.len(), 1);
    let view = shopper.show(order).await;
    assert_eq!((view.reason.as_deref(), view.expires_at), (Some("notPaidInTime"), None));
    assert_eq!(test.rows("order_ticket").await, 1, "a ticket that was reserved is used up");
    let by: String = sqlx::query_scalar("SELECT updated_by FROM orders").fetch_one(&test.pg).await.unwrap();
    assert_eq!(by, "system");
    // Units that come late are not for an order that has ended.
    test.decide(order, 1, None).await;
    testkit::eventually(SOON, async || {
        anyhow::ensure!(test.released(order).await.len() == 2, "not released yet");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_silent_stock_is_asked_five_times_more_and_then_the_order_fails() {
    let test = TestOrder::start().await;
    let (shopper, order) = test.placed(7).await;
    for asked in 1..=5 {
        test.clock.advance(Duration::from_secs(30));
        testkit::eventually(SOON, async || {
            let commands = test.commands(order).await;
            anyhow::ensure!(commands.len() == 1 + asked, "{commands:?}");
            Ok(())
        })
        .await;
    }
    {
        let commands = test.commands.lock().unwrap();
        let reserves = commands.iter().filter(|command| matches!(command, StockCommand::Reserve(_)));
        let reserves: Vec<_> = reserves.collect();
        assert!(reserves.iter().all(|reserve| *reserve == reserves[0]), "always the same command");
    }
    test.reaches(order, OrderState::Received).await;
    test.clock.advance(Duration::from_secs(30));
    test.reaches(order, OrderState::Failed).await;
    assert_eq!(test.released(order).await.len(), 1);
    assert_eq!(test.rows("order_ticket").await, 0, "the ticket is free");
    assert_eq!(shopper.show(order).await.reason.as_deref(), Some("noDecision"));
    test.decide(order, 1, None).await;
    testkit::eventually(SOON, async || {
        anyhow::ensure!(test.released(order).await.len() == 2, "not released yet");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn what_cannot_be_read_does_not_stop_the_rest() {
    let test = TestOrder::start().await;
    let (_, order) = test.placed(7).await;
    let record = common::kafka::producer::Outgoing {
        topic: test.kafka.topic(common::wire::event::STOCK_DECISIONS),
        key: "1".into(),
        headers: Vec::new(),
        body: b"{".to_vec(),
    };
    test.producer.send(&[record]).await.unwrap();
    test.decide(order, 1, None).await;
    test.reaches(order, OrderState::Reserved).await;
}

#[tokio::test]
async fn every_transition_is_in_the_history() {
    let test = TestOrder::start().await;
    let (_, order) = test.reserved(7).await;
    let rows: Vec<(i64, Option<String>, String, String, String)> = sqlx::query_as(
        r#"SELECT seq, "from", "to", cause, by FROM order_transition WHERE order_id = $1 ORDER BY seq"#,
    )
    .bind(order.0)
    .fetch_all(&test.pg)
    .await
    .unwrap();
    let text = |text: &str| text.to_owned();
    let expected = [
        (1, None, text("received"), text("placed"), text("7")),
        (2, Some(text("received")), text("reserved"), text("stock-held"), text("system")),
    ];
    assert_eq!(rows, expected);
}
