//! Slow neighbours: a store that answers late or too late, and clients that do not read.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use common::config::Secret;
use common::wire::queue::StepKind;
use common::wire::token::Role;
use futures::future::join_all;
use serde_json::json;
use testkit::client::Http;
use testkit::wire::Wire;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;

use crate::live::Listener;
use crate::shop::{PRODUCT, ROOM, SOON, Shop, sale_of, sale_to_come};

/// Each way: an answer comes in time, on a busy machine too.
const LATE: Duration = Duration::from_millis(200);
/// Each way: no answer comes within the 2 s that a command may take, though it is carried out.
const TOO_LATE: Duration = Duration::from_millis(1_500);
/// Clients that do not read, and what they are sent: more than the kernel takes in for them.
const DEAF: i64 = 10;
const MESSAGES: usize = 120;

/// Rooms behind two instances; the first one's wire to the store is in the test's hand.
async fn open() -> (Wire, Shop, Http) {
    let wire = Wire::to(testkit::servers().redis.trim_start_matches("redis://")).await.unwrap();
    let mut straight = None;
    let shop = Shop::with(|config| {
        let database = config.redis.redis_url.0.rsplit('/').next().unwrap();
        let slow = Secret(format!("redis://{}/{database}", wire.address));
        straight = Some(std::mem::replace(&mut config.redis.redis_url, slow));
    })
    .await;
    let second =
        shop.another_with("queue-server-2", |config| config.redis.redis_url = straight.unwrap()).await;
    (wire, shop, second)
}

fn login(shop: &Shop, door: &Http, user: i64) -> Http {
    door.login(&shop.token(user, Role::Customer))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_store_delays_answers_and_changes_none() {
    let (wire, shop, second) = open().await;
    shop.sell(&sale_of(5), 1_000).await;
    wire.delay(LATE);
    let crowd = (1..=30).map(async |user| {
        let door = if user % 2 == 0 { shop.anybody() } else { second.clone() };
        login(&shop, &door, user).post(ROOM, &json!({})).await.unwrap().expect(200).body
    });
    let places = join_all(crowd).await;
    let ranks: BTreeSet<u64> = places.iter().filter_map(|place| place["rank"].as_u64()).collect();
    assert!(ranks.last().is_some_and(|last| *last <= 25), "{ranks:?}");
    assert_eq!(places.iter().filter(|place| place["state"] == "admitted").count(), 5);

    // By hand at both doors at once: each is one, and nobody is called twice.
    let by_hand = [shop.anybody(), second.clone()].map(|door| {
        let manager = door.login(&shop.token(900, Role::Manager));
        async move {
            manager.post(&format!("{ROOM}/admissions"), &json!({"count": 3})).await.unwrap().expect(200).body
        }
    });
    let called: i64 = join_all(by_hand).await.iter().map(|answer| answer["admitted"].as_i64().unwrap()).sum();
    assert_eq!(called, 6);
    let tickets: BTreeSet<i64> =
        shop.steps(StepKind::Ready).await.iter().map(|step| step.ticket.unwrap().0).collect();
    assert_eq!(tickets.len(), 6, "{tickets:?}");

    let waiting = places.iter().zip(1..).filter(|(place, _)| place["state"] == "waiting");
    for (_, user) in waiting.take(4) {
        let exact = shop.store.place(PRODUCT, common::wire::id::UserId(user)).await.unwrap().unwrap();
        let exact = (exact.rank > 0).then_some(exact.rank);
        for door in [shop.anybody(), second.clone()] {
            let place = login(&shop, &door, user).get(ROOM).await.unwrap().expect(200).body;
            assert_eq!(place["rank"].as_u64(), exact, "{user}: {place}");
        }
    }
    let ends = [StepKind::Away, StepKind::Expired, StepKind::ClaimExpired];
    assert!(shop.log().await.iter().all(|step| !ends.contains(&step.step)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_too_slow_to_answer_is_an_outage_that_takes_nobody_s_place() {
    let (wire, shop, second) = open().await;
    shop.sell(&sale_to_come(), 10).await;
    shop.join(1).await;
    assert_eq!(shop.place(1).await.body["rank"], 1);
    wire.delay(TOO_LATE);
    let asked = Instant::now();
    let me = shop.shopper(2).key("join-2");
    let answer = me.post(ROOM, &json!({})).await.unwrap();
    assert!(answer.headers.contains_key("retry-after"));
    answer.problem(503, "room-unavailable");
    assert!(asked.elapsed() < SOON, "refused after {:?}", asked.elapsed());
    // Whoever waits is told the last known place, and why it does not move.
    testkit::eventually(SOON, async || {
        let place = shop.place(1).await.body;
        anyhow::ensure!(place["reason"] == "roomUnavailable" && place["rank"] == 1, "{place}");
        Ok(())
    })
    .await;
    // The command was carried out. Sent again, to whichever instance, it is the same wish.
    let again = login(&shop, &second, 2).key("join-2");
    testkit::eventually(SOON, async || {
        let joined = shop.steps(StepKind::Joined).await.len();
        anyhow::ensure!(joined == 2, "{joined} have joined");
        Ok(())
    })
    .await;
    assert_eq!(again.post(ROOM, &json!({})).await.unwrap().expect(200).body["rank"], 2);
    assert_eq!(login(&shop, &second, 3).post(ROOM, &json!({})).await.unwrap().expect(200).body["rank"], 3);

    wire.delay(Duration::ZERO);
    testkit::eventually(SOON, async || {
        let place = me.post(ROOM, &json!({})).await?;
        anyhow::ensure!(place.status == 200 && place.body["rank"] == 2, "{}", place.body);
        let place = shop.shopper(3).get(ROOM).await?;
        anyhow::ensure!(place.body["rank"] == 3 && place.body["reason"] == "notOpen", "{}", place.body);
        Ok(())
    })
    .await;
    assert_eq!(shop.steps(StepKind::Joined).await.len(), 3);
    assert!(shop.steps(StepKind::Moved).await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_do_not_read_hold_up_nobody_who_does() {
    let shop = Shop::open().await;
    shop.sell(&sale_to_come(), 10).await;
    let mut deaf = Vec::new();
    for user in (1..=2).chain(101..101 + DEAF) {
        shop.join(user).await;
        if user > 100 {
            deaf.push(unread(&shop, user).await);
        }
    }
    let mut reader = Listener::open(&shop.shopper(2)).await;
    reader.until(|place| place["rank"] == 2).await;
    // Three bytes each.
    let long = "가".repeat(450);
    for number in 0..MESSAGES {
        let text = format!("{long} {number}");
        let said = json!({ "text": text });
        let _ = shop.manager().post(&format!("{ROOM}/message"), &said).await.unwrap().expect(200);
        reader.until(|place| place["message"] == text.as_str()).await;
    }
    let left = Instant::now();
    let _ = shop.shopper(1).delete(ROOM).await.unwrap().expect(204);
    reader.until(|place| place["rank"] == 1).await;
    assert!(left.elapsed() < Duration::from_secs(2), "told after {:?}", left.elapsed());
    let _ = shop.shopper(3).get(ROOM).await.unwrap().expect(200);
    // Their seats go with them.
    drop(deaf);
    testkit::eventually(SOON, async || {
        let text = shop.anybody().get("/metrics").await?.body;
        let streams = text.as_str().unwrap().lines().find(|line| line.starts_with("astraphe_queue_streams "));
        anyhow::ensure!(streams == Some("astraphe_queue_streams 1"), "{streams:?}");
        Ok(())
    })
    .await;
}

/// A stream that is opened and never read.
async fn unread(shop: &Shop, user: i64) -> tokio::net::TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    // The least that the kernel takes in for the reader.
    socket.set_recv_buffer_size(1).unwrap();
    let mut stream = socket.connect(shop.address()).await.unwrap();
    let token = shop.token(user, Role::Customer);
    let head = format!("GET {ROOM}/live HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    stream
}
