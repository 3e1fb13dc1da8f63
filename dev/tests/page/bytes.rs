//! What the waiting page costs whoever opens it, at the moment when everybody does.

use std::collections::BTreeSet;

use reqwest::Method;

use crate::shop::{Sale, shared};
use crate::window::Window;

/// Of the first load, compressed.
const LOAD_MAX_BYTES: usize = 15 << 10;
const REQUESTS_MAX: usize = 3;
/// Of the script, as it is.
const SCRIPT_MAX_BYTES: usize = 2 << 10;

#[tokio::test]
async fn the_waiting_page_is_small_and_the_same_for_everybody() {
    let shop = shared();
    let product = shop.register(Sale { started_s: -600, ..Sale::default() }).await;
    let page = format!("/queue/{product}/wait");
    let mut window = Window::of(&shop.shopper()).await;
    window.go(&page).await;
    window.until("document.body.className.startsWith('none')").await;
    let base = shop.stack.gateway();
    let asked: Vec<String> = window
        .requests()
        .iter()
        .filter_map(|request| Some(request.strip_prefix("GET ")?.strip_prefix(&*base)?.to_owned()))
        .collect();
    let loaded: BTreeSet<&str> =
        asked.iter().map(String::as_str).filter(|path| !path.starts_with("/api/")).collect();
    assert!(loaded.len() <= REQUESTS_MAX, "{loaded:?}");
    assert!(loaded.contains(&*page), "{loaded:?}");

    let mut sum = 0;
    for path in loaded {
        let mut forms = Vec::new();
        for shopper in [shop.shopper(), shop.shopper()] {
            let browser = shop
                .visitor()
                .with("accept-encoding", "gzip")
                .with("cookie", format!("identity={}", shopper.token));
            let answer = browser.request(Method::GET, path).send().await.unwrap().error_for_status().unwrap();
            // The head costs too.
            let head: usize =
                answer.headers().iter().map(|(name, value)| name.as_str().len() + value.len() + 4).sum();
            forms.push((answer.bytes().await.unwrap(), head));
        }
        assert_eq!(forms[0].0, forms[1].0, "{path} differs between two people");
        sum += forms[0].0.len() + forms[0].1;
        if path.ends_with(".js") {
            let script =
                shop.visitor().request(Method::GET, path).send().await.unwrap().bytes().await.unwrap();
            assert!(script.len() <= SCRIPT_MAX_BYTES, "{path}: {} bytes", script.len());
        }
    }
    assert!(sum <= LOAD_MAX_BYTES, "{sum} bytes");
    window.is_fine().await;
}
