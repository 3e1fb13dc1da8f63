use std::time::Duration;

use common::wire::id::{OrderId, ProductId};
use common::wire::notice::Notice;
use common::wire::order::OrderState;

use super::{SOON, TestNotice, decision, order};

const MINUTE: Duration = Duration::from_secs(60);

#[tokio::test]
async fn subscribers_are_told_five_minutes_before_and_when_it_opens() {
    let test = TestNotice::start().await;
    test.people(4).await;
    let product = test.product(7, 10);
    test.tell(&product).await;
    for user in [1, 2] {
        test.subscribe(user, 7).await;
    }
    test.user.clock.advance(5 * MINUTE - Duration::from_secs(1));
    test.quiet().await;
    assert_eq!(test.notices(1, 0).await, []);

    test.user.clock.advance(Duration::from_secs(1));
    let (product_id, product_name) = (product.product_id, product.product_name.clone());
    let soon = Notice::SaleOpensSoon {
        product_id,
        product_name: product_name.clone(),
        sale_start_time: product.sale_start_time,
    };
    assert_eq!(test.notices(1, 1).await, std::slice::from_ref(&soon));
    // Who asks now is told when it opens.
    test.subscribe(3, 7).await;
    test.user.clock.advance(5 * MINUTE);
    let opened = Notice::SaleOpened { product_id, product_name, sale_end_time: product.sale_end_time };
    for user in [1, 2] {
        assert_eq!(test.notices(user, 2).await, [soon.clone(), opened.clone()]);
    }
    assert_eq!(test.notices(3, 1).await, std::slice::from_ref(&opened));
    // Who asks after it is told nothing, and nobody anything twice, however often the product is told of.
    test.subscribe(4, 7).await;
    let mut changed = product.clone();
    for version in 2..5 {
        changed.version = version;
        test.tell(&changed).await;
    }
    test.quiet().await;
    for (user, count) in [(1, 2), (2, 2), (3, 1), (4, 0)] {
        assert_eq!(test.box_of(user).await.len(), count, "user {user}");
    }
}

#[tokio::test]
async fn a_start_that_moves_is_told_of_again_and_a_withdrawn_product_never() {
    let test = TestNotice::start().await;
    test.people(1).await;
    let mut moved = test.product(7, 4);
    let mut withdrawn = test.product(8, 10);
    test.tell(&moved).await;
    test.tell(&withdrawn).await;
    // Its five minutes begin before anybody has asked: nobody is told of them.
    testkit::eventually(SOON, async || {
        let begun = test.user.rows("sale WHERE product_id = 7 AND soon_told_for = starts_at").await;
        anyhow::ensure!(begun == 1, "not looked at yet");
        Ok(())
    })
    .await;
    test.subscribe(1, 7).await;
    test.subscribe(1, 8).await;
    moved.version = 2;
    moved.sale_start_time = test.product(7, 8).sale_start_time;
    withdrawn.version = 2;
    withdrawn.deleted = true;
    test.tell(&moved).await;
    test.tell(&withdrawn).await;
    test.user.clock.advance(3 * MINUTE);
    let soon = |product: &common::wire::product::ProductSnapshot| Notice::SaleOpensSoon {
        product_id: product.product_id,
        product_name: product.product_name.clone(),
        sale_start_time: product.sale_start_time,
    };
    let first = soon(&moved);
    assert_eq!(test.notices(1, 1).await, std::slice::from_ref(&first));
    moved.version = 3;
    moved.sale_start_time += MINUTE * 60;
    test.tell(&moved).await;
    test.user.clock.advance(30 * MINUTE);
    test.quiet().await;
    assert_eq!(test.box_of(1).await.len(), 1);
    test.user.clock.advance(31 * MINUTE);
    assert_eq!(test.notices(1, 2).await, [first, soon(&moved)]);
}

#[tokio::test]
async fn a_product_that_comes_back_is_told_of_once() {
    let test = TestNotice::start().await;
    test.people(2).await;
    for (id, minutes) in [(7, -1), (8, 60)] {
        test.tell(&test.product(id, minutes)).await;
        test.subscribe(1, id).await;
    }
    let decisions: Vec<_> =
        [(1, 3), (2, 0), (3, 0), (5, 1)].map(|(last, left)| decision(7, last, left)).into();
    test.send(&decisions).await;
    let back = Notice::BackInStock { product_id: ProductId(7), product_name: "product 7".into() };
    assert_eq!(test.notices(1, 1).await, std::slice::from_ref(&back));
    // Again from the beginning, and of a sale that is still to come.
    test.send(&decisions).await;
    test.send(&[decision(8, 1, 0), decision(8, 2, 1)]).await;
    // Units that come and go within ten minutes.
    test.send(&[decision(7, 6, 0), decision(7, 7, 2), decision(7, 8, 0)]).await;
    test.quiet().await;
    assert_eq!(test.box_of(1).await.len(), 1);

    test.user.clock.advance(10 * MINUTE);
    test.send(&[decision(7, 9, 1)]).await;
    assert_eq!(test.notices(1, 2).await, [back.clone(), back]);
    assert_eq!(test.box_of(2).await, []);
}

#[tokio::test]
async fn buyers_are_told_what_becomes_of_their_orders() {
    let test = TestNotice::start().await;
    test.tell(&test.product(7, 10)).await;
    let id = OrderId::new();
    let states = [OrderState::Received, OrderState::Reserved, OrderState::Paying, OrderState::Paid];
    let events: Vec<_> = (1..).zip(states).map(|(seq, state)| order(id, seq, 5, state)).collect();
    for _ in 0..3 {
        test.send(&events).await;
    }
    test.quiet().await;
    let told = |state| Notice::OrderChanged { order_id: id, state, reason: None };
    assert_eq!(test.notices(5, 2).await, [told(OrderState::Reserved), told(OrderState::Paid)]);
    assert_eq!(test.box_of(6).await, []);
}
