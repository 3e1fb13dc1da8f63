//! The end of waiting: one's turn, or nothing left.

use anyhow::ensure;
use common::wire::id::ProductId;
use serde_json::json;
use testkit::eventually;

use crate::shop::{PATIENCE, Sale, shared};
use crate::window::Window;

/// A running sale whose only admission of this hour is taken.
async fn full(units: i64) -> ProductId {
    let queue = json!({"count": 1, "intervalS": 3_600, "admissionDelayS": 0});
    let product = shared().register(Sale { units, queue, ..Sale::default() }).await;
    shared().shopper().admitted(product).await;
    product
}

async fn call_next(product: ProductId) {
    let manager = shared().login("manager").await;
    let path = format!("/api/queue/{product}/admissions");
    manager.post(&path, &json!({"count": 1})).await.unwrap().expect(200);
}

#[tokio::test]
async fn a_page_out_of_sight_calls_and_takes_the_turn_once_it_is_looked_at() {
    let product = full(3).await;
    let me = shared().shopper();
    let mut window = Window::of(&me).await;
    window.go(&format!("/queue/{product}/wait")).await;
    window.click("button[value=POST]").await;
    window.sees("Your place in the line").await;
    window.eval("Object.defineProperty(document, 'hidden', { value: true, configurable: true })").await;
    call_next(product).await;
    window.sees("It is your turn").await;
    window.until("document.getElementById('tone').played.length == 1").await;
    assert_eq!(window.eval("document.title").await, "It is your turn");
    assert_eq!(
        me.place(product).await.body["state"],
        "ready",
        "the turn is not taken for somebody who is not there"
    );
    window.eval("delete document.hidden; document.dispatchEvent(new Event('visibilitychange'))").await;
    window.until(&format!("location.href.endsWith('/product.html?id={product}')")).await;
    window.is_fine().await;
}

#[tokio::test]
async fn a_turn_leads_to_the_product_page_and_an_order() {
    let shop = shared();
    let product = full(3).await;
    let me = shop.shopper();
    let mut window = Window::of(&me).await;
    window.go(&format!("/product.html?id={product}")).await;
    window.click("#wait").await;
    window.click("button[value=POST]").await;
    window.sees("Your place in the line").await;
    window.until("!!document.getElementById('say').innerText.includes('Your place in the line')").await;
    call_next(product).await;
    window.until(&format!("location.href.endsWith('/product.html?id={product}')")).await;
    window.sees("3 left").await;
    window.click("#buy button").await;
    window.sees("Reserved for you").await;
    eventually(PATIENCE, async || {
        let place = me.place(product).await;
        ensure!(place.body["state"] == "completed", "{}", place.body);
        Ok(())
    })
    .await;
    window.is_fine().await;
}

#[tokio::test]
async fn whoever_waits_for_nothing_is_told() {
    let shop = shared();
    let queue = json!({"count": 1, "intervalS": 3_600, "admissionDelayS": 0});
    let product = shop.register(Sale { units: 1, queue, ..Sale::default() }).await;
    let first = shop.shopper();
    let pass = first.admitted(product).await;
    let mut window = Window::of(&shop.shopper()).await;
    window.go(&format!("/queue/{product}/wait")).await;
    window.click("button[value=POST]").await;
    window.sees("Your place in the line").await;
    let order = first.reserve(product, &pass).await;
    window.sees("Every unit is reserved").await;
    first.pay(&order, "approve").await.expect(200);
    window.sees("Sold out").await;
    window.is_fine().await;
}

#[tokio::test]
async fn a_pause_and_a_message_reach_the_page() {
    let shop = shared();
    let product = full(9).await;
    let mut window = Window::of(&shop.shopper()).await;
    window.go(&format!("/queue/{product}/wait")).await;
    window.click("button[value=POST]").await;
    window.sees("Expected wait").await;
    let manager = shop.login("manager").await;
    let ask = async |what: &str, body| {
        manager.post(&format!("/api/queue/{product}/{what}"), &body).await.unwrap().expect(200)
    };
    ask("hold", json!({"why": "a test"})).await;
    window.sees("The shop has paused the line").await;
    ask("message", json!({"text": "<b>Back at 3</b>", "why": "a test"})).await;
    window.sees("<b>Back at 3</b>").await;
    ask("message", json!({"text": null, "why": "a test"})).await;
    ask("resume", json!({"why": "a test"})).await;
    window
        .until(
            "!document.body.innerText.includes('paused') && !document.body.innerText.includes('Back at 3')",
        )
        .await;
    window.is_fine().await;
}
