use common::wire::event::{QUEUE_EVENTS, QueueSteps, StockCommand};
use common::wire::id::{OrderId, ProductId, UserId};
use common::wire::queue::{Step, StepKind};
use common::wire::token::Role;
use serde_json::{Value, json};
use testkit::eventually;

use crate::service::{PATIENCE, Service};

fn record(product: ProductId, at: i64, kinds: &[StepKind]) -> (String, Vec<u8>) {
    let steps: Vec<_> = kinds.iter().map(|kind| Step::new(*kind, at)).collect();
    let (first, last) = (format!("{at}-0"), format!("{at}-{}", kinds.len() - 1));
    let record = QueueSteps { product_id: product, prev: String::new(), first, last, steps };
    (product.to_string(), serde_json::to_vec(&record).unwrap())
}

/// Waits until the figures of a sale are these.
async fn figures_are(service: &Service, product: ProductId, expected: Value) {
    let path = format!("/api/seller/products/{product}/sale");
    eventually(PATIENCE, async || {
        let sale = service.seller().get(&path).await?.body;
        for (name, value) in expected.as_object().unwrap() {
            anyhow::ensure!(&sale[name] == value, "{name} is {} in {sale}", sale[name]);
        }
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn people_are_counted_once_from_the_log_and_units_from_the_stock() {
    let service = Service::start().await;
    let product = service.product(5).await;
    let begin =
        record(product, 1_000, &[StepKind::Joined, StepKind::Joined, StepKind::Ready, StepKind::Admitted]);
    let end = record(product, 2_000, &[StepKind::Admitted, StepKind::Completed]);
    service.send_to(QUEUE_EVENTS, vec![begin.clone(), end.clone()]).await;
    let order = OrderId::new();
    service.send(&[service.reserve(product, order, 70)]).await;
    let half = json!({"joined": 2, "letIn": 2, "conversion": 0.5, "state": "onSale",
                      "units": {"total": 5, "available": 4, "reserved": 1, "sold": 0}});
    figures_are(&service, product, half).await;
    // The relay sends its last record again when it dies between sending and noting.
    let more = record(product, 3_000, &[StepKind::Completed]);
    service.send_to(QUEUE_EVENTS, vec![begin, end, more]).await;
    service.send(&[StockCommand::Confirm(service.settle(product, order, 70))]).await;
    let whole = json!({"joined": 2, "letIn": 2, "conversion": 1.0,
                       "units": {"total": 5, "available": 4, "reserved": 0, "sold": 1}});
    figures_are(&service, product, whole).await;
    // No queue-server answers here: the figures of this moment are missing, the others are not.
    let path = format!("/api/seller/products/{product}/sale");
    let sale = service.seller().get(&path).await.unwrap().expect(200).body;
    assert!(sale.get("waiting").is_none() && sale.get("inside").is_none(), "{sale}");
    let results = service.seller().get(&format!("{path}/results.csv")).await.unwrap().expect(200);
    assert!(results.body.as_str().unwrap().starts_with("minute,added,reserved,sold,available\r\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn sellers_see_their_own_products_and_sales_alone() {
    let service = Service::start().await;
    let company = service.company().await;
    let mut ids = Vec::new();
    for draft in [true, false, false] {
        let mut wish = service.wish(company, 5);
        wish["draft"] = json!(draft);
        ids.push(
            service.seller().post("/api/products", &wish).await.unwrap().expect(201).body["productId"]
                .clone(),
        );
    }
    let foreign = service.login(UserId(12), Role::Seller);
    let list = service.seller().get("/api/seller/products?limit=2").await.unwrap().expect(200).body;
    let shown: Vec<_> =
        list["items"].as_array().unwrap().iter().map(|item| item["productId"].clone()).collect();
    assert_eq!(shown, [ids[2].clone(), ids[1].clone()]);
    let next = format!("/api/seller/products?limit=2&cursor={}", list["next"].as_str().unwrap());
    let rest = service.seller().get(&next).await.unwrap().expect(200).body;
    assert_eq!((&rest["items"][0]["productId"], &rest["items"][0]["state"]), (&ids[0], &json!("draft")));
    assert!(rest.get("next").is_none());
    assert_eq!(foreign.get("/api/seller/products").await.unwrap().expect(200).body["items"], json!([]));
    let customer = service.login(UserId(70), Role::Customer);
    customer.get("/api/seller/products").await.unwrap().problem(403, "forbidden");
    for (query, field) in [("limit=0", "limit"), ("limit=x", "limit"), ("cursor=x", "cursor")] {
        let answer = service.seller().get(&format!("/api/seller/products?{query}")).await.unwrap();
        assert_eq!(answer.problem(400, "validation-failed")["errors"][0]["field"], field);
    }
    for end in ["", "/live", "/results.csv"] {
        let path = format!("/api/seller/products/{}/sale{end}", ids[1]);
        foreign.get(&path).await.unwrap().problem(403, "forbidden");
        let none = format!("/api/seller/products/999/sale{end}");
        service.seller().get(&none).await.unwrap().problem(404, "unknown-product");
    }
}
