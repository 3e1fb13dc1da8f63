//! Nonsense gets a problem body with its own code, and leaves no trace in any store.

use common::wire::id::ProductId;
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::shop::{Sale, Shop, Shopper, shared};

/// What the stores hold about a shopper.
async fn traces(shop: &Shop, shopper: &Shopper) -> Vec<i64> {
    let mut orders = PgConnection::connect(&shop.stack.database("order").unwrap()).await.unwrap();
    let user = shopper.identity.sub.0;
    let mut found = Vec::new();
    for query in [
        "SELECT count(*) FROM orders WHERE user_id = $1",
        "SELECT count(*) FROM order_ticket WHERE user_id = $1",
        "SELECT count(*) FROM idempotency WHERE user_id = $1",
    ] {
        found.push(sqlx::query_scalar(query).bind(user).fetch_one(&mut orders).await.unwrap());
    }
    orders.close().await.unwrap();
    found
}

#[tokio::test]
async fn bad_orders_leave_no_trace() {
    let shop = shared();
    let product = shop.register(Sale { units: 5, ..Sale::default() }).await;
    let shopper = shop.shopper();
    let pass = shopper.admitted(product).await;
    let line = |quantity: Value| json!({"lines": [{"productId": product, "quantity": quantity}]});
    let priced = json!({"lines": [{"productId": product, "quantity": 1, "unitPrice": 1}]});
    let unknown = json!({"lines": [{"productId": product, "optionId": 999_999_999, "quantity": 1}]});
    let cases: [(Value, u16, &str); 8] = [
        (line(json!(-1)), 400, "validation-failed"),
        (line(json!(0)), 400, "validation-failed"),
        (line(json!(101)), 400, "validation-failed"),
        (line(json!("two")), 400, "validation-failed"),
        (json!({"lines": []}), 400, "validation-failed"),
        (json!([]), 400, "validation-failed"),
        (priced, 400, "validation-failed"),
        (unknown, 404, "unknown-option"),
    ];
    for (body, status, code) in cases {
        let answer = shopper.http.pass(&pass).key("bad").post("/api/orders", &body).await.unwrap();
        answer.problem(status, code);
    }
    let holder = shopper.http.pass(&pass);
    holder.post("/api/orders", &line(json!(1))).await.unwrap().problem(400, "idempotency-key-required");
    for (body, status, code) in [
        ("{\"lines\":".to_owned(), 400, "malformed-json"),
        ("x".repeat((1 << 20) + 1), 413, "body-too-large"),
    ] {
        let request = holder.key("bad").request(reqwest::Method::POST, "/api/orders");
        let request = request.header("content-type", "application/json").body(body);
        testkit::client::Http::send("POST bytes".into(), request).await.unwrap().problem(status, code);
    }
    assert_eq!(traces(shop, &shopper).await, [0, 0, 0]);
}

#[tokio::test]
async fn unknown_and_closed_sales_have_their_own_codes() {
    let shop = shared();
    let shopper = shop.shopper();
    shopper.join(ProductId(999_999_999)).await.problem(404, "unknown-product");
    shopper.place(ProductId(999_999_999)).await.problem(404, "unknown-product");
    let summary = shop.visitor().get("/api/products/999999999/summary").await.unwrap();
    summary.problem(404, "unknown-product");
    let product = shop.register(Sale { units: 5, ..Sale::default() }).await;
    let pass = shopper.admitted(product).await;
    shop.end(product).await;
    testkit::eventually(crate::shop::PATIENCE, async || {
        let late = shop.shopper().join(product).await;
        anyhow::ensure!(late.status == 409, "{}", late.body);
        late.problem(409, "sale-closed");
        Ok(())
    })
    .await;
    shopper.order(product, &pass, 1, "late").await.problem(409, "sale-closed");
    assert_eq!(traces(shop, &shopper).await, [0, 0, 0]);
}

#[tokio::test]
async fn paths_and_methods_that_do_not_exist_say_so() {
    let shop = shared();
    let shopper = shop.shopper();
    shopper.http.get("/api/nothing").await.unwrap().problem(404, "no-such-route");
    let wrong_method = shopper.http.delete("/api/orders").await.unwrap();
    assert!(wrong_method.headers.contains_key("allow"));
    wrong_method.problem(405, "method-not-allowed");
    shopper.http.get("/metrics").await.unwrap().problem(404, "no-such-route");
    shopper.http.get("/api/orders/not-an-id").await.unwrap().expect(404);
}

#[tokio::test]
async fn accounts_with_broken_fields_are_refused() {
    let shop = shared();
    let good = json!({
        "loginId": "abcdefgh", "password": "correct horse 1", "username": "Kim", "nickname": "kim",
        "phoneNumber": "010-1234-5678", "shippingAddress": "Seoul", "role": "CUSTOMER",
    });
    let cases = [
        ("loginId", json!("ab")),
        ("loginId", json!("UPPER")),
        ("password", json!("short1")),
        ("username", json!("")),
        ("role", json!("ADMIN")),
        ("role", json!("SERVICE")),
        ("phoneNumber", json!(10)),
    ];
    for (field, value) in cases {
        let mut bad = good.clone();
        bad[field] = value;
        let problem =
            shop.visitor().post("/api/auth/signup", &bad).await.unwrap().problem(400, "validation-failed");
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
    let nobody = json!({"loginId": "abcdefgh", "password": "correct horse 1"});
    let login = shop.visitor().post("/api/auth/login", &nobody).await.unwrap();
    login.problem(401, "wrong-credentials");
}
