//! What sellers and staff see of a room and change in it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

use axum::Router;
use axum::routing::get;
use common::auth::revoked::Revoked;
use common::stop::Stop;
use common::wire::id::{ProductId, Ticket, UserId};
use common::wire::list::Page;
use common::wire::product::{ProductSnapshot, StartOrder};
use common::wire::queue::{RoomStatus, Stats, Step, StepKind};
use common::wire::room::{
    Adaptive, CapacityView, DrawView, HoldView, Insider, MessageView, RevokedView, Waiter,
};
use common::wire::token::{Right, Role};
use futures::future::join_all;
use queue_server::room::store::{Asker, Operated};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use testkit::client::{Answer, Http};
use tokio::net::TcpListener;

use crate::shop::{PRODUCT, ROOM, SELLER, SOON, Shop, now, sale, sale_of, sale_to_come, seconds};

/// Every change, with a body that would do something.
fn changes() -> [(&'static str, &'static str, Value); 7] {
    [
        ("POST", "hold", json!({"reason": "A van broke down", "why": "van"})),
        ("POST", "resume", json!({})),
        ("POST", "message", json!({"text": "Soon", "why": "calm them"})),
        ("PUT", "capacity", json!({"capacity": 3})),
        ("POST", "revoke", json!({})),
        ("PUT", "schedule", json!({"count": 5, "intervalS": 30, "why": "faster"})),
        ("DELETE", "schedule", Value::Null),
    ]
}

async fn ask(login: &Http, method: &str, room: &str, what: &str, body: &Value) -> Answer {
    let path = format!("{room}/{what}");
    let answer = match method {
        "POST" => login.post(&path, body).await,
        "PUT" => login.put(&path, body).await,
        "DELETE" => login.delete(&path).await,
        _ => login.get(&path).await,
    };
    answer.unwrap()
}

async fn post(login: &Http, what: &str, body: Value) -> Answer {
    ask(login, "POST", ROOM, what, &body).await.expect(200)
}

async fn put(login: &Http, what: &str, body: Value) -> Answer {
    ask(login, "PUT", ROOM, what, &body).await.expect(200)
}

fn staff() -> Asker {
    Asker { user: UserId(900), is_staff: true, why: None }
}

/// Everything a change could change.
async fn state(shop: &Shop) -> (Vec<Step>, Option<String>, Option<String>) {
    let meta = format!("room:{{{PRODUCT}}}:meta");
    let field = async |name| shop.redis.hash_field(&meta, name).await.unwrap();
    (shop.log().await, field("message").await, field("holdText").await)
}

#[tokio::test]
async fn only_owner_and_staff_see_and_change_a_room() {
    let shop = Shop::open().await;
    shop.sell(&sale_to_come(), 10).await;
    let before = state(&shop).await;
    for login in [shop.shopper(1), shop.login(SELLER + 1, Role::Seller)] {
        for (method, what, body) in changes() {
            ask(&login, method, ROOM, what, &body).await.problem(403, "forbidden");
        }
        for list in ["waiting", "admitted", "stats"] {
            login.get(&format!("{ROOM}/{list}")).await.unwrap().problem(403, "forbidden");
        }
    }
    shop.seller().get("/api/queue").await.unwrap().problem(403, "forbidden");
    shop.anybody().get(&format!("{ROOM}/waiting")).await.unwrap().problem(401, "login-required");
    assert_eq!(state(&shop).await, before);
    for login in [shop.seller(), shop.manager(), shop.login(901, Role::Admin)] {
        for (method, what, body) in changes() {
            ask(&login, method, ROOM, what, &body).await.expect(200);
        }
        let again = json!({"count": 5, "intervalS": 30});
        put(&login, "schedule", again).await;
        post(&login, "message", json!({"text": null})).await;
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_refused_field_by_field_and_changes_nothing() {
    let shop =
        Shop::with(|config| config.load_urls = vec!["http://127.0.0.1:1/metrics".parse().unwrap()]).await;
    shop.sell(&sale_to_come(), 10).await;
    shop.join(1).await;
    let before = state(&shop).await;
    let long = |characters: usize| "é".repeat(characters);
    let adaptive = |change: Value| {
        let mut adaptive = json!({"min": 2, "max": 8});
        adaptive.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        json!({"capacity": null, "adaptive": adaptive})
    };
    for (method, what, body, field) in [
        ("POST", "hold", json!({"reason": ""}), "reason"),
        ("POST", "hold", json!({"reason": long(201)}), "reason"),
        ("POST", "hold", json!({"why": long(201)}), "why"),
        ("POST", "hold", json!({"until": "noon"}), "until"),
        ("POST", "resume", json!({"why": " "}), "why"),
        ("POST", "resume", json!({"reason": "done"}), "reason"),
        ("POST", "message", json!({"text": ""}), "text"),
        ("POST", "message", json!({"text": long(501)}), "text"),
        ("POST", "message", json!({"text": "a\nb"}), "text"),
        ("POST", "message", json!({"text": 7}), "text"),
        ("POST", "message", json!({}), "text"),
        ("POST", "message", json!({"text": "a", "lang": "en"}), "lang"),
        ("PUT", "capacity", json!({"capacity": 0}), "capacity"),
        ("PUT", "capacity", json!({"capacity": -1}), "capacity"),
        ("PUT", "capacity", json!({"capacity": 5_000_000_000_u64}), "capacity"),
        ("PUT", "capacity", json!({"capacity": 1.5}), "capacity"),
        ("PUT", "capacity", json!({}), "capacity"),
        ("PUT", "capacity", json!({"capacity": 9, "adaptive": {"min": 2, "max": 8}}), "capacity"),
        ("PUT", "capacity", json!({"capacity": null, "adaptive": {"min": 2}}), "adaptive"),
        ("PUT", "capacity", adaptive(json!({"min": 9})), "adaptive"),
        ("PUT", "capacity", adaptive(json!({"min": 0})), "adaptive"),
        ("PUT", "capacity", adaptive(json!({"p95Ms": 0})), "adaptive"),
        ("PUT", "capacity", adaptive(json!({"errorShare": 1.1})), "adaptive"),
        ("PUT", "capacity", adaptive(json!({"errorShare": -0.1})), "adaptive"),
        ("PUT", "capacity", adaptive(json!({"lagMax": 4_000_000_000_u32})), "adaptive"),
        ("PUT", "capacity", adaptive(json!({"goal": 1})), "adaptive"),
        ("POST", "revoke", json!({"userId": "all"}), "userId"),
        ("POST", "revoke", json!({"user": 1}), "user"),
        ("PUT", "schedule", json!({"count": 5, "intervalS": 30, "why": long(201)}), "why"),
        ("POST", "admissions", json!({"count": 1, "why": ""}), "why"),
        ("POST", "admissions", json!({"count": -1}), "count"),
        ("DELETE", "schedule?why=", Value::Null, "why"),
        ("GET", "waiting?limit=0", Value::Null, "limit"),
        ("GET", "waiting?limit=501", Value::Null, "limit"),
        ("GET", "waiting?cursor=r.1.2", Value::Null, "cursor"),
        ("GET", "waiting?cursor=-1", Value::Null, "cursor"),
        ("GET", "admitted?limit=501", Value::Null, "limit"),
        ("GET", "admitted?cursor=17", Value::Null, "cursor"),
        ("GET", "admitted?cursor=r.1.2.3", Value::Null, "cursor"),
        ("GET", "admitted?cursor=x.1.2", Value::Null, "cursor"),
        ("GET", "waiting?page=2", Value::Null, "page"),
    ] {
        let answer = ask(&shop.manager(), method, ROOM, what, &body).await;
        let problem = answer.problem(400, "validation-failed");
        let named = problem["errors"][0]["field"].as_str().unwrap();
        let message = problem["errors"][0]["message"].as_str().unwrap();
        assert!(named.starts_with(field) || message.contains(field), "{what} {body}: {problem}");
    }
    shop.manager()
        .post(&format!("{ROOM}/revoke"), &json!({"userId": 1}))
        .await
        .unwrap()
        .problem(409, "not-admitted");
    assert_eq!(state(&shop).await, before);
    assert_eq!(shop.store.room(PRODUCT).await.unwrap().unwrap().capacity, None);
}

#[tokio::test]
async fn a_product_that_nobody_sells_or_whose_sale_is_over_takes_no_change() {
    let shop = Shop::open().await;
    for (method, what, body) in changes() {
        ask(&shop.manager(), method, "/api/queue/8", what, &body).await.problem(404, "unknown-product");
        ask(&shop.manager(), method, "/api/queue/-8", what, &body).await.problem(404, "unknown-product");
        ask(&shop.manager(), method, "/api/queue/x", what, &body).await.problem(404, "no-such-route");
    }
    for list in ["waiting", "admitted", "stats", "draw"] {
        let path = format!("/api/queue/8/{list}");
        shop.manager().get(&path).await.unwrap().problem(404, "unknown-product");
    }
    let mut over = sale();
    over.sale_end_time = now() - seconds(10);
    shop.sell(&over, 10).await;
    let steps = shop.log().await.len();
    for (method, what, body) in changes() {
        ask(&shop.manager(), method, ROOM, what, &body).await.problem(409, "sale-closed");
    }
    assert_eq!(shop.log().await.len(), steps);
}

#[tokio::test]
async fn a_product_whose_room_nobody_entered_can_be_operated() {
    let shop = Shop::open().await;
    shop.products.known.lock().unwrap().insert(PRODUCT.0, sale());
    let held: HoldView = post(&shop.manager(), "hold", json!({})).await.body();
    assert!(held.held);
    let page: Page<Waiter> = shop.seller().get(&format!("{ROOM}/waiting")).await.unwrap().expect(200).body();
    assert_eq!(page, Page { items: Vec::new(), next: None });
}

#[tokio::test]
async fn while_held_nobody_comes_in_and_everybody_knows_why() {
    let shop = Shop::open().await;
    shop.sell(&sale(), 10).await;
    let other = shop.another("queue-server-2").await;
    let held: HoldView =
        post(&shop.manager(), "hold", json!({"reason": "A van broke down", "why": "call 7"})).await.body();
    assert_eq!(
        held,
        serde_json::from_value(json!({"held": true, "by": "staff", "reason": "A van broke down"})).unwrap()
    );
    assert_eq!(shop.join(1).await.body["state"], "waiting");
    // An instance that was started after the pause knows of it as well.
    let second = other.login(&shop.token(2, Role::Customer));
    let told = second.post(ROOM, &json!({})).await.unwrap().expect(200);
    assert_eq!((&told.body["state"], &told.body["reason"]), (&json!("waiting"), &json!("held")));
    assert!(told.body["etaLowS"].is_null(), "{}", told.body);
    testkit::eventually(SOON, async || {
        let place = second.get(ROOM).await?.expect(200).body;
        anyhow::ensure!(place["message"] == "A van broke down", "{place}");
        Ok(())
    })
    .await;
    let steps = shop.steps(StepKind::Held).await;
    assert_eq!(steps.len(), 1);
    assert_eq!((steps[0].by, steps[0].why.as_deref()), (Some(UserId(900)), Some("call 7")));
    assert_eq!(steps[0].text.as_deref(), Some("A van broke down"));
    // By hand they still come.
    let answer = post(&shop.manager(), "admissions", json!({"count": 1, "why": "a wheelchair"})).await;
    assert_eq!(answer.body["admitted"], 1);
    let ready = shop.steps(StepKind::Ready).await;
    assert_eq!((ready[0].by, ready[0].why.as_deref()), (Some(UserId(900)), Some("a wheelchair")));
    let _ = other
        .login(&shop.token(900, Role::Manager))
        .post(&format!("{ROOM}/resume"), &json!({"why": "it drives"}))
        .await
        .unwrap()
        .expect(200);
    shop.until(2, "ready").await;
    let resumed = shop.steps(StepKind::Resumed).await;
    assert_eq!(resumed[0].why.as_deref(), Some("it drives"));
    assert!(shop.steps(StepKind::Ready).await[1].at >= resumed[0].at);
}

#[tokio::test]
async fn a_pause_by_staff_is_ended_by_staff_only() {
    let shop = Shop::open().await;
    shop.sell(&sale(), 10).await;
    let (seller, manager) = (shop.seller(), shop.manager());
    post(&seller, "hold", json!({})).await;
    let held: HoldView = post(&manager, "hold", json!({"reason": "fraud"})).await.body();
    let before = state(&shop).await;
    seller.post(&format!("{ROOM}/resume"), &json!({})).await.unwrap().problem(403, "forbidden");
    // A pause by the owner on top, and what the owner edits, leave it as it is.
    let still: HoldView = post(&seller, "hold", json!({"reason": "lunch"})).await.body();
    assert_eq!(still, held);
    // So does the same pause once more.
    post(&manager, "hold", json!({"reason": "fraud"})).await;
    assert_eq!(state(&shop).await, before);
    let mut edited = sale_of(1_000);
    edited.version = 2;
    shop.store.product(&edited).await.unwrap();
    assert_eq!(shop.join(1).await.body["reason"], "held");
    let free: HoldView = post(&shop.login(901, Role::Admin), "resume", json!({})).await.body();
    assert_eq!(free, HoldView { held: false, by: None, reason: None });
    shop.until(1, "ready").await;
    post(&seller, "resume", json!({})).await;
    assert_eq!(shop.steps(StepKind::Resumed).await.len(), 1);
    // The owner's own pause is the owner's to end.
    post(&seller, "hold", json!({})).await;
    let free: HoldView = post(&seller, "resume", json!({})).await.body();
    assert!(!free.held);
}

#[tokio::test]
async fn a_message_reaches_everybody_waiting_until_it_is_taken_away() {
    let shop = Shop::open().await;
    shop.sell(&sale_to_come(), 10).await;
    shop.join(1).await;
    // What looks like a number is a text all the same.
    for text in ["42", &"é".repeat(500)] {
        let view: MessageView =
            post(&shop.seller(), "message", json!({"text": text, "why": "7"})).await.body();
        assert_eq!(view.text.as_deref(), Some(text));
        assert_eq!(shop.place(1).await.body["message"], text);
        let step = shop.steps(StepKind::Message).await.pop().unwrap();
        assert_eq!(
            (step.text.as_deref(), step.why.as_deref(), step.by),
            (Some(text), Some("7"), Some(UserId(SELLER)))
        );
    }
    post(&shop.seller(), "message", json!({"text": null})).await;
    assert!(shop.place(1).await.body["message"].is_null());
    assert_eq!(shop.steps(StepKind::Message).await.pop().unwrap().text, None);
    post(&shop.seller(), "message", json!({"text": null})).await;
    assert_eq!(shop.steps(StepKind::Message).await.len(), 3);
}

#[tokio::test]
async fn capacity_by_hand_counts_at_once_and_outlives_edits_that_do_not_touch_it() {
    let shop = Shop::open().await;
    shop.sell(&sale(), 10).await;
    let view: CapacityView =
        put(&shop.manager(), "capacity", json!({"capacity": 2, "why": "small shop"})).await.body();
    assert_eq!(view, CapacityView { capacity: Some(2), adaptive: None });
    for user in 1..=3 {
        shop.join(user).await;
    }
    shop.until(2, "admitted").await;
    assert_eq!(shop.place(3).await.body["state"], "waiting");
    let mut edited = sale();
    (edited.version, edited.product_name) = (2, "Teapot".into());
    shop.store.product(&edited).await.unwrap();
    assert_eq!(shop.store.room(PRODUCT).await.unwrap().unwrap().capacity, Some(2));
    put(&shop.manager(), "capacity", json!({"capacity": 2})).await;
    let steps = shop.steps(StepKind::Capacity).await;
    assert_eq!(steps.len(), 1);
    assert_eq!(
        (steps[0].count, steps[0].by, steps[0].why.as_deref()),
        (Some(2), Some(UserId(900)), Some("small shop"))
    );
    put(&shop.seller(), "capacity", json!({"capacity": null})).await;
    shop.until(3, "ready").await;
    // The owner's own figure, once it is changed, counts again.
    (edited.version, edited.queue.capacity) = (3, Some(1));
    shop.store.product(&edited).await.unwrap();
    assert_eq!(shop.store.room(PRODUCT).await.unwrap().unwrap().capacity, Some(1));
    let step = shop.steps(StepKind::Capacity).await.pop().unwrap();
    assert_eq!((step.count, step.by), (Some(1), Some(UserId(SELLER))));
}

#[tokio::test]
async fn without_figures_to_follow_a_capacity_follows_nothing() {
    let shop = Shop::open().await;
    shop.sell(&sale(), 10).await;
    let wanted = json!({"capacity": null, "adaptive": {"min": 1, "max": 9}});
    shop.manager().put(&format!("{ROOM}/capacity"), &wanted).await.unwrap().problem(409, "no-load-figures");
    assert!(shop.steps(StepKind::Capacity).await.is_empty());
}

#[tokio::test]
async fn however_many_decide_a_capacity_moves_once_in_five_seconds_and_within_its_bounds() {
    let shop = Shop::open().await;
    shop.sell(&sale(), 10).await;
    let adaptive = Adaptive { min: 10, max: 20, p95_ms: 500, error_share: 0.01, lag_max: 10 };
    let wanted = CapacityView { capacity: Some(15), adaptive: Some(adaptive) };
    let set = shop.store.capacity(PRODUCT, &staff(), wanted).await.unwrap();
    assert_eq!(set, Some(Operated::Done(wanted)));
    let facts = async || shop.store.room(PRODUCT).await.unwrap().unwrap();
    let set_at = facts().await.cap_at.unwrap();
    assert!(!shop.store.adapt(PRODUCT, set_at, 12, "early").await.unwrap());
    let moved = testkit::eventually(SOON, async || {
        let crowd = (0..10).map(|_| shop.store.adapt(PRODUCT, set_at, 500, "the load is light"));
        let moved: Vec<bool> = join_all(crowd).await.into_iter().collect::<Result<_, _>>()?;
        anyhow::ensure!(moved.contains(&true));
        Ok(moved)
    })
    .await;
    assert_eq!(moved.iter().filter(|moved| **moved).count(), 1);
    let room = facts().await;
    assert_eq!(room.capacity, Some(20));
    assert!(room.cap_at.unwrap() >= set_at + 5_000, "{:?} after {set_at}", room.cap_at);
    let step = shop.steps(StepKind::Capacity).await.pop().unwrap();
    assert_eq!((step.count, step.by, step.why.as_deref()), (Some(20), None, Some("the load is light")));
}

/// A service that answers 100 more requests between two looks at it: all of them slow while `is_slow`.
async fn figures(stop: &Stop, is_slow: &Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (is_slow, counts) = (is_slow.clone(), Arc::new((AtomicU32::new(0), AtomicU32::new(0))));
    let text = move || async move {
        let slow = is_slow.load(Ordering::SeqCst);
        let fast = counts.0.fetch_add(if slow { 0 } else { 100 }, Ordering::SeqCst);
        let all = counts.1.fetch_add(100, Ordering::SeqCst);
        let seconds = "astraphe_http_request_seconds_bucket{route=\"/api/orders\",le=";
        format!(
            "{seconds}\"0.1\"}} {fast}\n{seconds}\"2.5\"}} {all}\n{seconds}\"+Inf\"}} {all}\n\
             astraphe_http_requests_total{{method=\"POST\",route=\"/api/orders\",status=\"202\"}} {all}\n"
        )
    };
    let router = Router::new().route("/metrics", get(text));
    stop.spawn("figures", common::http::serve(listener, router, stop.clone()));
    format!("http://{address}/metrics")
}

#[tokio::test]
async fn a_capacity_follows_the_load_on_any_number_of_instances() {
    let (mut shop, stop) = (Shop::open().await, Stop::new());
    let is_slow = Arc::new(AtomicBool::new(true));
    shop.config.load_urls = vec![figures(&stop, &is_slow).await.parse().unwrap()];
    let (one, _two) = (shop.another("queue-server-2").await, shop.another("queue-server-3").await);
    shop.sell(&sale(), 10).await;
    shop.join(1).await;
    let manager = one.login(&shop.token(900, Role::Manager));
    let wanted =
        json!({"capacity": null, "adaptive": {"min": 10, "max": 100, "p95Ms": 500}, "why": "first sale"});
    let view: CapacityView = put(&manager, "capacity", wanted).await.body();
    assert_eq!(view.capacity, Some(50));
    testkit::eventually(SOON * 3, async || {
        let capacity = shop.store.room(PRODUCT).await?.and_then(|room| room.capacity);
        anyhow::ensure!(capacity.is_some_and(|capacity| capacity <= 40), "{capacity:?}");
        Ok(())
    })
    .await;
    is_slow.store(false, Ordering::SeqCst);
    testkit::eventually(SOON * 3, async || {
        let steps = shop.steps(StepKind::Capacity).await;
        anyhow::ensure!(steps.windows(2).any(|pair| pair[1].count > pair[0].count), "{steps:?}");
        Ok(())
    })
    .await;
    let steps = shop.steps(StepKind::Capacity).await;
    assert!(steps.windows(2).all(|pair| pair[1].at - pair[0].at >= 5_000), "{steps:?}");
    assert!(steps[1].why.as_ref().is_some_and(|why| why.contains("more than 500 ms")), "{steps:?}");
    assert!(steps.iter().all(|step| (10..=100).contains(&step.count.unwrap())), "{steps:?}");
    stop.stop();
}

/// All pages of a list.
async fn pages<T: serde::de::DeserializeOwned>(login: &Http, list: &str, limit: usize) -> Vec<T> {
    let (mut all, mut cursor) = (Vec::new(), String::new());
    loop {
        let path = format!("{ROOM}/{list}?limit={limit}{cursor}");
        let page: Page<T> = login.get(&path).await.unwrap().expect(200).body();
        let is_full = page.items.len() == limit;
        all.extend(page.items);
        assert!(all.len() < 1_000, "the list has no end");
        let Some(next) = page.next else { return all };
        assert!(is_full, "a short page with a next one");
        cursor = format!("&cursor={next}");
    }
}

#[tokio::test]
async fn the_line_is_listed_in_its_order_page_by_page() {
    let shop = Shop::open().await;
    shop.sell(&sale_to_come(), 10).await;
    for user in 1..=7 {
        shop.join(user).await;
    }
    // To the very end, with ticket 8.
    shop.join(3).await;
    let _ = shop.shopper(5).delete(ROOM).await.unwrap().expect(204);
    for limit in [1, 2, 3, 6, 500] {
        let line: Vec<Waiter> = pages(&shop.seller(), "waiting", limit).await;
        let users: Vec<i64> = line.iter().map(|waiter| waiter.user_id.0).collect();
        assert_eq!(users, [1, 2, 4, 6, 7, 3]);
        let ranks: Vec<Option<u64>> = line.iter().map(|waiter| waiter.rank).collect();
        assert_eq!(ranks, (1..=6).map(Some).collect::<Vec<_>>());
        assert_eq!(line[5].ticket, Ticket(8));
        assert!(line.iter().all(|waiter| !waiter.away));
    }
    // Somebody who leaves between two pages moves nobody to another page.
    let first: Page<Waiter> =
        shop.seller().get(&format!("{ROOM}/waiting?limit=2")).await.unwrap().expect(200).body();
    let _ = shop.shopper(1).delete(ROOM).await.unwrap().expect(204);
    let path = format!("{ROOM}/waiting?limit=2&cursor={}", first.next.unwrap());
    let second: Page<Waiter> = shop.seller().get(&path).await.unwrap().expect(200).body();
    assert_eq!(
        second.items.iter().map(|waiter| (waiter.user_id.0, waiter.rank)).collect::<Vec<_>>(),
        [(4, Some(2)), (6, Some(3))]
    );
}

#[tokio::test]
async fn those_called_and_inside_are_listed_even_when_all_came_in_one_moment() {
    let shop = Shop::open().await;
    shop.sell(&sale_to_come(), 100).await;
    for user in 1..=12 {
        shop.join(user).await;
    }
    let answer = post(&shop.manager(), "admissions", json!({"count": 12})).await;
    assert_eq!(answer.body["admitted"], 12);
    for user in [2, 9] {
        let _ = shop.shopper(user).post(&format!("{ROOM}/token"), &json!({})).await.unwrap().expect(200);
    }
    for limit in [1, 2, 5, 10, 11, 12, 500] {
        let inside: Vec<Insider> = pages(&shop.manager(), "admitted", limit).await;
        let mut users: Vec<i64> = inside.iter().map(|insider| insider.user_id.0).collect();
        assert_eq!(users.split_off(10), [2, 9], "by when their admission ends");
        users.sort_unstable();
        assert_eq!(users, [1, 3, 4, 5, 6, 7, 8, 10, 11, 12]);
        assert!(inside.iter().all(|insider| insider.ticket.0 == insider.user_id.0));
        assert!(inside[..10].iter().all(|insider| insider.by_hand && insider.until > now()));
    }
}

/// Fetches the access token and reads the right in it.
async fn right(shop: &Shop, user: i64) -> Right {
    let login = shop.token(user, Role::Customer);
    let answer =
        shop.anybody().login(&login).post(&format!("{ROOM}/token"), &json!({})).await.unwrap().expect(200);
    let identity = shop.verifier().identity(&login).await.unwrap();
    Right::from(&shop.verifier().pass(answer.body["token"].as_str().unwrap(), &identity).await.unwrap())
}

#[tokio::test]
async fn one_shoppers_right_is_taken_back_and_nobody_elses() {
    let shop = Shop::open().await;
    let mut sale = sale();
    sale.queue.capacity = Some(2);
    shop.sell(&sale, 10).await;
    for user in 1..=3 {
        shop.join(user).await;
    }
    let (void, kept) = (right(&shop, 1).await, right(&shop, 2).await);
    let view: RevokedView =
        post(&shop.manager(), "revoke", json!({"userId": 1, "why": "a robot"})).await.body();
    assert_eq!(view, RevokedView { revoked: 1, epoch: 0 });
    assert_eq!(shop.place(1).await.body["state"], "expired");
    assert_eq!(shop.place(2).await.body["state"], "admitted");
    assert_eq!(right(&shop, 2).await, kept);
    // The place is free at once.
    shop.until(3, "ready").await;
    shop.shopper(1).post(&format!("{ROOM}/token"), &json!({})).await.unwrap().problem(409, "not-ready");
    // As gateway and order service ask.
    let revoked = Revoked::new(shop.redis.clone());
    assert!(revoked.check(&void).await.is_err() && revoked.check(&kept).await.is_ok());
    let steps = shop.steps(StepKind::Revoked).await;
    assert_eq!(steps.len(), 1);
    assert_eq!(
        (steps[0].user, steps[0].ticket, steps[0].by),
        (Some(UserId(1)), Some(Ticket(1)), Some(UserId(900)))
    );
    assert_eq!(steps[0].why.as_deref(), Some("a robot"));
    for user in [1, 3, 4] {
        shop.manager()
            .post(&format!("{ROOM}/revoke"), &json!({"userId": user}))
            .await
            .unwrap()
            .problem(409, "not-admitted");
    }
    assert_eq!(shop.steps(StepKind::Revoked).await.len(), 1);
    // It may join again, for a new ticket.
    assert_eq!(shop.join(1).await.body["state"], "waiting");
}

#[tokio::test]
async fn all_rights_are_taken_back_by_the_epoch_and_places_stay() {
    let shop = Shop::open().await;
    shop.sell(&sale_to_come(), 10).await;
    let revoked = Revoked::new(shop.redis.clone());
    for user in 1..=5 {
        shop.join(user).await;
    }
    post(&shop.manager(), "admissions", json!({"count": 3})).await;
    let void = [right(&shop, 1).await, right(&shop, 2).await];
    assert_eq!(void[0].epoch, 0);
    let view: RevokedView = post(&shop.seller(), "revoke", json!({"why": "leaked"})).await.body();
    assert_eq!(view, RevokedView { revoked: 2, epoch: 1 });
    for user in [1, 2] {
        assert_eq!(shop.place(user).await.body["state"], "expired");
    }
    assert!(revoked.check(&void[0]).await.is_err() && revoked.check(&void[1]).await.is_err());
    // Whoever was called, or waited with an older ticket, comes in by a token of the new epoch.
    let called = right(&shop, 3).await;
    post(&shop.manager(), "admissions", json!({"count": 1})).await;
    let later = right(&shop, 4).await;
    assert_eq!((called.epoch, later.epoch), (1, 1));
    assert!(revoked.check(&called).await.is_ok() && revoked.check(&later).await.is_ok());
    assert_eq!(shop.place(4).await.body["state"], "admitted");
    // Through another instance and once more, it goes on counting.
    let other = shop.another("queue-server-2").await.login(&shop.token(900, Role::Manager));
    let view: RevokedView = post(&other, "revoke", json!({})).await.body();
    assert_eq!((view.revoked, view.epoch), (2, 2));
    let steps = shop.steps(StepKind::Revoked).await;
    assert_eq!(
        steps.iter().map(|step| (step.user, step.by)).collect::<Vec<_>>(),
        [(None, Some(UserId(SELLER))), (None, Some(UserId(900)))]
    );
    assert_eq!((steps[0].ticket, steps[0].why.as_deref()), (Some(Ticket(5)), Some("leaked")));
    assert!(shop.steps(StepKind::AdmissionExpired).await.is_empty());
}

#[tokio::test]
async fn figures_count_what_happened_in_the_room() {
    let shop = Shop::open().await;
    let mut sale = sale();
    (sale.queue.count, sale.queue.capacity) = (1, Some(3));
    shop.sell(&sale, 10).await;
    // An instance counts from when it began to look.
    let _ = shop.seller().get(&format!("{ROOM}/stats")).await.unwrap().expect(200);
    // Straight through; then a line of five, of which the second goes and the first two of the rest are called by hand.
    for user in 1..=6 {
        shop.join(user).await;
    }
    let _ = shop.shopper(3).delete(ROOM).await.unwrap().expect(204);
    post(&shop.manager(), "admissions", json!({"count": 2})).await;
    right(&shop, 2).await;
    let _ = shop.shopper(4).delete(ROOM).await.unwrap().expect(204);
    post(&shop.manager(), "message", json!({"text": "Soon"})).await;
    let stats = testkit::eventually(SOON, async || {
        let answer = shop.seller().get(&format!("{ROOM}/stats")).await?.expect(200);
        let stats: Stats = serde_json::from_value(answer.body)?;
        // Called and inside are counted by the ticks.
        anyhow::ensure!((stats.ready, stats.admitted) == (0, 2), "{stats:?}");
        Ok(stats)
    })
    .await;
    assert_eq!((stats.waiting, stats.away, stats.holes, stats.available), (2, 0, 0, 10));
    assert_eq!((stats.status, stats.capacity), (RoomStatus::Live, Some(3)));
    assert_eq!(stats.minute, stats.five_minutes);
    assert_eq!((stats.minute.joins, stats.minute.admissions, stats.minute.claims), (6, 3, 1));
    assert_eq!(stats.message.as_deref(), Some("Soon"));
    assert!(stats.eta_low_s.is_some_and(|eta| eta > 1_000), "{stats:?}");
    let all: Page<Stats> = shop.manager().get("/api/queue").await.unwrap().expect(200).body();
    assert_eq!(
        all.items.iter().map(|room| (room.product_id, room.waiting)).collect::<Vec<_>>(),
        [(PRODUCT, 2)]
    );
    assert_eq!(all.next, None);
}

#[tokio::test]
async fn all_rooms_are_listed_page_by_page() {
    let shop = Shop::open().await;
    for product in 1..=3 {
        let sale = ProductSnapshot { product_id: ProductId(product), ..sale_to_come() };
        shop.store.product(&sale).await.unwrap();
        let room = format!("/api/queue/{product}");
        let _ = shop.shopper(1).post(&room, &json!({})).await.unwrap().expect(200);
    }
    testkit::eventually(SOON, async || {
        let (mut seen, mut cursor) = (Vec::new(), String::new());
        for _ in 0..3 {
            let answer = shop.manager().get(&format!("/api/queue?limit=1{cursor}")).await?;
            let page: Page<Stats> = serde_json::from_value(answer.expect(200).body)?;
            seen.extend(page.items.iter().map(|room| room.product_id.0));
            cursor = page.next.map(|next| format!("&cursor={next}")).unwrap_or_default();
        }
        anyhow::ensure!(seen == [1, 2, 3] && cursor.is_empty(), "{seen:?} {cursor}");
        Ok(())
    })
    .await;
    shop.manager().get("/api/queue?cursor=first").await.unwrap().problem(400, "validation-failed");
}

#[tokio::test]
async fn a_draw_shows_its_commitment_before_and_its_seed_after() {
    let shop = Shop::open().await;
    let mut sale = sale_to_come();
    sale.queue.start_order = StartOrder::Draw;
    shop.sell(&sale, 10).await;
    for user in 1..=3 {
        shop.join(user).await;
    }
    let path = format!("{ROOM}/draw");
    let before: DrawView = shop.anybody().get(&path).await.unwrap().expect(200).body();
    assert_eq!((before.product_id, before.seed, before.tickets), (PRODUCT, None, None));
    assert_eq!(shop.steps(StepKind::Committed).await[0].text, Some(before.commitment.clone()));
    let line: Page<Waiter> = shop.seller().get(&format!("{ROOM}/waiting")).await.unwrap().expect(200).body();
    assert!(line.items.len() == 3 && line.items.iter().all(|waiter| waiter.rank.is_none()), "{line:?}");
    let now = json!({"count": 1, "intervalS": 3_600, "startsAt": now() - seconds(1)});
    put(&shop.manager(), "schedule", now).await;
    let after: DrawView = testkit::eventually(SOON, async || {
        let view: DrawView = serde_json::from_value(shop.anybody().get(&path).await?.expect(200).body)?;
        anyhow::ensure!(view.seed.is_some(), "{view:?}");
        Ok(view)
    })
    .await;
    assert_eq!((after.commitment.clone(), after.tickets), (before.commitment, Some(3)));
    let seed = after.seed.unwrap();
    let hash: String = Sha256::digest(&seed).iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hash, after.commitment);

    let fifo = Shop::open().await;
    fifo.sell(&sale_to_come(), 10).await;
    fifo.anybody().get(&path).await.unwrap().problem(404, "no-draw");
}

#[tokio::test]
async fn the_timetable_says_who_changed_it_and_why() {
    let shop = Shop::open().await;
    shop.sell(&sale(), 10).await;
    put(&shop.seller(), "schedule", json!({"count": 5, "intervalS": 30, "why": "true"})).await;
    let _ =
        shop.manager().delete(&format!("{ROOM}/schedule?why=enough%20for%20now")).await.unwrap().expect(200);
    let steps = shop.steps(StepKind::Scheduled).await;
    let said: Vec<_> = steps.iter().map(|step| (step.by, step.count, step.why.as_deref())).collect();
    let (seller, manager) = (Some(UserId(SELLER)), Some(UserId(900)));
    assert_eq!(
        said,
        [
            (seller, Some(100), None),
            (seller, Some(5), Some("true")),
            (manager, Some(0), Some("enough for now"))
        ]
    );
}
