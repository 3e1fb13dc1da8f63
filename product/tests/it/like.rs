//! Likes: taken by Redis, written behind.

use common::wire::id::{ProductId, UserId};
use common::wire::product::LikeView;
use common::wire::token::Role;
use serde_json::{Value, json};
use testkit::eventually;

use crate::service::{PATIENCE, Service};

const KEYS: [&str; 2] = ["{like}:changes", "{like}:last"];

/// A service with a Redis of its own: products of all tests have the same ids.
async fn start() -> Service {
    Service::start_with(&[&format!("--redis-url={}", testkit::redis_url())]).await
}

/// Takes from Redis all that it knows of a product's likes.
async fn forget(service: &Service, product: ProductId) {
    let keys = KEYS.map(str::to_owned).into_iter().chain([format!("{{like}}:of:{product}")]);
    service.redis().delete(keys.collect()).await.unwrap();
}

fn path(product: ProductId) -> String {
    format!("/api/products/{product}/like")
}

async fn like(service: &Service, user: i64, product: ProductId) -> LikeView {
    let shopper = service.login(UserId(user), Role::Customer);
    shopper.post(&path(product), &Value::Null).await.unwrap().expect(200).body()
}

async fn unlike(service: &Service, user: i64, product: ProductId) -> LikeView {
    service.login(UserId(user), Role::Customer).delete(&path(product)).await.unwrap().expect(200).body()
}

async fn shown(service: &Service, user: i64, product: ProductId) -> LikeView {
    service.login(UserId(user), Role::Customer).get(&path(product)).await.unwrap().expect(200).body()
}

/// Waits until so many likes of the product are written, in rows and with the product.
async fn written(service: &Service, product: ProductId, likes: i64) {
    eventually(PATIENCE, async || {
        let found: (i64, i64) = sqlx::query_as(
            "SELECT likes, (SELECT count(*) FROM product_like l WHERE l.product_id = p.product_id)
             FROM product p WHERE product_id = $1",
        )
        .bind(product.0)
        .fetch_one(&service.pg)
        .await?;
        anyhow::ensure!(found == (likes, likes), "{found:?} instead of {likes}");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_like_twice_is_one_and_survives_both_redis_and_the_service() {
    let mut service = start().await;
    let product = service.product(5).await;
    let view = |liked, likes| LikeView { product_id: product, liked, likes };
    assert_eq!(shown(&service, 1, product).await, view(false, 0));
    for _ in 0..3 {
        assert_eq!(like(&service, 1, product).await, view(true, 1));
    }
    assert_eq!(like(&service, 2, product).await, view(true, 2));
    for _ in 0..2 {
        assert_eq!(unlike(&service, 1, product).await, view(false, 1));
    }
    assert_eq!(unlike(&service, 3, product).await, view(false, 1));
    written(&service, product, 1).await;

    // Redis forgets everything: what was written counts, and a like twice is one still.
    forget(&service, product).await;
    assert_eq!(shown(&service, 2, product).await, view(true, 1));
    forget(&service, product).await;
    assert_eq!(like(&service, 2, product).await, view(true, 1));
    assert_eq!(like(&service, 1, product).await, view(true, 2));

    // The service ends before it has written: another one does.
    service.wire.cut();
    for user in 10..20 {
        like(&service, user, product).await;
    }
    service.stop_first().await;
    service.wire.restore();
    service.add_replica().await;
    assert_eq!(shown(&service, 10, product).await, view(true, 12));
    written(&service, product, 12).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_like_at_once_through_two_replicas_and_each_counts_once() {
    let mut service = start().await;
    service.add_replica().await;
    let product = service.product(5).await;
    let likes = (1..=60).map(|n| like(&service, n % 30, product));
    futures::future::join_all(likes).await;
    let gone = (0..10).map(|n| unlike(&service, n, product));
    futures::future::join_all(gone).await;
    assert_eq!(shown(&service, 15, product).await.likes, 20);
    written(&service, product, 20).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_liked_is_refused() {
    let service = start().await;
    let shopper = service.login(UserId(1), Role::Customer);
    shopper.post(&path(ProductId(999)), &Value::Null).await.unwrap().problem(404, "unknown-product");
    shopper.get(&path(ProductId(999))).await.unwrap().problem(404, "unknown-product");
    service.anyone().post(&path(ProductId(1)), &Value::Null).await.unwrap().problem(401, "login-required");
    shopper.post("/api/products/x/like", &Value::Null).await.unwrap().problem(404, "no-such-route");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_popular_ones_come_first_and_are_at_most_five_seconds_old() {
    let service = start().await;
    let (first, second, unliked) =
        (service.product(5).await, service.product(5).await, service.product(5).await);
    like(&service, 1, first).await;
    for user in 1..=3 {
        like(&service, user, second).await;
    }
    written(&service, second, 3).await;
    written(&service, first, 1).await;
    let popular = async || {
        let list = service.anyone().get("/api/products/popular").await.unwrap().expect(200).body;
        let item = |item: &Value| (item["productId"].clone(), item["likes"].clone());
        list["items"].as_array().unwrap().iter().map(item).collect::<Vec<_>>()
    };
    let expected = [(json!(second), json!(3)), (json!(first), json!(1))];
    assert_eq!(popular().await, expected, "without {unliked}, which nobody likes");
    for user in 2..=9 {
        like(&service, user, first).await;
    }
    written(&service, first, 9).await;
    eventually(std::time::Duration::from_secs(7), async || {
        let now = popular().await;
        anyhow::ensure!(now == [(json!(first), json!(9)), (json!(second), json!(3))], "{now:?}");
        Ok(())
    })
    .await;
}
