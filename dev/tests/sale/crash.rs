//! Services die in the middle of a sale and come back: nothing accepted is lost, nothing is sold twice.

use anyhow::ensure;
use dev::stack::Options;
use serde_json::Value;
use testkit::eventually;

use crate::rush;
use crate::shop::{PATIENCE, Shop};

/// Orders accepted so far, from the order service's own figures.
fn orders(shop: &Shop) -> f64 {
    let url = format!("{}/metrics", shop.stack.urls("order")[0]);
    let metrics = testkit::http::Request::get(&url).send().map(|answer| answer.body).unwrap_or_default();
    let total = metrics.lines().filter(|line| line.starts_with("astraphe_order_transitions_total"));
    total.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

/// Waits until the sale has moved on by some orders; at its end there is nothing left to wait for.
async fn until_orders_flow(shop: &Shop, child: &mut std::process::Child) {
    let seen = orders(shop);
    // At its end a sale takes up to 30 s to judge itself, without a further order.
    eventually(3 * PATIENCE, async || {
        let ended = child.try_wait()?.is_some();
        ensure!(ended || orders(shop) >= seen + 20.0, "no orders flow");
        Ok(())
    })
    .await;
}

async fn sale_with_kills(name: &str, victims: &[&str]) -> Value {
    let options = Options::for_test(name).expect("the test servers answer");
    let shop = Shop::open(Options { shoppers: 600, ..options });
    let (mut child, report) = rush::start(&shop.stack, 600, 150, name);
    for victim in victims {
        until_orders_flow(&shop, &mut child).await;
        shop.stack.kill9(victim).expect("the stack has it");
        shop.stack.restart(victim).expect("it comes back");
    }
    rush::finish(&shop.stack, (child, report), name)
}

#[tokio::test]
async fn a_killed_order_service_loses_no_order() {
    let report = sale_with_kills("crash-order", &["order-1", "order-1"]).await;
    assert_eq!(report["oversold"], 0, "{report}");
    assert_eq!(report["undecided"], 0, "{report}");
    assert_eq!(report["unitsSold"], 150, "{report}");
}

#[tokio::test]
async fn a_killed_product_service_sells_nothing_twice() {
    let report = sale_with_kills("crash-product", &["product-1", "product-1"]).await;
    assert_eq!(report["oversold"], 0, "{report}");
    assert_eq!(report["undecided"], 0, "{report}");
    assert_eq!(report["unitsSold"], 150, "{report}");
}
