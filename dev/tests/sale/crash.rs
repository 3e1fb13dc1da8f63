//! Services die in the middle of a sale, or of a seller's import, and come back: nothing accepted is lost, nothing is sold
//! or stored twice.

use std::fmt::Write as _;

use anyhow::ensure;
use dev::stack::Options;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::client::Http;
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

/// Rows of the seller's file: 120 batches, so that the service dies in the middle of them also on a quick machine.
const ROWS: i64 = 30_000;

/// Sends the file through the gateway; the import as it begins.
async fn import(seller: &Http, company: i64) -> Value {
    let mut file =
        "externalId,productName,originalPrice,discountedPrice,stock,categoryCode,saleStartTime,saleEndTime\n"
            .to_owned();
    for row in 0..ROWS {
        writeln!(file, "sku-{row},lamp {row},1000,900,5,1000,2031-06-02T10:00:00Z,2031-06-03T10:00:00Z")
            .unwrap();
    }
    let request = seller.request(Method::POST, &format!("/api/products/import?companyId={company}"));
    let request = request.header("content-type", "text/csv").body(file);
    Http::send("import".into(), request).await.unwrap().expect(202).body
}

/// The import, once at least so many of its rows are products.
async fn imported(seller: &Http, import: &Value, stored: i64) -> Value {
    let path = format!("/api/products/import/{}", import["importId"].as_str().unwrap());
    eventually(3 * PATIENCE, async || {
        let now = seller.get(&path).await?;
        ensure!(now.status == 200, "{}", now.body);
        let rows = now.body["stored"].as_i64().unwrap() + now.body["known"].as_i64().unwrap();
        ensure!(rows >= stored, "{}", now.body);
        Ok(now.body)
    })
    .await
}

#[tokio::test]
async fn a_product_service_killed_in_an_import_stores_every_row_once() {
    let shop = Shop::open(Options::for_test("crash-import").expect("the test servers answer"));
    let seller = shop.login("seller").await;
    let company = json!({"companyName": "Lamps", "description": "light", "address": "Seoul"});
    let company = seller.post("/api/companies", &company).await.unwrap().expect(201);
    let company = company.body["companyId"].as_i64().unwrap();
    let first = import(&seller, company).await;
    for stored in [1, ROWS / 2] {
        let seen = imported(&seller, &first, stored).await;
        assert_eq!(seen["state"], "running", "killed too late: {seen}");
        shop.stack.kill9("product-1").expect("the stack has it");
        shop.stack.restart("product-1").expect("it comes back");
    }
    let end = imported(&seller, &first, ROWS).await;
    assert_eq!(
        (&end["state"], &end["stored"], &end["known"]),
        (&json!("done"), &json!(ROWS), &json!(0)),
        "{end}"
    );
    // What is counted is there: all of it is known the next time.
    let again = import(&seller, company).await;
    let end = imported(&seller, &again, ROWS).await;
    assert_eq!((&end["stored"], &end["known"]), (&json!(0), &json!(ROWS)), "{end}");
}
