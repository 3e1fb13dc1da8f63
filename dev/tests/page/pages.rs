//! The shop's pages and the payment sandbox's: each opens without an error, and leads on.

use serde_json::json;

use crate::shop::{Sale, shared};
use crate::window::Window;

#[tokio::test]
async fn every_page_of_the_shop_opens_without_an_error_on_any_screen() {
    let product = shared().register(Sale { started_s: -600, ..Sale::default() }).await;
    let mut window = Window::of(&shared().shopper()).await;
    for width in [320, 1_100] {
        let screen = json!({"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": false});
        window.call("Emulation.setDeviceMetricsOverride", screen).await;
        for (path, sign) in [
            ("/", "document.body.innerText.includes('Lamp')"),
            ("/login.html", "!!document.querySelector('[name=loginId]')"),
            (&format!("/product.html?id={product}"), "document.body.innerText.includes('Lamp')"),
        ] {
            window.go(path).await;
            window.until(sign).await;
            window.is_fine().await;
        }
    }
}

#[tokio::test]
async fn a_payment_on_the_provider_s_page_leads_back_to_a_paid_order() {
    let shop = shared();
    let product = shop.register(Sale::default()).await;
    let me = shop.shopper();
    let pass = me.admitted(product).await;
    let order = me.reserve(product, &pass).await;
    let id = order["orderId"].as_str().unwrap();
    let wish = me.http.post(&format!("/api/orders/{id}/payment"), &json!({})).await.unwrap().expect(200).body;
    let mut page: reqwest::Url =
        format!("{}/sandbox/checkout?orderId={id}&amount={}", shop.stack.payment_sandbox(), wish["amount"])
            .parse()
            .unwrap();
    for name in ["orderName", "successUrl", "failUrl"] {
        page.query_pairs_mut().append_pair(name, wish[name].as_str().unwrap());
    }
    let mut window = Window::of(&me).await;
    window.visit(page.as_str()).await;
    window.sees("No money moves").await;
    window.click("form button").await;
    window.until("location.pathname == '/order.html'").await;
    window.sees("Paid. Thank you!").await;
    window.is_fine().await;
}
