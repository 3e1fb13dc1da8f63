//! One shopper buys one thing; the next one finds nothing left.

use anyhow::ensure;
use serde_json::json;
use testkit::eventually;

use crate::shop::{PATIENCE, Sale, admitted, shared};

#[tokio::test]
async fn a_new_shopper_signs_up_and_buys_the_only_unit() {
    let shop = shared();
    let login_id = uuid::Uuid::new_v4().simple().to_string()[..10].to_owned();
    let account = json!({
        "loginId": login_id, "password": "correct horse 1", "username": "Kim", "nickname": "kim",
        "phoneNumber": "010-1234-5678", "shippingAddress": "Seoul", "role": "CUSTOMER",
    });
    let signed_up = shop.visitor().post("/api/auth/signup", &account).await.unwrap().expect(201);
    assert!(!signed_up.body.to_string().contains("horse"), "an answer never holds a password");
    let credentials = json!({"loginId": login_id, "password": "correct horse 1"});
    let login = shop.visitor().post("/api/auth/login", &credentials).await.unwrap().expect(200);
    let me = shop.visitor().login(login.body["accessToken"].as_str().unwrap());
    assert_eq!(me.get("/api/users/me").await.unwrap().expect(200).body["loginId"], login_id.as_str());

    let product = shop.register(Sale::default()).await;
    let pass = &admitted(&me, product).await;
    let page = me.pass(pass).get(&format!("/api/products/{product}")).await.unwrap().expect(200);
    assert_eq!(page.body["stock"], 1);

    let body = json!({"lines": [{"productId": product, "quantity": 1}]});
    let order = me.pass(pass).key("mine").post("/api/orders", &body).await.unwrap().expect(202);
    assert_eq!(order.body["totalPrice"], 19_900);
    let path = format!("/api/orders/{}", order.body["orderId"].as_str().unwrap());
    let reserved = eventually(PATIENCE, async || {
        let order = me.get(&path).await?;
        ensure!(order.body["state"] == "reserved", "{}", order.body);
        Ok(order.body)
    })
    .await;
    assert!(reserved["expiresAt"].is_string());
    let again = me.pass(pass).key("mine").post("/api/orders", &body).await.unwrap().expect(202);
    assert_eq!(again.body["orderId"], order.body["orderId"], "the same key gives the same order");
    let completed = eventually(PATIENCE, async || {
        let place = me.get(&format!("/api/queue/{product}")).await?;
        ensure!(place.body["state"] == "completed", "{}", place.body);
        Ok(place)
    });
    completed.await;
    me.post(&format!("/api/queue/{product}"), &json!({}))
        .await
        .unwrap()
        .problem(409, "purchase-limit-reached");
}

#[tokio::test]
async fn the_last_unit_is_sold_once_and_the_line_is_told() {
    let shop = shared();
    let queue = json!({"count": 2, "intervalS": 3_600, "admissionDelayS": 0});
    let product = shop.register(Sale { queue, ..Sale::default() }).await;
    let (first, second, third) = (shop.shopper(), shop.shopper(), shop.shopper());
    let (first_pass, second_pass) = (first.admitted(product).await, second.admitted(product).await);
    assert_eq!(third.join(product).await.expect(200).body["state"], "waiting");
    let order = first.reserve(product, &first_pass).await;
    assert_eq!(order["state"], "reserved", "{order}");
    eventually(PATIENCE, async || {
        let place = third.place(product).await;
        ensure!(place.body["reason"] == "allReserved", "{}", place.body);
        Ok(())
    })
    .await;
    let late = second.reserve(product, &second_pass).await;
    assert_eq!((&late["state"], &late["reason"]), (&json!("rejected"), &json!("soldOut")), "{late}");
    assert_eq!(first.pay(&order, "approve").await.expect(200).body["state"], "paid");
    eventually(PATIENCE, async || {
        let told = third.place(product).await;
        ensure!(told.body["state"] == "soldOut", "{}", told.body);
        Ok(())
    })
    .await;
    assert_eq!(third.join(product).await.expect(200).body["state"], "soldOut");
}

#[tokio::test]
async fn a_declined_payment_leaves_the_order_reserved_and_a_cancel_gives_the_unit_back() {
    let shop = shared();
    let product = shop.register(Sale::default()).await;
    let (first, second) = (shop.shopper(), shop.shopper());
    let (first_pass, second_pass) = (first.admitted(product).await, second.admitted(product).await);
    let order = first.reserve(product, &first_pass).await;
    first.pay(&order, "decline").await.problem(402, "payment-declined");
    let path = format!("/api/orders/{}", order["orderId"].as_str().unwrap());
    assert_eq!(first.http.get(&path).await.unwrap().body["state"], "reserved");
    second.http.get(&path).await.unwrap().problem(403, "forbidden");
    let cancel = first.http.key("cancel").post(&format!("{path}/cancel"), &json!({})).await.unwrap();
    assert_eq!(cancel.expect(200).body["state"], "cancelled");
    let sold = eventually(PATIENCE, async || {
        let order = second.reserve(product, &second_pass).await;
        ensure!(order["state"] == "reserved", "{order}");
        Ok(order)
    })
    .await;
    assert_eq!(second.pay(&sold, "approve").await.expect(200).body["state"], "paid");
}

#[tokio::test]
async fn one_access_token_gives_one_order() {
    let shop = shared();
    let product = shop.register(Sale { units: 10, limit: 5, ..Sale::default() }).await;
    let shopper = shop.shopper();
    let pass = shopper.admitted(product).await;
    let order = shopper.reserve(product, &pass).await;
    assert_eq!(order["state"], "reserved", "{order}");
    shopper.order(product, &pass, 1, "another").await.problem(409, "ticket-used");
}
