//! Passes that queue-server takes back: what it writes to Redis, the gateway goes by within a second.

use std::sync::Arc;
use std::time::Duration;

use common::config::{Redis, Secret};
use common::redis::{Connections, Script, Value};
use common::wire::id::{ProductId, Ticket};
use common::wire::token::{Identity, PASS_TYPE, Pass, Role};
use futures::future::join_all;
use serde_json::json;
use testkit::client::Http;
use testkit::issuers::Issuers;
use testkit::own::Own;
use testkit::process::Server as _;
use tokio::time::Instant;

use crate::gate::{Gate, LONG};

/// How long a revocation may stay unseen, and what a busy machine adds.
const SEEN: Duration = Duration::from_millis(1_000 + 700);

/// What queue-server does to Redis.
struct Room(Connections);

impl Room {
    fn at(redis: &Redis) -> Self {
        Self(Connections::open(redis).unwrap())
    }

    async fn call(&self, words: &[&str]) {
        let args = words.iter().map(|word| Value::from(*word)).collect();
        let script = Script::new("redis.call(unpack(ARGV)) return 1");
        let _: i64 = script.run(&self.0, vec![words[1].to_owned()], args).await.unwrap();
    }

    async fn epoch(&self, product: i64, epoch: i64) {
        self.call(&["SET", &format!("pass-epoch:{{{product}}}"), &epoch.to_string()]).await;
    }

    async fn deny(&self, pass: &Pass) {
        self.call(&["SADD", &format!("pass-denied:{{{}}}", pass.pid), &pass.jti.to_string()]).await;
    }
}

fn redis_at(url: String) -> Redis {
    Redis { redis_url: Secret(url), redis_connections: 1 }
}

async fn gate_at(redis: &Redis) -> Gate {
    let redis = redis.clone();
    Gate::with(|config| config.redis = redis).await.knowing().await
}

fn pass(identity: &Identity, product: i64, epoch: i64) -> Pass {
    Pass { epoch, ..Issuers::pass_claims(identity, ProductId(product), Ticket(3)) }
}

/// The client with that pass, and the page it is for.
fn holding(gate: &Gate, http: &Http, pass: &Pass) -> (Http, String) {
    let token = gate.issuers.pass.sign(pass, PASS_TYPE).unwrap();
    (http.pass(&token), format!("/api/products/{}", pass.pid))
}

#[tokio::test]
async fn a_pass_of_an_older_epoch_or_denied_by_its_id_is_refused() {
    let redis = redis_at(testkit::redis_url());
    let (gate, room) = (gate_at(&redis).await, Room::at(&redis));
    let claims = gate.claims(Role::Customer);
    let shopper = gate.http.login(&gate.token(&claims));
    for (product, what, epoch, rooms_epoch, is_denied, counts) in [
        (11, "nothing revoked", 0, None, false, true),
        (12, "of the present epoch", 2, Some(2), false, true),
        (13, "older", 1, Some(2), false, false),
        (14, "of before the first revocation", 0, Some(1), false, false),
        (15, "newer than what Redis still knows", 3, Some(2), false, true),
        (16, "denied", 0, None, true, false),
        (17, "denied, of the present epoch", 2, Some(2), true, false),
    ] {
        let pass = pass(&claims, product, epoch);
        if let Some(epoch) = rooms_epoch {
            room.epoch(product, epoch).await;
        }
        // Another's denial, and another product's, mean nothing.
        room.deny(&Pass { jti: uuid::Uuid::new_v4(), ..pass.clone() }).await;
        room.deny(&Pass { pid: ProductId(product + 100), ..pass.clone() }).await;
        if is_denied {
            room.deny(&pass).await;
        }
        let (http, page) = holding(&gate, &shopper, &pass);
        let answer = http.get(&page).await.unwrap();
        if counts {
            assert_eq!(answer.status, 200, "{what}: {}", answer.body);
        } else {
            assert_eq!(answer.body["code"], "access-token-revoked", "{what}");
            answer.problem(403, "access-token-revoked");
            let order = json!({"lines": [{"productId": product, "quantity": 1}]});
            http.key("k").post("/api/orders", &order).await.unwrap().problem(403, "access-token-revoked");
            gate.log.clear();
            http.get("/api/orders").await.unwrap().expect(200);
            assert_eq!(gate.log.all().len(), 1, "a route that needs no pass");
        }
    }
}

#[tokio::test]
async fn a_pass_in_use_is_refused_a_second_after_its_revocation() {
    let redis = redis_at(testkit::redis_url());
    let (gate, room) = (gate_at(&redis).await, Room::at(&redis));
    let claims = gate.claims(Role::Customer);
    let shopper = gate.http.login(&gate.token(&claims));
    for is_one in [true, false] {
        let [mine, others] = [0, 1].map(|_| pass(&claims, 7, 0));
        let (http, page) = holding(&gate, &shopper, &mine);
        http.get(&page).await.unwrap().expect(200);
        match is_one {
            true => room.deny(&mine).await,
            false => room.epoch(7, 1).await,
        }
        let revoked = Instant::now();
        testkit::eventually(LONG, async || {
            let answer = http.get(&page).await?;
            anyhow::ensure!(answer.status == 403, "{} after {:?}", answer.status, revoked.elapsed());
            answer.problem(403, "access-token-revoked");
            Ok(())
        })
        .await;
        assert!(revoked.elapsed() < SEEN, "refused after {:?}", revoked.elapsed());
        let (other, page) = holding(&gate, &shopper, &others);
        other.get(&page).await.unwrap().expect(if is_one { 200 } else { 403 });
    }
    let (http, page) = holding(&gate, &shopper, &pass(&claims, 7, 1));
    http.get(&page).await.unwrap().expect(200);
}

/// Calls of SMEMBERS at a server since its start: one of each read of what was revoked, and of nothing else.
async fn reads(room: &Room) -> u64 {
    let text = room.0.command_stats().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix("cmdstat_smembers:calls="));
    line.map_or(0, |rest| rest.split(',').next().unwrap().parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn redis_is_asked_once_per_second_however_many_requests_come() {
    let own = Own::start(testkit::redis::Redis::start);
    let (gate, room) = (gate_at(&redis_at(own.server.url())).await, Room::at(&redis_at(own.server.url())));
    let claims = gate.claims(Role::Customer);
    let shopper = gate.http.login(&gate.token(&claims));
    let mine = pass(&claims, 7, 0);
    let (http, page) = holding(&gate, &shopper, &mine);
    let (before, started) = (reads(&room).await, Instant::now());
    let mut asked = 0;
    while started.elapsed() < Duration::from_millis(2_500) {
        let answers = join_all((0..50).map(|_| http.get(&page))).await;
        asked += answers.into_iter().filter(|answer| answer.as_ref().unwrap().status == 200).count();
    }
    let (reads, seconds) = (reads(&room).await - before, started.elapsed().as_secs() + 1);
    assert!(asked >= 500, "only {asked} requests");
    assert!((2..=seconds).contains(&reads), "{reads} reads in {seconds} s for {asked} requests");
}

#[tokio::test]
async fn while_redis_is_down_the_last_known_state_counts() {
    let mut own = Own::start(testkit::redis::Redis::start);
    let (gate, room) =
        (Arc::new(gate_at(&redis_at(own.server.url())).await), Room::at(&redis_at(own.server.url())));
    let claims = gate.claims(Role::Customer);
    let shopper = gate.http.login(&gate.token(&claims));
    let [good, denied, unseen, later] = [(7, 1), (7, 1), (8, 0), (7, 1)].map(|(p, e)| pass(&claims, p, e));
    room.epoch(7, 1).await;
    room.epoch(8, 1).await;
    room.deny(&denied).await;
    let get = async |pass: &Pass| {
        let (http, page) = holding(&gate, &shopper, pass);
        http.get(&page).await.unwrap()
    };
    get(&good).await.expect(200);
    own.server.kill9();
    for _ in 0..3 {
        get(&good).await.expect(200);
        get(&denied).await.problem(403, "access-token-revoked");
        get(&pass(&claims, 7, 0)).await.problem(403, "access-token-revoked");
        // Of this product the gateway knows nothing yet.
        let asked = Instant::now();
        get(&unseen).await.expect(200);
        assert!(asked.elapsed() < SEEN, "waited {:?}", asked.elapsed());
        // Past the second for which a state is fresh.
        let turn = Instant::now();
        testkit::eventually(LONG, async || {
            anyhow::ensure!(turn.elapsed() >= Duration::from_millis(1_100));
            Ok(())
        })
        .await;
    }
    own.server.restart().unwrap();
    testkit::eventually(LONG, async || {
        anyhow::ensure!(get(&unseen).await.status == 403, "not known again");
        Ok(())
    })
    .await;
    room.0.ready().await.unwrap();
    get(&later).await.expect(200);
    room.deny(&later).await;
    testkit::eventually(LONG, async || {
        anyhow::ensure!(get(&later).await.status == 403, "its revocation is not seen");
        Ok(())
    })
    .await;
    get(&good).await.expect(200);
}
