//! Money that the provider has for orders that have ended: the order comes back, or the money does.

use std::time::Duration;

use common::wire::event::{Refusal, StockCommand};
use common::wire::id::OrderId;
use common::wire::order::OrderState;

use crate::{HOLD_S, SOON, Shopper, TestOrder};

/// An expired order whose declined payment turns out to be approved: the stock is asked again.
async fn revived(test: &TestOrder) -> (Shopper<'_>, OrderId) {
    let (shopper, order) = test.reserved(7).await;
    shopper.pay(order, "p", "decline-1").await.problem(402, "payment-declined");
    test.clock.advance(Duration::from_secs(HOLD_S.into()));
    test.reaches(order, OrderState::Expired).await;
    test.provider.turns_out("decline-1", "DONE");
    test.hint("t", "decline-1", "DONE").await.expect(200);
    test.reaches(order, OrderState::Paying).await;
    let commands = test.commands(order).await;
    assert_eq!(commands, ["stock.reserve.v1", "stock.release.v1", "stock.reserve.v1"]);
    let attempts: Vec<i32> = test
        .commands
        .lock()
        .unwrap()
        .iter()
        .filter_map(|command| match command {
            StockCommand::Reserve(reserve) => Some(reserve.attempt),
            _ => None,
        })
        .collect();
    assert_eq!(attempts, [1, 2]);
    shopper.pay(order, "q", "approve-9").await.problem(409, "order-not-payable");
    (test.shopper(7), order)
}

async fn is_refunded(test: &TestOrder, order: OrderId) {
    test.reaches(order, OrderState::Refunded).await;
    assert_eq!(test.provider.cancels().len(), 1);
    let commands = test.commands(order).await;
    assert!(
        !commands.contains(&"stock.restock.v1") && !commands.contains(&"stock.confirm.v1"),
        "{commands:?}"
    );
    let state: String =
        sqlx::query_scalar("SELECT state FROM payment_attempt").fetch_one(&test.pg).await.unwrap();
    assert_eq!(state, "cancelled");
}

#[tokio::test]
async fn a_late_payment_of_an_expired_order_gets_units_again() {
    let test = TestOrder::start().await;
    let (shopper, order) = revived(&test).await;
    test.decide_attempt(order, 1, 2, None).await;
    test.reaches(order, OrderState::Paid).await;
    assert_eq!(test.commands(order).await[3..], ["stock.confirm.v1"]);
    shopper.pay(order, "p", "decline-1").await.expect(202);
    let states: Vec<_> = test.history(order).await.into_iter().map(|(_, state)| state).skip(4).collect();
    assert_eq!(states, [OrderState::Expired, OrderState::Paying, OrderState::Paid]);
    let held: bool = sqlx::query_scalar("SELECT held FROM order_hold").fetch_one(&test.pg).await.unwrap();
    assert!(held);
    assert!(test.provider.cancels().is_empty());
}

#[tokio::test]
async fn a_late_payment_without_units_left_goes_back() {
    let test = TestOrder::start().await;
    let (shopper, order) = revived(&test).await;
    test.decide_attempt(order, 1, 2, Some(Refusal::SoldOut)).await;
    is_refunded(&test, order).await;
    assert_eq!(shopper.show(order).await.reason.as_deref(), Some("soldOut"));
}

#[tokio::test]
async fn a_late_payment_that_the_stock_does_not_answer_goes_back() {
    let test = TestOrder::start().await;
    let (_, order) = revived(&test).await;
    for asked in 1..=5 {
        test.clock.advance(Duration::from_secs(30));
        testkit::eventually(SOON, async || {
            let commands = test.commands(order).await;
            anyhow::ensure!(commands.len() == 3 + asked, "{commands:?}");
            Ok(())
        })
        .await;
    }
    test.clock.advance(Duration::from_secs(30));
    is_refunded(&test, order).await;
    // Units that come after all are for nobody.
    let before = test.released(order).await.len();
    test.decide_attempt(order, 1, 2, None).await;
    testkit::eventually(SOON, async || {
        anyhow::ensure!(test.released(order).await.len() == before + 1, "not released yet");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_payment_that_is_approved_after_all_pays_an_order_that_still_waits() {
    let test = TestOrder::start().await;
    let (shopper, order) = test.reserved(7).await;
    shopper.pay(order, "p", "decline-1").await.problem(402, "payment-declined");
    test.provider.turns_out("decline-1", "DONE");
    test.hint("t", "decline-1", "DONE").await.expect(200);
    test.reaches(order, OrderState::Paid).await;
    let states: Vec<_> = test.history(order).await.into_iter().map(|(_, state)| state).skip(3).collect();
    assert_eq!(states, [OrderState::Reserved, OrderState::Paying, OrderState::Paid]);
    assert_eq!(shopper.pay(order, "p", "decline-1").await.expect(200).body["state"], "paid");
}

#[tokio::test]
async fn money_that_came_twice_goes_back_once() {
    let test = TestOrder::start().await;
    let (shopper, order) = test.reserved(7).await;
    shopper.pay(order, "p", "decline-1").await.problem(402, "payment-declined");
    shopper.pay(order, "q", "approve-2").await.expect(200);
    test.provider.turns_out("decline-1", "DONE");
    for transmission in ["t1", "t2", "t3"] {
        test.hint(transmission, "decline-1", "DONE").await.expect(200);
    }
    testkit::eventually(SOON, async || {
        let done: i64 = sqlx::query_scalar("SELECT count(*) FROM refund WHERE state = 'done'")
            .fetch_one(&test.pg)
            .await?;
        anyhow::ensure!(done == 1, "{done} refunds are done");
        Ok(())
    })
    .await;
    assert_eq!((test.provider.cancels().len(), test.rows("refund").await), (1, 1));
    assert_eq!(shopper.show(order).await.state, OrderState::Paid, "what paid it still does");
    let states: Vec<String> = sqlx::query_scalar("SELECT state FROM payment_attempt ORDER BY number")
        .fetch_all(&test.pg)
        .await
        .unwrap();
    assert_eq!(states, ["surplus", "approved"]);
}

#[tokio::test]
async fn a_payment_that_stays_unknown_for_a_day_is_cancelled_at_the_provider() {
    let test = TestOrder::start().await;
    let (shopper, order) = test.reserved(7).await;
    shopper.pay(order, "p", "mute-1").await.expect(202);
    test.clock.advance(Duration::from_secs(23 * 3_600));
    // Until the provider's silence is stored, not only until it was asked: the next question is so long after that.
    test.asked(2).await;
    assert_eq!(test.provider.finds().len(), 1);
    assert_eq!(shopper_state(&test, order).await, OrderState::Paying, "its units stay held");
    assert!(test.provider.cancels().is_empty());
    let age = r#"astraphe_order_money_open_age_seconds{kind="payment"}"#;
    testkit::eventually(SOON, async || {
        let age_s = test.figure_if_any(age).await;
        anyhow::ensure!(age_s.is_some_and(|age_s| age_s >= 82_800.0), "nobody is told: {age_s:?}");
        Ok(())
    })
    .await;
    test.clock.advance(Duration::from_secs(3_600));
    test.reaches(order, OrderState::Expired).await;
    assert_eq!(test.provider.cancels().len(), 1);
    assert_eq!(test.released(order).await.len(), 1);
}

async fn shopper_state(test: &TestOrder, order: OrderId) -> OrderState {
    sqlx::query_scalar("SELECT state FROM orders WHERE order_id = $1")
        .bind(order.0)
        .fetch_one(&test.pg)
        .await
        .unwrap()
}

/// The provider contradicts itself: what it said was not paid turns out to be, while the buyer pays in another way.
#[tokio::test]
async fn an_approval_is_given_back_when_the_order_waits_for_another_one() {
    let test = TestOrder::start().await;
    let (shopper, order) = test.reserved(7).await;
    let first = shopper.pay(order, "p", "hang-approve-1");
    let meanwhile = async {
        testkit::eventually(SOON, async || {
            anyhow::ensure!(!test.provider.confirms().is_empty(), "not asked yet");
            Ok(())
        })
        .await;
        test.provider.turns_out("hang-approve-1", "ABORTED");
        test.clock.advance(Duration::from_secs(15));
        test.reaches(order, OrderState::Reserved).await;
        shopper.pay(order, "q", "again-2").await.expect(202);
        test.provider.open_gate();
    };
    let (first, ()) = tokio::join!(first, meanwhile);
    first.problem(402, "payment-declined");
    testkit::eventually(SOON, async || {
        anyhow::ensure!(test.provider.cancels().len() == 1, "the money is kept");
        Ok(())
    })
    .await;
    assert_eq!(shopper_state(&test, order).await, OrderState::Paying);
}
