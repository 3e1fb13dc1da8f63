use std::time::Duration;

use common::wire::event::PRODUCT_EVENTS;
use common::wire::event::StockCommand;
use common::wire::id::{OrderId, ProductId};
use serde_json::json;
use testkit::eventually;

use crate::service::{PATIENCE, Service};

/// The states told of a product, each with its number, in the order of the log.
fn states(service: &Service, product: ProductId) -> anyhow::Result<Vec<(String, i64)>> {
    let told = service.told(PRODUCT_EVENTS, &product.to_string())?;
    let state = |snapshot: &serde_json::Value| {
        (snapshot["state"].as_str().unwrap().to_owned(), snapshot["stateVersion"].as_i64().unwrap())
    };
    Ok(told.iter().map(state).collect())
}

async fn told_are(service: &Service, product: ProductId, expected: &[&str]) {
    let expected: Vec<_> = expected.iter().map(|state| (*state).to_owned()).zip(1..).collect();
    eventually(PATIENCE, async || {
        let told = states(service, product)?;
        anyhow::ensure!(told == expected, "{told:?} instead of {expected:?}");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_state_is_told_once_however_many_instances_look() {
    let mut service = Service::start().await;
    service.add_replica().await;
    let mut wish = service.wish(service.company().await, 1);
    wish["saleStartTime"] = json!(service.clock.now() + Duration::from_secs(60));
    let made = service.seller().post("/api/products", &wish).await.unwrap().expect(201).body;
    let product = ProductId(made["productId"].as_i64().unwrap());
    service.counts_are(product, [1, 1, 0, 0]).await;
    told_are(&service, product, &["scheduled"]).await;

    service.clock.advance(Duration::from_secs(60));
    told_are(&service, product, &["scheduled", "onSale"]).await;
    let order = OrderId::new();
    service.send(&[service.reserve(product, order, 70)]).await;
    told_are(&service, product, &["scheduled", "onSale", "soldOut"]).await;
    let path = format!("/api/products/{product}/summary");
    eventually(PATIENCE, async || {
        let summary = service.anyone().get(&path).await?.body;
        anyhow::ensure!(summary["state"] == "soldOut", "{summary}");
        Ok(())
    })
    .await;
    service.send(&[StockCommand::Release(service.settle(product, order, 70))]).await;
    told_are(&service, product, &["scheduled", "onSale", "soldOut", "onSale"]).await;
    service.clock.advance(Duration::from_secs(3_600));
    told_are(&service, product, &["scheduled", "onSale", "soldOut", "onSale", "ended"]).await;
    assert_eq!(service.number("SELECT count(*) FROM stock_turn").await, 0);
    let version = "SELECT version FROM product";
    assert_eq!(service.number(version).await, 1, "a state is no change of the product");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_state_that_nobody_was_there_to_tell_is_told_later() {
    let mut service = Service::start().await;
    let product = service.product(1).await;
    service.stop_first().await;
    service.clock.advance(Duration::from_secs(7_200));
    service.add_replica().await;
    told_are(&service, product, &["onSale", "ended"]).await;
}
