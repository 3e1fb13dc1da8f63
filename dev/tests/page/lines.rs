//! Waiting: nothing that happens to a page moves its shopper, except leaving.

use anyhow::ensure;
use common::wire::id::ProductId;
use serde_json::{Value, json};
use testkit::eventually;
use testkit::wire::Wire;

use crate::shop::{PATIENCE, Sale, Shopper, shared};
use crate::window::Window;

const JOIN: &str = "button[value=POST]";
const LEAVE: &str = "button.quiet[popovertarget=sure]";

/// A line that does not move by itself, with one person in it.
async fn line() -> (ProductId, Shopper) {
    let shop = shared();
    let product = shop.register(Sale { units: 50, started_s: -600, ..Sale::default() }).await;
    let first = shop.shopper();
    first.join(product).await.expect(200);
    (product, first)
}

/// A window whose shopper has joined.
async fn joined(product: ProductId, shopper: &Shopper) -> Window {
    let mut window = Window::of(shopper).await;
    window.go(&format!("/queue/{product}/wait")).await;
    window.click(JOIN).await;
    window.until("document.body.className.startsWith('waiting notOpen')").await;
    window
}

async fn rank(window: &mut Window, rank: u64) {
    window.until(&format!("document.getElementById('rank').innerText == '{rank}'")).await;
}

fn joins(window: &Window) -> usize {
    window.requests().iter().filter(|request| request.starts_with("POST ")).count()
}

#[tokio::test]
async fn the_page_joins_by_its_button_alone_and_follows_the_line() {
    let (product, first) = line().await;
    let me = shared().shopper();
    let mut window = Window::of(&me).await;
    window.go(&format!("/queue/{product}/wait")).await;
    window.sees("You are not in the line").await;
    assert_eq!(me.place(product).await.body["state"], "none", "to look is not to join");
    window.click(JOIN).await;
    rank(&mut window, 2).await;
    window.sees("Opens in 0:0").await;
    assert_eq!(window.eval("document.title").await, "Your place in the line 2");
    let behind = shared().shopper();
    behind.join(product).await.expect(200);
    window.until("document.getElementById('after').innerText == '1'").await;
    first.http.delete(&format!("/api/queue/{product}")).await.unwrap().expect(204);
    rank(&mut window, 1).await;
    window
        .until(
            "document.getElementById('bar').value == 1 && document.getElementById('ahead').innerText == '0'",
        )
        .await;
    assert_eq!(joins(&window), 1);
    window.is_fine().await;
}

#[tokio::test]
async fn a_reload_and_a_second_tab_change_nothing() {
    let (product, _first) = line().await;
    let me = shared().shopper();
    let mut window = joined(product, &me).await;
    shared().shopper().join(product).await.expect(200);
    window.call("Page.reload", json!({})).await;
    rank(&mut window, 2).await;
    let mut tab = window.tab().await;
    tab.go(&format!("/queue/{product}/wait")).await;
    rank(&mut tab, 2).await;
    // As a sleeping machine does: nothing runs, then everything at once.
    window.call("Page.setWebLifecycleState", json!({"state": "frozen"})).await;
    window.call("Page.setWebLifecycleState", json!({"state": "active"})).await;
    rank(&mut window, 2).await;
    assert_eq!((joins(&window), joins(&tab)), (1, 0));
    assert_eq!(me.place(product).await.body["rank"], 2);
    window.is_fine().await;
    tab.is_fine().await;
}

#[tokio::test]
async fn the_sixth_window_of_an_account_leaves_the_first_one_to_ask_for_its_place() {
    let (product, first) = line().await;
    let mut window = joined(product, &shared().shopper()).await;
    let mut tabs = Vec::new();
    for _ in 0..5 {
        let mut tab = window.tab().await;
        tab.go(&format!("/queue/{product}/wait")).await;
        rank(&mut tab, 2).await;
        tabs.push(tab);
    }
    window.sees("open in more than five places").await;
    first.http.delete(&format!("/api/queue/{product}")).await.unwrap().expect(204);
    rank(&mut window, 1).await;
    for tab in &mut tabs {
        rank(tab, 1).await;
    }
    // Opened again, it would take the stream of the next one, and so on without end.
    let live =
        |window: &Window| window.requests().iter().filter(|request| request.ends_with("/live")).count();
    assert_eq!(live(&window), 1);
    assert!(tabs.iter().all(|tab| live(tab) == 1));
    window.is_fine().await;
}

#[tokio::test]
async fn a_double_click_joins_once() {
    let (product, _first) = line().await;
    let me = shared().shopper();
    let mut window = Window::of(&me).await;
    window.go(&format!("/queue/{product}/wait")).await;
    window.sees("You are not in the line").await;
    let twice = format!("document.querySelector('{JOIN}').click(); document.querySelector('{JOIN}').click()");
    window.eval(&twice).await;
    rank(&mut window, 2).await;
    assert_eq!(joins(&window), 2);
    let next = shared().shopper().join(product).await.expect(200);
    assert_eq!(next.body["rank"], 3);
    let steps = me.place(product).await;
    assert_eq!(steps.body["rank"], 2);
}

#[tokio::test]
async fn whoever_was_offline_for_so_long_as_to_count_as_away_has_the_same_place_again() {
    let shop = shared();
    let queue =
        json!({"count": 100, "intervalS": 3_600, "admissionDelayS": 0, "awayAfterS": 15, "graceS": 600});
    let product = shop.register(Sale { units: 50, started_s: -600, queue, ..Sale::default() }).await;
    let first = shop.shopper();
    first.join(product).await.expect(200);
    let me = shop.shopper();
    let wire = Wire::to(shop.stack.gateway().trim_start_matches("http://")).await.unwrap();
    let mut window = Window::of(&me).await;
    window.visit(&format!("http://{}/queue/{product}/wait", wire.address)).await;
    window.click(JOIN).await;
    rank(&mut window, 2).await;
    wire.cut();
    window.sees("No connection").await;
    let manager = shop.login("manager").await;
    eventually(2 * PATIENCE, async || {
        let waiting = manager.get(&format!("/api/queue/{product}/waiting")).await?;
        let is_away = |one: &Value| one["userId"] == me.identity.sub.0 && one["away"] == true;
        let people = waiting.body["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        ensure!(people.iter().any(is_away), "{}", waiting.body);
        Ok(())
    })
    .await;
    shop.shopper().join(product).await.expect(200);
    assert_eq!(
        window.eval("document.getElementById('rank').innerText").await,
        "2",
        "the last known place stays"
    );
    wire.restore();
    window.until("!document.body.className.includes('offline')").await;
    rank(&mut window, 2).await;
    assert_eq!(joins(&window), 1);
    assert_eq!(me.place(product).await.body["rank"], 2);
}

#[tokio::test]
async fn a_device_that_loses_its_network_says_so_at_once_and_goes_on_by_itself() {
    let (product, first) = line().await;
    let mut window = joined(product, &shared().shopper()).await;
    rank(&mut window, 2).await;
    // The event that follows the join would say that there is a network.
    window.hears("\"waiting\"").await;
    window.offline(true).await;
    window.sees("No connection").await;
    first.http.delete(&format!("/api/queue/{product}")).await.unwrap().expect(204);
    window.offline(false).await;
    window.until("!document.body.className.includes('offline')").await;
    rank(&mut window, 1).await;
    assert_eq!(joins(&window), 1);
}

#[tokio::test]
async fn leaving_asks_first_and_joining_again_is_at_the_end() {
    let (product, _first) = line().await;
    let me = shared().shopper();
    let mut window = joined(product, &me).await;
    shared().shopper().join(product).await.expect(200);
    window.click(LEAVE).await;
    window.sees("Really leave?").await;
    window.click("#sure button[autofocus]").await;
    window.until("!document.getElementById('sure').checkVisibility()").await;
    assert_eq!(me.place(product).await.body["rank"], 2);
    window.click(LEAVE).await;
    window.click("#sure button[value=DELETE]").await;
    window.sees("You left the line").await;
    assert_eq!(me.place(product).await.body["state"], "left");
    window.click(JOIN).await;
    rank(&mut window, 3).await;
    window.is_fine().await;
}

#[tokio::test]
async fn a_visitor_logs_in_comes_back_to_the_line_and_stays_logged_in() {
    let (product, _first) = line().await;
    let account = &shared().stack.json()["accounts"]["shopper"];
    let mut window = Window::open("ko-KR", 320).await;
    window.go(&format!("/queue/{product}/wait")).await;
    window.click("a[href='/login.html']").await;
    window.fill("[name=loginId]", account["loginId"].as_str().unwrap()).await;
    window.fill("[name=password]", "wrong").await;
    window.click("button[type=submit]").await;
    window.sees("올바르지 않습니다").await;
    window.eval("document.querySelector('[name=password]').value = ''").await;
    window.fill("[name=password]", account["password"].as_str().unwrap()).await;
    window.click("button[type=submit]").await;
    window.sees("아직 줄을 서지 않았습니다").await;
    assert_eq!(window.eval("document.cookie").await, "", "no script sees the login");
    window.click(JOIN).await;
    rank(&mut window, 2).await;
    window.sees("내 대기 순서").await;
    let wider = window.eval("document.documentElement.scrollWidth").await;
    assert_eq!(wider, 320);

    // The browser drops the identity when its 15 minutes are over; the page learns of it when it asks next.
    let shop = json!({"name": "identity", "url": shared().stack.gateway()});
    window.call("Network.deleteCookies", shop).await;
    window.eval("dispatchEvent(new Event('online'))").await;
    window
        .until(
            "performance.getEntriesByType('resource').some(({name}) => name.endsWith('/api/auth/refresh'))",
        )
        .await;
    rank(&mut window, 2).await;
    let cookies = window.call("Network.getCookies", json!({})).await;
    let names: Vec<_> = cookies["cookies"].as_array().unwrap().iter().map(|cookie| &cookie["name"]).collect();
    assert!(names.contains(&&json!("identity")), "{names:?}");
    assert_eq!(window.eval("document.body.className").await, "waiting notOpen undefined undefined");
}
