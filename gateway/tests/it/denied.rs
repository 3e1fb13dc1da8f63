//! Logins that end and roles that change: what the user service writes to Redis, the gateway goes by within a second.

use std::time::Duration;

use common::config::{Redis, Secret};
use common::redis::{Connections, Script, Value};
use common::wire::denied::{DENIED, Denial, Denied};
use common::wire::id::UserId;
use common::wire::token::{Identity, Role};
use testkit::client::Http;
use tokio::time::Instant;

use crate::gate::{Gate, LONG};

/// How long a denial may stay unseen, and what a busy machine adds.
const SEEN: Duration = Duration::from_millis(500 + 1_000);
const ME: &str = "/api/users/me";

/// What the user service does to Redis.
async fn tell(redis: &Connections, what: Denied) {
    let denial = Denial { what, until: i64::MAX };
    let fields = denial.fields().into_iter().flat_map(|(name, value)| [Value::from(name), value.into()]);
    let script = Script::new("redis.call('XADD', KEYS[1], '*', unpack(ARGV)) return 1");
    let _: i64 = script.run(redis, vec![DENIED.into()], fields.collect()).await.unwrap();
}

async fn gate_at(url: String) -> (Gate, Connections) {
    let config = Redis { redis_url: Secret(url), redis_connections: 1 };
    let redis = Connections::open(&config).unwrap();
    (Gate::with(|gate| gate.redis = config).await.knowing().await, redis)
}

fn bearer(gate: &Gate, claims: &Identity) -> Http {
    gate.http.login(&gate.token(claims))
}

async fn refused(http: &Http, why: &str) {
    testkit::eventually(LONG, async || {
        let answer = http.get(ME).await?;
        anyhow::ensure!(answer.status == 401, "{}", answer.status);
        let problem = answer.problem(401, "invalid-token");
        assert!(problem["detail"].as_str().unwrap().contains(why), "{problem}");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_login_in_use_is_refused_a_moment_after_its_end_and_no_other_is() {
    let url = testkit::redis_url();
    let (gate, redis) = gate_at(url.clone()).await;
    let [mine, others] = [0, 1].map(|_| gate.claims(Role::Customer));
    let (http, other) = (bearer(&gate, &mine), bearer(&gate, &others));
    http.get(ME).await.unwrap().expect(200);
    tell(&redis, Denied::Login(mine.sid)).await;
    let ended = Instant::now();
    refused(&http, "has ended").await;
    assert!(ended.elapsed() < SEEN, "refused after {:?}", ended.elapsed());
    // As a cookie, on every route that needs a login; those for anyone stay open.
    let cookie = gate.http.with("cookie", format!("identity={}", gate.token(&mine)));
    cookie.get(ME).await.unwrap().problem(401, "invalid-token");
    http.get("/api/queue/7").await.unwrap().problem(401, "invalid-token");
    http.get("/api/products").await.unwrap().expect(200);
    http.post("/api/auth/logout", &serde_json::Value::Null).await.unwrap().expect(200);
    other.get(ME).await.unwrap().expect(200);
    // A gateway that starts now knows it too.
    let fresh = gate_at(url).await.0;
    let late = fresh.claims(Role::Customer);
    let late = Identity { sid: mine.sid, ..late };
    refused(&bearer(&fresh, &late), "has ended").await;
}

#[tokio::test]
async fn a_token_with_a_role_of_before_is_refused_and_the_newest_change_counts() {
    let (gate, redis) = gate_at(testkit::redis_url()).await;
    let of = |role| Identity { sub: UserId(42), ..gate.claims(role) };
    let [customer, seller, manager] =
        [Role::Customer, Role::Seller, Role::Manager].map(|role| bearer(&gate, &of(role)));
    let stranger = bearer(&gate, &Identity { sub: UserId(43), ..gate.claims(Role::Customer) });
    tell(&redis, Denied::OtherRoles(UserId(42), Role::Manager, 3)).await;
    tell(&redis, Denied::OtherRoles(UserId(42), Role::Seller, 2)).await;
    refused(&customer, "role has changed").await;
    refused(&seller, "role has changed").await;
    manager.get(ME).await.unwrap().expect(200);
    stranger.get(ME).await.unwrap().expect(200);
    tell(&redis, Denied::OtherRoles(UserId(42), Role::Customer, 4)).await;
    refused(&manager, "role has changed").await;
    customer.get(ME).await.unwrap().expect(200);
}

#[tokio::test]
async fn while_redis_is_away_what_is_known_counts() {
    let server = testkit::servers().redis.strip_prefix("redis://").unwrap().to_owned();
    let wire = testkit::wire::Wire::to(&server).await.unwrap();
    let straight = testkit::redis_url();
    let (gate, _) =
        gate_at(format!("redis://{}/{}", wire.address, straight.rsplit('/').next().unwrap())).await;
    let redis = Redis { redis_url: Secret(straight), redis_connections: 1 };
    let redis = Connections::open(&redis).unwrap();
    let [known, later] = [0, 1].map(|_| gate.claims(Role::Customer));
    tell(&redis, Denied::Login(known.sid)).await;
    refused(&bearer(&gate, &known), "has ended").await;
    wire.cut();
    tell(&redis, Denied::Login(later.sid)).await;
    let turn = Instant::now();
    testkit::eventually(LONG, async || {
        bearer(&gate, &later).get(ME).await?.expect(200);
        bearer(&gate, &known).get(ME).await?.problem(401, "invalid-token");
        anyhow::ensure!(turn.elapsed() > Duration::from_millis(1_200), "until a look has failed");
        Ok(())
    })
    .await;
    wire.restore();
    refused(&bearer(&gate, &later), "has ended").await;
}
