//! Pictures of the waiting page in its states, to be looked at.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::shop::{Sale, shared};
use crate::window::Window;

const MINUTE_MS: i64 = 60_000;

/// The page as a place makes it look: asked for from the real server, then told otherwise.
fn states() -> Vec<(&'static str, Value)> {
    let now = common::clock::Clock::system().now();
    let at = |ms: i64| json!(now + chrono::TimeDelta::milliseconds(ms));
    let place = |more: Value| {
        let mut place =
            json!({"productId": 7, "total": 1_520, "serverTime": at(0), "nextPollAt": at(MINUTE_MS)});
        place.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        place
    };
    let waiting = |more: Value| {
        let mut place = place(
            json!({"state": "waiting", "rank": 1_208, "ahead": 1_207, "etaLowS": 540, "etaHighS": 720}),
        );
        place.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        place
    };
    vec![
        ("none", place(json!({"state": "none"}))),
        ("waiting", waiting(json!({}))),
        ("notOpen", waiting(json!({"reason": "notOpen", "startsAt": at(26 * 60 * MINUTE_MS)}))),
        ("draw", place(json!({"state": "waiting", "reason": "notOpen", "startsAt": at(5 * MINUTE_MS)}))),
        (
            "held",
            waiting(
                json!({"reason": "held", "etaLowS": null, "etaHighS": null, "message": "결제사 점검으로 잠시 멈췄습니다. 15시에 다시 시작합니다."}),
            ),
        ),
        ("ready", place(json!({"state": "ready", "claimUntil": at(MINUTE_MS)}))),
        ("offline", waiting(json!({"code": "offline"}))),
        ("soldOut", place(json!({"state": "soldOut"}))),
        ("expired", place(json!({"state": "expired"}))),
    ]
}

#[tokio::test]
#[ignore = "writes pictures to look at into the folder PAGE_PICTURES"]
async fn pictures_of_every_state() {
    #[expect(clippy::disallowed_methods, reason = "who looks says where")]
    let dir = PathBuf::from(std::env::var("PAGE_PICTURES").expect("PAGE_PICTURES names a folder"));
    let shop = shared();
    let product = shop.register(Sale { started_s: -600, ..Sale::default() }).await;
    for (language, width) in [("ko-KR", 320), ("en-US", 320), ("ko-KR", 1_100), ("en-US", 1_100)] {
        let mut window = Window::open(language, width).await;
        let name = |state: &str| dir.join(format!("{}-{width}-{state}.png", &language[..2]));
        window.go(&format!("/queue/{product}/wait")).await;
        window.until("document.body.className.includes('login-required')").await;
        window.shoot(&name("login")).await;
        // An instance of the stream that tells what it is given, in place of the server's.
        let told = "window.EventSource = class { addEventListener(kind, tell) { if (kind == 'place') window.tell = tell; } close() {} }";
        window.call("Page.addScriptToEvaluateOnNewDocument", json!({"source": told})).await;
        for (state, place) in states() {
            window.call("Page.reload", json!({})).await;
            window.until("!!window.tell && document.readyState == 'complete'").await;
            // As far as the claim, which has no server behind it here.
            window.eval("window.fetch = () => new Promise(() => {})").await;
            window.eval(&format!("tell({{data: {}}})", json!(place.to_string()))).await;
            window.shoot(&name(state)).await;
        }
        window.call("Page.reload", json!({})).await;
        window.until("!!window.tell && document.readyState == 'complete'").await;
        let dark = json!({"features": [{"name": "prefers-color-scheme", "value": "dark"}]});
        window.call("Emulation.setEmulatedMedia", dark).await;
        window.eval(&format!("tell({{data: {}}})", json!(states()[1].1.to_string()))).await;
        window.shoot(&name("dark")).await;
        window.click("button[popovertarget=sure]").await;
        window.shoot(&name("leave")).await;
    }
}
