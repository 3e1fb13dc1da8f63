use common::wire::notice::SubscriptionView;
use serde_json::Value;

use super::TestNotice;

fn path(product: i64) -> String {
    format!("/api/products/{product}/subscription")
}

#[tokio::test]
async fn a_subscription_is_made_shown_listed_and_ended() {
    let test = TestNotice::start().await;
    test.people(2).await;
    let mut products = Vec::new();
    for id in 1..=3 {
        products.push(test.product(id, 60));
        test.tell(products.last().unwrap()).await;
    }
    let me = test.caller(1);
    let shown: SubscriptionView = me.get(&path(1)).await.unwrap().expect(200).body();
    assert_eq!((shown.product_name.as_str(), shown.subscribed_at), ("product 1", None));
    let now = test.user.clock.now();
    let made: SubscriptionView = me.post(&path(1), &Value::Null).await.unwrap().expect(201).body();
    assert_eq!(made, SubscriptionView { subscribed_at: Some(now), ..shown.clone() });
    // Asking again changes nothing.
    test.user.clock.advance(std::time::Duration::from_secs(5));
    let again: SubscriptionView = me.post(&path(1), &Value::Null).await.unwrap().expect(200).body();
    assert_eq!(again, made);
    assert_eq!(me.get(&path(1)).await.unwrap().expect(200).body::<SubscriptionView>(), made);
    let other: SubscriptionView = test.caller(2).get(&path(1)).await.unwrap().expect(200).body();
    assert_eq!(other, shown);

    test.subscribe(1, 2).await;
    test.subscribe(1, 3).await;
    let list =
        async |query: &str| me.get(&format!("/api/subscriptions{query}")).await.unwrap().expect(200).body;
    let ids = |page: &Value| -> Vec<i64> {
        page["items"].as_array().unwrap().iter().map(|item| item["productId"].as_i64().unwrap()).collect()
    };
    let page = list("?limit=2").await;
    assert_eq!((ids(&page), &page["next"]), (vec![3, 2], &Value::from(2)));
    let page = list("?limit=2&cursor=2").await;
    assert_eq!((ids(&page), page.get("next")), (vec![1], None));
    products[1].version = 2;
    products[1].deleted = true;
    test.tell(&products[1]).await;
    assert_eq!(ids(&list("").await), [3, 1]);
    for _ in 0..2 {
        me.delete(&path(3)).await.unwrap().expect(204);
    }
    assert_eq!(ids(&list("").await), [1]);
}

#[tokio::test]
async fn what_cannot_be_subscribed_to_is_refused_and_leaves_no_trace() {
    let test = TestNotice::start().await;
    test.people(1).await;
    let over = test.product(1, -120);
    let mut withdrawn = test.product(2, 60);
    withdrawn.deleted = true;
    test.tell(&over).await;
    test.tell(&withdrawn).await;
    let me = test.caller(1);
    me.post(&path(1), &Value::Null).await.unwrap().problem(409, "sale-closed");
    me.post(&path(2), &Value::Null).await.unwrap().problem(404, "unknown-product");
    me.get(&path(2)).await.unwrap().problem(404, "unknown-product");
    // Nobody knows it here, and the product service does not answer.
    me.post(&path(3), &Value::Null).await.unwrap().problem(503, "product-unavailable");
    for bad in ["x", "1.5", "9223372036854775808"] {
        let bad = format!("/api/products/{bad}/subscription");
        me.post(&bad, &Value::Null).await.unwrap().problem(404, "no-such-route");
    }
    test.user.http.post(&path(1), &Value::Null).await.unwrap().problem(401, "login-required");
    // A login whose account is gone.
    let open = test.product(4, 60);
    test.tell(&open).await;
    test.caller(99).post(&path(4), &Value::Null).await.unwrap().problem(404, "unknown-user");
    for bad in ["limit=0", "limit=101", "cursor=x"] {
        me.get(&format!("/api/subscriptions?{bad}")).await.unwrap().problem(400, "validation-failed");
    }
    assert_eq!(test.user.rows("subscription").await, 0);
}

#[tokio::test]
async fn an_account_may_ask_of_five_hundred_products_however_it_hurries() {
    let test = TestNotice::start().await;
    test.people(1).await;
    let products: Vec<_> = (1..=510).map(|id| test.product(id, 60)).collect();
    test.tell(&products[0]).await;
    test.send(&products[1..]).await;
    testkit::eventually(super::SOON, async || {
        let known = test.user.rows("sale").await;
        anyhow::ensure!(known == 510, "{known} are known");
        Ok(())
    })
    .await;
    let me = test.caller(1);
    for id in 1..=495 {
        me.post(&path(id), &Value::Null).await.unwrap().expect(201);
    }
    let asked = (496..=510).map(|id| {
        let me = if id % 2 == 0 { test.caller(1) } else { test.caller_there(1) };
        async move { me.post(&path(id), &Value::Null).await.unwrap() }
    });
    let (made, refused): (Vec<_>, Vec<_>) =
        futures::future::join_all(asked).await.into_iter().partition(|answer| answer.status == 201);
    assert_eq!((made.len(), refused.len()), (5, 10));
    for answer in refused {
        answer.problem(409, "too-many-subscriptions");
    }
    assert_eq!(test.user.rows("subscription").await, 500);
    // Whoever ends one may ask of another.
    me.delete(&path(1)).await.unwrap().expect(204);
    test.subscribe(1, 1).await;
}
