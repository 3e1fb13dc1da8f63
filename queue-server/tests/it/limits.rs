//! How often one account, and one address, may ask.

use std::num::NonZeroU32;

use axum::http::Method;
use common::wire::id::{SessionId, UserId};
use common::wire::queue::StepKind;
use common::wire::token::Role;
use futures::future::join_all;
use queue_server::Limits;
use serde_json::json;
use testkit::client::{Answer, Http};
use testkit::issuers::Issuers;
use testkit::wire::Wire;
use tokio::time::Instant;

use crate::shop::{ROOM, Shop, sale_to_come};

/// An account's requests at once.
const BURST: u32 = 5;
/// An address's.
const OFFICE: u32 = 20;

const fn many(n: u32) -> NonZeroU32 {
    NonZeroU32::new(n).unwrap()
}

fn limits() -> Limits {
    Limits {
        joins_per_minute: many(BURST),
        polls_per_minute: many(BURST),
        burst: many(BURST),
        address_joins_per_minute: OFFICE,
        address_polls_per_minute: OFFICE,
        loopback_exempt: true,
    }
}

async fn open(change: fn(&mut Limits)) -> Shop {
    let mut limits = limits();
    change(&mut limits);
    let shop = Shop::with(|config| config.limits = limits).await;
    shop.sell(&sale_to_come(), 10).await;
    shop
}

/// A shopper as the gateway shows one who comes from `address`.
fn from(shop: &Shop, user: i64, address: &str) -> Http {
    let clock = &shop.config.clock;
    let claims = Issuers::identity_claims(UserId(user), Role::Customer, SessionId::new(), clock);
    let assertion = shop.verifier().assert(&claims, &[]).unwrap();
    shop.anybody().with("x-identity", assertion).with("x-forwarded-for", address)
}

/// One request of each client after the other; how many were taken.
async fn taken(clients: &[Http], method: &Method, path: &str) -> u32 {
    let mut taken = 0;
    for client in clients {
        let answer = Http::send(path.to_owned(), client.request(method.clone(), path)).await.unwrap();
        if is_taken(answer) {
            taken += 1;
        }
    }
    taken
}

/// Whether a request was let through; a refused one says what it has to.
fn is_taken(answer: Answer) -> bool {
    if answer.status != 429 {
        assert!(answer.status < 500, "{}", answer.body);
        return true;
    }
    let wait: u64 = answer.headers["retry-after"].to_str().unwrap().parse().unwrap();
    assert!((1..=13).contains(&wait), "come back after {wait} s");
    answer.problem(429, "too-many-requests");
    false
}

/// Asserts that a bucket let through what it holds, and what it was refilled with meanwhile.
#[track_caller]
fn assert_bucket(taken: u32, bucket: u32, since: Instant, what: &str) {
    let refilled = u32::try_from(since.elapsed().as_secs()).unwrap() * bucket / 60 + 1;
    assert!((bucket..=bucket + refilled).contains(&taken), "{what}: {taken} of {bucket} were taken");
}

#[tokio::test]
async fn each_bucket_lets_through_what_it_holds() {
    const HERE: &str = "203.0.113.7";
    let (get, post, delete) = (Method::GET, Method::POST, Method::DELETE);
    let token = format!("{ROOM}/token");
    let (shop, started) = (open(|_| {}).await, Instant::now());
    let one = |user, address| vec![from(&shop, user, address); 30];
    let each = |first: i64, address| (first..first + 30).map(|n| from(&shop, n, address)).collect::<Vec<_>>();
    let elsewhere: Vec<Http> = (1..=30).map(|n| from(&shop, 4, &format!("198.51.100.{n}"))).collect();
    let neighbours: Vec<Http> =
        (1..=30).map(|n| from(&shop, 100 + n, &format!("2001:db8:0:1::{n:x}"))).collect();
    let apart: Vec<Http> = (1..=30).map(|n| from(&shop, 200 + n, &format!("2001:db8:1:{n:x}::1"))).collect();
    for (what, clients, method, path, bucket) in [
        ("one account's joins", one(1, HERE), &post, ROOM, BURST),
        ("its polls have their own", one(1, HERE), &get, ROOM, BURST),
        ("one account's polls", one(2, "203.0.113.8"), &get, ROOM, BURST),
        ("tokens", one(3, "203.0.113.9"), &post, &token, BURST),
        ("one account from many addresses", elsewhere, &post, ROOM, BURST),
        ("leaving", one(5, "203.0.113.10"), &delete, ROOM, BURST),
        ("an office's joins", each(300, "203.0.113.11"), &post, ROOM, OFFICE),
        ("an office's polls", each(300, "203.0.113.11"), &get, ROOM, OFFICE),
        ("an IPv6 subscriber's", neighbours, &post, ROOM, OFFICE),
        ("IPv6 subscribers'", apart, &post, ROOM, 30),
        ("this machine's", one(6, "127.0.0.1"), &post, ROOM, 30),
        ("this machine's, in IPv6", one(7, "::1"), &post, ROOM, 30),
    ] {
        let since = Instant::now();
        assert_bucket(taken(&clients, method, path).await, bucket, since, what);
    }
    // Refused accounts took nothing out of their address's bucket: 5 of 20 are gone.
    assert_bucket(taken(&each(400, HERE), &post, ROOM).await, OFFICE - BURST, started, "their neighbours");
    // Other routes are for the owner and for staff, who are not limited.
    let manager = vec![shop.manager(); 30];
    assert_eq!(taken(&manager, &Method::DELETE, &format!("{ROOM}/schedule")).await, 30);
}

#[tokio::test]
async fn what_a_client_says_of_its_address_counts_for_nothing() {
    let shop = open(|limits| limits.loopback_exempt = false).await;
    let (post, since) = (Method::POST, Instant::now());
    // Shoppers who come past the gateway are where their connection comes from: here.
    let spoofing: Vec<Http> =
        (1..=30_i64).map(|n| shop.shopper(n).with("x-forwarded-for", format!("198.51.100.{n}"))).collect();
    assert_bucket(taken(&spoofing, &post, ROOM).await, OFFICE, since, "spoofed");
    // An assertion that nobody signed is none.
    let forged = Issuers::new().verifier(&shop.config.clock);
    let claims = Issuers::identity_claims(UserId(99), Role::Customer, SessionId::new(), &shop.config.clock);
    let forged = shop.anybody().with("x-identity", forged.assert(&claims, &[]).unwrap());
    let forged = forged.with("x-forwarded-for", "198.51.100.99");
    forged.post(ROOM, &json!({})).await.unwrap().problem(401, "invalid-token");
    shop.anybody().post(ROOM, &json!({})).await.unwrap().problem(401, "login-required");
    // From elsewhere there is room.
    from(&shop, 50, "198.51.100.50").post(ROOM, &json!({})).await.unwrap().expect(200);

    let unlimited = open(|limits| {
        limits.loopback_exempt = false;
        limits.address_joins_per_minute = 0;
    })
    .await;
    let shoppers: Vec<Http> = (1..=30).map(|n| unlimited.shopper(n)).collect();
    assert_eq!(taken(&shoppers, &post, ROOM).await, 30, "0 is no limit of addresses");
    let (one, since) = (vec![unlimited.shopper(31); 30], Instant::now());
    assert_bucket(taken(&one, &post, ROOM).await, BURST, since, "but of accounts");
}

#[tokio::test]
async fn of_ten_thousand_joins_a_bucketful_reaches_the_room() {
    let shop = open(|_| {}).await;
    for user in 1..=3 {
        shop.join(user).await;
    }
    let (hasty, since) = (from(&shop, 2, "203.0.113.7"), Instant::now());
    let mut taken = 0;
    for _ in 0..100 {
        let answers = join_all((0..100).map(|_| hasty.request(Method::POST, ROOM).send())).await;
        let statuses = answers.into_iter().map(|answer| answer.unwrap().status().as_u16());
        taken +=
            statuses.inspect(|status| assert!([200, 429].contains(status))).filter(|s| *s == 200).count();
    }
    let taken = u32::try_from(taken).unwrap();
    assert_bucket(taken, BURST, since, "10,000 joins");
    let moved = shop.steps(StepKind::Moved).await;
    assert_eq!(u32::try_from(moved.len()), Ok(taken), "each that was taken is a step, and no other");
    assert!(moved.iter().all(|step| step.user == Some(UserId(2))));
    let ranks = [1, 2, 3].map(|user| shop.place(user));
    let ranks: Vec<_> = join_all(ranks).await.iter().map(|place| place.body["rank"].clone()).collect();
    assert_eq!(ranks, [json!(1), json!(3), json!(2)]);
}

#[tokio::test]
async fn a_refusal_needs_no_store() {
    let server = testkit::servers().redis.trim_start_matches("redis://");
    let wire = Wire::to(server).await.unwrap();
    let shop = Shop::with(|config| {
        config.limits = limits();
        let url = config.redis.redis_url.0.replace(server, &wire.address.to_string());
        config.redis.redis_url.0 = url;
    })
    .await;
    shop.sell(&sale_to_come(), 10).await;
    let (hasty, other) = (from(&shop, 1, "203.0.113.7"), from(&shop, 2, "203.0.113.7"));
    taken(&vec![hasty.clone(); 10], &Method::POST, ROOM).await;
    wire.cut();
    let mut refused = false;
    // The bucket may have been refilled by one meanwhile.
    for _ in 0..2 {
        let answer = hasty.post(ROOM, &json!({})).await.unwrap();
        refused = answer.status == 429;
        assert!(refused || answer.status == 503, "{}", answer.body);
    }
    assert!(refused);
    other.post(ROOM, &json!({})).await.unwrap().problem(503, "room-unavailable");
}
