//! Places from memory: asked for, and live. tidy: long because one harness serves all.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use common::clock::Clock;
use common::config::Secret;
use common::wire::queue::StepKind;
use common::wire::token::Role;
use futures::future::join_all;
use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};
use serde_json::{Value, json};
use testkit::client::Http;
use testkit::wire::Wire;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;

use crate::moments;
use crate::shop::{PRODUCT, ROOM, SOON, Shop, sale, sale_of, sale_to_come};

/// Longer than the time between two signs of life.
pub(crate) const LATER: Duration = Duration::from_secs(30);

/// An event stream as its listener reads it.
pub(crate) struct Listener {
    answer: reqwest::Response,
    text: String,
}

#[derive(Debug, Clone)]
pub(crate) struct Told {
    name: String,
    id: String,
    pub(crate) data: Value,
}

impl Listener {
    pub(crate) async fn open(http: &Http) -> Self {
        let answer = http.request(reqwest::Method::GET, &format!("{ROOM}/live")).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        assert_eq!(answer.headers()["cache-control"], "no-store");
        Self { answer, text: String::new() }
    }

    /// The next block of lines; `None` at the stream's end.
    async fn block(&mut self) -> Option<String> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let (block, rest) = (block.to_owned(), rest.to_owned());
                self.text = rest;
                return Some(block);
            }
            let piece = tokio::time::timeout(LATER, self.answer.chunk()).await.expect("an event in time");
            self.text.push_str(std::str::from_utf8(&piece.unwrap()?).unwrap());
        }
    }

    /// The next event; `None` at the stream's end.
    async fn next(&mut self) -> Option<Told> {
        loop {
            let block = self.block().await?;
            let fields: HashMap<_, _> = block.lines().filter_map(|line| line.split_once(": ")).collect();
            let Some(name) = fields.get("event") else { continue };
            return Some(Told {
                name: (*name).to_owned(),
                id: fields.get("id").copied().unwrap_or_default().to_owned(),
                data: serde_json::from_str(fields["data"]).unwrap(),
            });
        }
    }

    /// Reads on until a place is as wanted.
    pub(crate) async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Told {
        let read = async {
            loop {
                let told = self.next().await.expect("the stream goes on");
                assert_eq!(told.name, "place");
                if wanted(&told.data) {
                    return told;
                }
            }
        };
        tokio::time::timeout(LATER, read).await.expect("told in time")
    }
}

async fn listen(shop: &Shop, user: i64) -> Listener {
    Listener::open(&shop.shopper(user)).await
}

#[tokio::test]
async fn a_stream_begins_with_the_place_and_says_when_to_come_back() {
    let shop = Shop::open().await;
    shop.sell(&sale_to_come(), 10).await;
    for user in [1, 2] {
        shop.join(user).await;
    }
    let mut listener = listen(&shop, 2).await;
    let retry = listener.block().await.unwrap();
    let ms: u64 = retry.strip_prefix("retry: ").unwrap().parse().unwrap();
    assert!((2_000..=7_000).contains(&ms), "{retry}");
    let told = listener.next().await.unwrap();
    assert_eq!((told.name.as_str(), &told.data["state"]), ("place", &json!("waiting")));
    assert_eq!((&told.data["rank"], &told.data["total"]), (&json!(2), &json!(2)));
    assert_eq!(told.data["reason"], "notOpen");
    let polled = shop.place(2).await.body;
    assert_eq!(polled["rank"], told.data["rank"]);
    assert_eq!(polled["startsAt"], told.data["startsAt"]);
}

#[tokio::test]
async fn whoever_leaves_in_front_lowers_the_rank() {
    let shop = Shop::open().await;
    shop.sell(&sale_to_come(), 10).await;
    for user in [1, 2, 3] {
        shop.join(user).await;
    }
    let mut listener = listen(&shop, 3).await;
    listener.until(|place| place["rank"] == 3).await;
    let _ = shop.shopper(1).delete(ROOM).await.unwrap().expect(204);
    let told = listener.until(|place| place["rank"] != 3).await;
    assert_eq!((&told.data["rank"], &told.data["total"]), (&json!(2), &json!(2)));
}

#[tokio::test]
async fn ones_own_way_in_is_told_step_by_step() {
    let shop = Shop::open().await;
    shop.store.product(&sale_of(1)).await.unwrap();
    shop.join(1).await;
    let mut listener = listen(&shop, 1).await;
    listener.until(|place| place["state"] == "waiting").await;
    shop.decide(1, [10, 10, 0, 0]).await;
    let ready = listener.next().await.unwrap();
    assert_eq!(ready.data["state"], "ready", "nothing comes between");
    assert!(ready.data["claimUntil"].is_string() && ready.data["rank"].is_null(), "{}", ready.data);
    let given = shop.shopper(1).post(&format!("{ROOM}/token"), &json!({})).await.unwrap().expect(200);
    let admitted = listener.until(|place| place["state"] != "ready").await;
    assert_eq!(admitted.data["state"], "admitted");
    assert_eq!(admitted.data["expiresAt"], given.body["expiresAt"]);
    assert!(admitted.data["token"].is_string(), "{}", admitted.data);
}

#[tokio::test]
async fn a_stream_of_somebody_who_has_not_joined_tells_of_the_join() {
    let shop = Shop::open().await;
    shop.sell(&sale_to_come(), 10).await;
    let mut listener = listen(&shop, 1).await;
    assert_eq!(listener.next().await.unwrap().data["state"], "none");
    shop.join(1).await;
    assert_eq!(listener.next().await.unwrap().data["rank"], 1);
    let _ = shop.shopper(1).delete(ROOM).await.unwrap().expect(204);
    assert_eq!(listener.until(|place| place["state"] != "waiting").await.data["state"], "left");
}

#[tokio::test]
async fn the_last_unit_is_told_to_every_stream_of_every_instance() {
    let shop = Shop::open().await;
    let other = shop.another("queue-server-2").await;
    shop.sell(&sale_to_come(), 10).await;
    let mut listeners = Vec::new();
    for user in 1..=20 {
        shop.join(user).await;
        let http = if user % 2 == 0 { shop.anybody() } else { other.clone() };
        listeners.push(Listener::open(&http.login(&shop.token(user, Role::Customer))).await);
    }
    for listener in &mut listeners {
        listener.until(|place| place["state"] == "waiting").await;
    }
    shop.decide(2, [10, 0, 0, 10]).await;
    for listener in &mut listeners {
        let told = listener.until(|place| place["state"] != "waiting").await.data;
        assert_eq!((&told["state"], &told["rank"]), (&json!("soldOut"), &json!(null)));
    }
    shop.decide(3, [10, 1, 0, 9]).await;
    shop.join(3).await;
    assert_eq!(listeners[2].until(|place| place["state"] == "waiting").await.data["rank"], 1);
}

#[tokio::test]
async fn what_operators_do_is_told_to_everybody_who_waits() {
    let shop = Shop::open().await;
    shop.sell(&sale_to_come(), 10).await;
    let mut listeners = Vec::new();
    for user in [1, 2] {
        shop.join(user).await;
        listeners.push(listen(&shop, user).await);
    }
    let operate = async |what: &str, body: Value| {
        let _ = shop.manager().post(&format!("{ROOM}/{what}"), &body).await.unwrap().expect(200);
    };
    operate("message", json!({ "text": "Back at noon" })).await;
    for listener in &mut listeners {
        listener.until(|place| place["message"] == "Back at noon").await;
    }
    operate("hold", json!({ "reason": "The till is down" })).await;
    for listener in &mut listeners {
        let told = listener.until(|place| place["reason"] == "held").await.data;
        assert_eq!(told["message"], "The till is down\nBack at noon");
        assert!(told["etaLowS"].is_null(), "{told}");
    }
    assert_eq!(shop.place(1).await.body["reason"], "held");
    operate("resume", json!({})).await;
    operate("message", json!({ "text": null })).await;
    for listener in &mut listeners {
        listener.until(|place| place["reason"] != "held" && place["message"].is_null()).await;
    }
}

#[tokio::test]
async fn that_every_unit_is_reserved_and_that_one_came_back_is_told_to_the_ready_and_to_the_line() {
    let shop = Shop::open().await;
    shop.store.product(&sale_of(1)).await.unwrap();
    shop.join(1).await;
    shop.join(2).await;
    shop.decide(1, [5, 5, 0, 0]).await;
    shop.until(1, "ready").await;
    let mut listeners = [listen(&shop, 1).await, listen(&shop, 2).await];
    for (listener, state) in listeners.iter_mut().zip(["ready", "waiting"]) {
        listener.until(|place| place["state"] == state).await;
    }
    shop.decide(2, [5, 0, 5, 0]).await;
    for listener in &mut listeners {
        listener.until(|place| place["reason"] == "allReserved").await;
    }
    shop.decide(3, [5, 1, 4, 0]).await;
    for listener in &mut listeners {
        listener.until(|place| place["reason"].is_null()).await;
    }
}

#[tokio::test]
async fn the_end_of_the_sale_is_told_and_the_stream_stays() {
    let shop = Shop::open().await;
    let mut sale = sale_to_come();
    shop.sell(&sale, 10).await;
    shop.join(1).await;
    let mut listener = listen(&shop, 1).await;
    listener.until(|place| place["state"] == "waiting").await;
    (sale.deleted, sale.version) = (true, 2);
    shop.store.product(&sale).await.unwrap();
    listener.until(|place| place["state"] == "closed").await;
    (sale.deleted, sale.version) = (false, 3);
    shop.store.product(&sale).await.unwrap();
    testkit::eventually(SOON, async || {
        let answer = shop.shopper(1).post(ROOM, &json!({})).await?;
        anyhow::ensure!(answer.status == 200, "{}", answer.body);
        Ok(())
    })
    .await;
    listener.until(|place| place["state"] == "waiting").await;
}

#[tokio::test]
async fn an_id_that_no_stream_gave_is_refused_and_one_that_it_gave_is_taken_up() {
    let shop = Shop::open().await;
    shop.sell(&sale_to_come(), 10).await;
    shop.join(1).await;
    let mut listener = listen(&shop, 1).await;
    let first = listener.next().await.unwrap();
    let again = shop.shopper(1).with("last-event-id", &first.id);
    shop.join(2).await;
    let told = Listener::open(&again).await.next().await.unwrap();
    let at = |id: &str| -> (u64, u64) {
        let (ms, seq) = id.split_once('-').unwrap();
        (ms.parse().unwrap(), seq.parse().unwrap())
    };
    assert!(at(&told.id) > at(&first.id), "{} after {}", told.id, first.id);
    for id in ["x", "1", "1-", "-1", "1-2-3", "99999999999999999999-0"] {
        let bad = shop.shopper(1).with("last-event-id", id);
        bad.get(&format!("{ROOM}/live")).await.unwrap().problem(400, "invalid-last-event-id");
    }
    // Nobody gave that one either, but it reads like one: the present place is told.
    let future = Listener::open(&shop.shopper(1).with("last-event-id", "9999999999999-0")).await.next().await;
    assert_eq!(future.unwrap().data["rank"], 1);
}

#[tokio::test]
async fn only_people_listen_and_only_to_rooms_that_there_are() {
    let shop = Shop::open().await;
    shop.shopper(1).get("/api/queue/8/live").await.unwrap().problem(404, "unknown-product");
    shop.anybody().get(&format!("{ROOM}/live")).await.unwrap().problem(401, "login-required");
}

#[tokio::test]
async fn the_sixth_stream_of_an_account_ends_its_first() {
    let shop = Shop::open().await;
    shop.sell(&sale_to_come(), 10).await;
    shop.join(1).await;
    let mut listeners = Vec::new();
    for _ in 0..6 {
        let mut listener = listen(&shop, 1).await;
        listener.until(|place| place["rank"] == 1).await;
        listeners.push(listener);
    }
    let mut others = listeners.split_off(1);
    let last = listeners[0].next().await.unwrap();
    assert_eq!((last.name.as_str(), &last.data), ("superseded", &json!({ "reason": "too many streams" })));
    assert!(listeners[0].next().await.is_none(), "the stream is over");
    // Another account's, and the other five, go on.
    let mut other = listen(&shop, 2).await;
    other.until(|place| place["state"] == "none").await;
    let _ = shop.shopper(1).delete(ROOM).await.unwrap().expect(204);
    for listener in &mut others {
        listener.until(|place| place["state"] == "left").await;
    }
}

#[tokio::test]
async fn a_stream_ends_with_its_login() {
    let clock = Clock::manual(crate::shop::now());
    let shop = Shop::with(|config| config.clock = clock.clone()).await;
    shop.sell(&sale_to_come(), 10).await;
    shop.join(1).await;
    let mut listener = listen(&shop, 1).await;
    listener.until(|place| place["rank"] == 1).await;
    clock.advance(Duration::from_secs(3_600));
    let last = listener.next().await.unwrap();
    assert_eq!(last.name, "login");
    assert!(listener.next().await.is_none(), "the stream is over");
}

#[tokio::test]
async fn a_stop_sends_listeners_to_another_instance() {
    let shop = Shop::open().await;
    shop.sell(&sale_to_come(), 10).await;
    shop.join(1).await;
    let mut listener = listen(&shop, 1).await;
    listener.until(|place| place["rank"] == 1).await;
    drop(shop);
    assert_eq!(listener.next().await.unwrap().name, "reconnect");
    assert!(listener.next().await.is_none(), "the stream is over");
}

#[tokio::test]
async fn a_slow_reader_has_one_event_pending_and_reads_the_newest() {
    const MESSAGES: u32 = 600;
    let shop = Shop::open().await;
    shop.sell(&sale_to_come(), 10).await;
    shop.join(1).await;
    let mut quick = listen(&shop, 1).await;
    quick.until(|place| place["rank"] == 1).await;
    // The least that the kernel takes in for the reader.
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(1).unwrap();
    let mut slow = socket.connect(shop.address()).await.unwrap();
    let token = shop.token(1, Role::Customer);
    let head = format!("GET {ROOM}/live HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n\r\n");
    slow.write_all(head.as_bytes()).await.unwrap();
    let long = "x".repeat(400);
    for number in 0..MESSAGES {
        let text = format!("{long} {number}");
        let said = json!({ "text": text });
        let _ = shop.manager().post(&format!("{ROOM}/message"), &said).await.unwrap().expect(200);
        quick.until(|place| place["message"] == text.as_str()).await;
    }
    let (mut read, end) = (Vec::new(), format!("{long} {}\"", MESSAGES - 1));
    let all = async {
        while !String::from_utf8_lossy(&read).contains(&end) {
            assert_ne!(slow.read_buf(&mut read).await.unwrap(), 0);
        }
    };
    tokio::time::timeout(LATER, all).await.expect("the newest is told");
    let told = String::from_utf8_lossy(&read).matches("event: place").count();
    assert!(told < 200, "{told} of {MESSAGES} were kept for it");
}

#[tokio::test]
async fn without_its_store_a_room_tells_the_last_places_and_why() {
    let wire = Wire::to(testkit::servers().redis.trim_start_matches("redis://")).await.unwrap();
    let shop = Shop::with(|config| {
        let database = config.redis.redis_url.0.rsplit('/').next().unwrap().to_owned();
        config.redis.redis_url = Secret(format!("redis://{}/{database}", wire.address));
    })
    .await;
    shop.sell(&sale_to_come(), 10).await;
    for user in [1, 2] {
        shop.join(user).await;
    }
    let mut listener = listen(&shop, 2).await;
    listener.until(|place| place["rank"] == 2).await;
    wire.cut();
    let told = listener.until(|place| place["reason"] == "roomUnavailable").await.data;
    assert_eq!((&told["state"], &told["rank"]), (&json!("waiting"), &json!(2)));
    let polled = shop.place(2).await.body;
    assert_eq!((&polled["reason"], &polled["rank"]), (&json!("roomUnavailable"), &json!(2)));
    // Somebody whom the memory does not know cannot be answered.
    shop.shopper(3).get(ROOM).await.unwrap().problem(503, "room-unavailable");
    wire.restore();
    listener.until(|place| place["reason"] == "notOpen" && place["rank"] == 2).await;
    let _ = shop.shopper(1).delete(ROOM).await.unwrap().expect(204);
    listener.until(|place| place["rank"] == 1).await;
}

#[tokio::test]
async fn a_stream_is_presence_and_its_end_is_absence() {
    let shop = Shop::open().await;
    shop.sell(&sale_to_come(), 10).await;
    for user in [1, 2] {
        shop.join(user).await;
    }
    let steps = async |kind: StepKind, count: usize| {
        testkit::eventually(SOON, async || {
            let users: Vec<_> =
                shop.steps(kind).await.iter().filter_map(|step| step.user).map(|user| user.0).collect();
            anyhow::ensure!(users.len() == count, "{kind:?}: {users:?}");
            Ok(users)
        })
        .await
    };
    moments::pass(&shop.redis, PRODUCT, 60).await;
    steps(StepKind::Away, 2).await;
    let mut listener = listen(&shop, 1).await;
    listener.until(|place| place["rank"] == 1).await;
    assert_eq!(steps(StepKind::Back, 1).await, [1]);
    drop(listener);
    moments::pass(&shop.redis, PRODUCT, 60).await;
    steps(StepKind::Away, 3).await;
    // A poll is presence too.
    shop.place(2).await;
    assert_eq!(steps(StepKind::Back, 2).await, [1, 2]);
}

#[tokio::test]
async fn an_open_stream_keeps_its_listener_there() {
    let shop = Shop::open().await;
    shop.sell(&sale_to_come(), 10).await;
    for user in [1, 2] {
        shop.join(user).await;
    }
    let mut listener = listen(&shop, 1).await;
    listener.until(|place| place["rank"] == 1).await;
    moments::pass(&shop.redis, PRODUCT, 60).await;
    // The listener is away for a moment where the room looks before the stream's next sign of life, and else not at all.
    testkit::eventually(LATER, async || {
        let of = async |kind| -> Vec<i64> {
            shop.steps(kind).await.iter().filter_map(|step| step.user).map(|user| user.0).collect()
        };
        let (away, back) = (of(StepKind::Away).await, of(StepKind::Back).await);
        anyhow::ensure!(away.contains(&2), "the other one is still there: {away:?}");
        anyhow::ensure!(away.contains(&1) == (back == [1]), "away {away:?}, back {back:?}");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn whoever_asks_too_early_waits_for_the_rooms_own_look() {
    let shop = Shop::with(|config| config.tick_ms = 1_000).await;
    shop.sell(&sale_to_come(), 10).await;
    for user in 1..=40 {
        shop.join(user).await;
    }
    let looks = async || {
        let text = shop.anybody().get("/metrics").await.unwrap().body;
        let line =
            text.as_str().unwrap().lines().find(|line| line.starts_with("astraphe_queue_looks_total "));
        line.and_then(|line| line.split_once(' ')).unwrap().1.parse::<u64>().unwrap()
    };
    let ask_all = async || {
        let polls = (1..=40).map(|user| shop.place(user));
        let ranks: Vec<_> =
            join_all(polls).await.into_iter().map(|place| place.body["rank"].clone()).collect();
        assert_eq!(ranks, (1..=40).map(Value::from).collect::<Vec<_>>());
    };
    ask_all().await;
    let before = looks().await;
    ask_all().await;
    let after = looks().await;
    assert!(after - before <= 3, "{} looks for 40 early polls", after - before);
}

/// Who stands where by the room's log, and what was told of whom: ticket, room's clock, rank.
#[derive(Default)]
struct Heard(Mutex<BTreeMap<i64, Vec<(String, u64)>>>);

impl Heard {
    fn note(&self, user: i64, place: &Value) {
        if let Some(rank) = place["rank"].as_u64() {
            let at = place["serverTime"].as_str().unwrap().to_owned();
            self.0.lock().unwrap().entry(user).or_default().push((at, rank));
        }
    }
}

#[tokio::test]
async fn ranks_are_exact_and_never_rise_whoever_tells_them() {
    const USERS: i64 = 40;
    let shop = Arc::new(Shop::open().await);
    let other = shop.another("queue-server-2").await;
    shop.sell(&sale(), 1_000).await;
    // Nobody is let in but by hand.
    let _ = shop.manager().delete(&format!("{ROOM}/schedule")).await.unwrap().expect(200);
    let heard = Arc::new(Heard::default());
    for user in 1..=USERS {
        shop.join(user).await;
    }
    let at = |user: i64, which: bool| {
        let http = if which { shop.anybody() } else { other.clone() };
        http.login(&shop.token(user, Role::Customer))
    };
    // Ten watchers stay; everybody else comes and goes.
    let watch = (1..=10).map(|user| {
        let (stream, polls, heard) =
            (at(user, user % 2 == 0), [at(user, true), at(user, false)], Arc::clone(&heard));
        async move {
            let mut listener = Listener::open(&stream).await;
            let follow = async {
                while let Some(told) = listener.next().await {
                    heard.note(user, &told.data);
                }
            };
            let ask = async {
                for turn in 0..60 {
                    let place = polls[turn % 2].get(ROOM).await.unwrap().expect(200).body;
                    heard.note(user, &place);
                }
            };
            tokio::select! { () = follow => panic!("the stream goes on"), () = ask => {} }
        }
    });
    let traffic = async {
        let mut random = StdRng::seed_from_u64(7);
        for _ in 0..200 {
            let user = random.random_range(11..=USERS);
            let who = at(user, random.random());
            match random.random_range(0..10) {
                0..6 => drop(who.post(ROOM, &json!({})).await.unwrap()),
                6..9 => drop(who.delete(ROOM).await.unwrap()),
                _ => drop(who.get(ROOM).await.unwrap()),
            }
        }
    };
    tokio::join!(join_all(watch), traffic);
    for (user, mut told) in std::mem::take(&mut *heard.0.lock().unwrap()) {
        assert!(told.len() >= 60, "{user} was told {} ranks", told.len());
        // By the room's clock, whichever way and instance an answer came.
        told.sort_by(|a, b| a.0.cmp(&b.0).then(b.1.cmp(&a.1)));
        assert!(told.windows(2).all(|two| two[0].1 >= two[1].1), "{user}: {told:?}");
    }
    // At rest, every instance says what the store's own order is.
    for user in 1..=USERS {
        let exact = shop.store.place(PRODUCT, common::wire::id::UserId(user)).await.unwrap().unwrap();
        for which in [true, false] {
            let told = at(user, which).get(ROOM).await.unwrap().expect(200).body;
            let wanted = (exact.rank > 0).then_some(exact.rank);
            assert_eq!(
                (told["rank"].as_u64(), told["total"].as_u64()),
                (wanted, Some(exact.total)),
                "{user}"
            );
        }
    }
}
