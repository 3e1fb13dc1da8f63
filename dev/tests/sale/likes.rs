//! Likes, while what keeps them dies.

use anyhow::ensure;
use dev::stack::Options;
use serde_json::{Value, json};
use testkit::client::Http;
use testkit::eventually;

use crate::shop::{PATIENCE, Sale, Shop};

const FANS: usize = 40;

/// Likes until there is an answer, as the button does; returns how many like it then.
async fn like(fan: &Http, path: &str) -> i64 {
    eventually(PATIENCE, async || {
        let answer = fan.post(path, &Value::Null).await?;
        ensure!(answer.status == 200 && answer.body["liked"] == true, "{}", answer.body);
        Ok(answer.body["likes"].as_i64().expect("a number"))
    })
    .await
}

/// Waits until so many likes are written down, of which only the list of what is liked most tells.
async fn written(shop: &Shop, likes: i64) {
    eventually(PATIENCE, async || {
        let list = shop.visitor().get("/api/products/popular").await?.body;
        ensure!(list["items"][0]["likes"] == likes, "{likes} likes are not written: {list}");
        Ok(())
    })
    .await;
}

fn restart(shop: &Shop, name: &str) {
    shop.stack.kill9(name).expect("the stack has it");
    shop.stack.restart(name).expect("it comes back");
}

#[tokio::test]
async fn likes_outlive_a_killed_service_and_a_killed_redis_and_count_once() {
    let options = Options::for_test("likes").expect("the test servers answer").own_servers();
    let shop = Shop::open(Options { shoppers: 60, ..options });
    let product = shop.register(Sale::default()).await;
    let path = &format!("/api/products/{product}/like");
    let fans: Vec<_> = (0..FANS).map(|_| shop.shopper().http).collect();

    // Killed before it wrote them, most likely, and while half of them click again.
    let (first, second) = fans.split_at(FANS / 2);
    futures::future::join_all(first.iter().map(|fan| like(fan, path))).await;
    let clicks = futures::future::join_all(first.iter().chain(second).map(|fan| like(fan, path)));
    let (counts, ()) = tokio::join!(clicks, async { restart(&shop, "product-1") });
    let all = i64::try_from(FANS).unwrap();
    assert_eq!(counts.into_iter().max(), Some(all));
    written(&shop, all).await;

    // Redis has the last ones in its file, and in nothing else.
    let late: Vec<_> = (0..10).map(|_| shop.shopper().http).collect();
    futures::future::join_all(late.iter().map(|fan| like(fan, path))).await;
    restart(&shop, "redis");
    assert_eq!(like(&fans[0], path).await, all + 10);
    let gone = eventually(PATIENCE, async || {
        let answer = fans[0].delete(path).await?;
        ensure!(answer.status == 200, "{}", answer.body);
        Ok(answer.body)
    });
    assert_eq!(gone.await, json!({"productId": product, "liked": false, "likes": all + 9}));
    written(&shop, all + 9).await;
}
