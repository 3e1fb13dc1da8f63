//! The line without a script.

use serde_json::json;

use crate::shop::{Sale, shared};
use crate::window::Window;

#[tokio::test]
async fn a_browser_without_scripts_joins_waits_and_gets_in() {
    let shop = shared();
    let product = shop.register(Sale { units: 3, started_s: -600, ..Sale::default() }).await;
    let first = shop.shopper();
    first.join(product).await.expect(200);
    let account = &shop.stack.json()["accounts"]["shopper"];
    let mut window = Window::open("en-GB", 320).await;
    window.call("Emulation.setScriptExecutionDisabled", json!({"value": true})).await;
    window.go(&format!("/queue/{product}/wait")).await;
    window.sees("Log in to see your place").await;
    window.fill("[name=loginId]", account["loginId"].as_str().unwrap()).await;
    window.fill("[name=password]", "wrong").await;
    window.click("form button").await;
    window.sees("The login id or the password is wrong.").await;
    window.fill("[name=loginId]", account["loginId"].as_str().unwrap()).await;
    window.fill("[name=password]", account["password"].as_str().unwrap()).await;
    window.click("form button").await;
    window.click("button[value=join]").await;
    window.until("document.getElementById('rank')?.innerText == '2'").await;
    // By itself, without a click.
    first.http.delete(&format!("/api/queue/{product}")).await.unwrap().expect(204);
    window.until("document.getElementById('rank')?.innerText == '1'").await;
    window.click("a[href='plain?leave=1']").await;
    window.sees("Really leave?").await;
    window.click("a[href='plain']").await;
    let manager = shop.login("manager").await;
    manager
        .post(&format!("/api/queue/{product}/admissions"), &json!({"count": 1}))
        .await
        .unwrap()
        .expect(200);
    window.click("button[value=enter]").await;
    window.sees("You are in").await;
    window.is_fine().await;
}

#[tokio::test]
async fn a_form_from_elsewhere_changes_nothing() {
    let shop = shared();
    let product = shop.register(Sale { started_s: -600, ..Sale::default() }).await;
    let me = shop.shopper();
    let path = format!("/queue/{product}/plain");
    let form = |origin: &str| {
        let browser = shop.visitor().with("cookie", format!("identity={}", me.token)).with("origin", origin);
        browser.request(reqwest::Method::POST, &path).form(&[("what", "join"), ("key", "a")])
    };
    let refused = form("https://evil.example").send().await.unwrap();
    assert_eq!(refused.status(), 403);
    assert_eq!(me.place(product).await.body["state"], "none");
    form(&shop.stack.gateway()).send().await.unwrap().error_for_status().unwrap();
    assert_eq!(me.place(product).await.body["state"], "waiting");
    let broken =
        shop.visitor().request(reqwest::Method::POST, &path).form(&[("what", "fly")]).send().await.unwrap();
    assert_eq!(broken.status(), 400);
}
