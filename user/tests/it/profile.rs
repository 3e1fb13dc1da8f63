use std::time::Duration;

use common::redis::{Script, Value as Word};
use common::wire::id::UserId;
use common::wire::user::UserView;
use serde_json::{Value, json};
use testkit::client::Http;

use super::{LONG, PASSWORD, TestUser, login_body};

async fn me(http: &Http) -> Value {
    http.get("/api/users/me").await.unwrap().expect(200).body
}

async fn rename(http: &Http, to: &str) -> Value {
    http.patch("/api/users/me", &json!({"nickname": to})).await.unwrap().expect(200).body
}

impl TestUser {
    /// What Redis holds of a profile.
    async fn copy(&self, user: UserId) -> Option<String> {
        self.redis().hash_field(&format!("profile:{user}"), "view").await.unwrap()
    }

    /// Whether a read found no Redis.
    async fn redis_is_missed(&self) -> bool {
        let metrics = self.http.get("/metrics").await.unwrap().expect(200).body;
        metrics.as_str().unwrap().contains(r#"profile_reads_total{result="unavailable"}"#)
    }

    /// One command at Redis.
    async fn redis_command(&self, words: &[&str]) {
        let args = words.iter().map(|word| Word::from(*word)).collect();
        let script = Script::new("redis.call(unpack(ARGV)) return 1");
        let _: i64 = script.run(&self.redis(), vec![words[1].to_owned()], args).await.unwrap();
    }
}

#[tokio::test]
async fn a_profile_is_changed_field_by_field_by_its_owner() {
    let user = TestUser::start().await;
    let (login, http) = user.person("sujin01").await;
    let before = me(&http).await;
    user.clock.advance(Duration::from_secs(60));
    let wish = json!({"nickname": "su", "shippingAddress": "Elsewhere 2"});
    let after = http.patch("/api/users/me", &wish).await.unwrap().expect(200).body;
    let mut expected = before.clone();
    for (field, value) in [("nickname", "su"), ("shippingAddress", "Elsewhere 2")] {
        expected[field] = json!(value);
    }
    expected["updatedAt"] = after["updatedAt"].clone();
    assert_eq!(after, expected);
    assert!(after["updatedAt"].as_str() > before["updatedAt"].as_str());
    assert_eq!(me(&http).await, after);
    let by: String = sqlx::query_scalar("SELECT updated_by FROM account").fetch_one(&user.pg).await.unwrap();
    assert_eq!(by, login.user_id.to_string());
}

#[tokio::test]
async fn every_bad_field_of_a_change_is_named_and_nothing_is_changed() {
    let user = TestUser::start().await;
    let (_, http) = user.person("sujin01").await;
    let before = me(&http).await;
    for (wish, field) in [
        (json!({"username": ""}), "username"),
        (json!({"username": "x".repeat(21), "nickname": "good"}), "username"),
        (json!({"nickname": "a\u{0}b"}), "nickname"),
        (json!({"phoneNumber": "call me"}), "phoneNumber"),
        (json!({"shippingAddress": "x".repeat(256)}), "shippingAddress"),
        (json!({"nickname": 7}), "nickname"),
        (json!({"role": "ADMIN"}), "role"),
        (json!({"loginId": "other001"}), "loginId"),
        (json!({"password": PASSWORD}), "password"),
        (json!({}), "body"),
    ] {
        let problem = http.patch("/api/users/me", &wish).await.unwrap().problem(400, "validation-failed");
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
    assert_eq!(me(&http).await, before);
}

#[tokio::test]
async fn a_deleted_account_is_out_and_its_name_stays_taken() {
    let user = TestUser::start().await;
    let (login, http) = user.person("sujin01").await;
    let other = user.log_in("sujin01").await;
    let (_, stranger) = user.person("another1").await;
    http.delete("/api/users/me").await.unwrap().expect(204);
    let wish = login_body("sujin01", PASSWORD);
    user.http.post("/api/auth/login", &wish).await.unwrap().problem(401, "wrong-credentials");
    for token in [&login.refresh_token, &other.refresh_token] {
        let wish = json!({"refreshToken": token});
        user.http.post("/api/auth/refresh", &wish).await.unwrap().problem(401, "invalid-refresh-token");
    }
    user.refused(&http).await;
    user.refused(&user.http.login(&other.access_token)).await;
    assert_eq!(user.copy(login.user_id).await, Some(String::new()));
    me(&stranger).await;
    let by: String = sqlx::query_scalar("SELECT deleted_by FROM account WHERE login_id = 'sujin01'")
        .fetch_one(&user.pg)
        .await
        .unwrap();
    assert_eq!(by, login.user_id.to_string());
}

#[tokio::test]
async fn a_second_read_comes_from_redis_and_is_kept_for_an_hour() {
    let user = TestUser::start().await;
    let (login, http) = user.person("sujin01").await;
    let first = me(&http).await;
    let copy: UserView = serde_json::from_str(&user.copy(login.user_id).await.unwrap()).unwrap();
    assert_eq!(json!(copy), first);
    let script = Script::new("return redis.call('TTL', KEYS[1])");
    let key = format!("profile:{}", login.user_id);
    let ttl_s: i64 = script.run(&user.redis(), vec![key], Vec::new()).await.unwrap();
    assert!((3_590..=3_600).contains(&ttl_s), "{ttl_s}");
    sqlx::query("UPDATE account SET nickname = 'unseen'").execute(&user.pg).await.unwrap();
    assert_eq!(me(&http).await, first);
    assert_eq!(me(&user.beside().await.login(&login.access_token)).await, first);
    for line in [
        r#"astraphe_user_profile_reads_total{result="miss"} 1"#,
        r#"astraphe_user_profile_reads_total{result="hit"} 1"#,
    ] {
        assert!(user.figure(line).await, "{line}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_an_update_no_replica_reads_what_was() {
    let user = TestUser::start().await;
    let beside = user.beside().await;
    let (login, here) = user.person("sujin01").await;
    let there = beside.login(&login.access_token);
    for round in 0..50 {
        let name = format!("round {round}");
        let readers = (0..6).map(|n| me(if n % 2 == 0 { &here } else { &there }));
        let writer = if round % 2 == 0 { &here } else { &there };
        let (renamed, _) = tokio::join!(rename(writer, &name), futures::future::join_all(readers));
        assert_eq!(renamed["nickname"], *name);
        for http in [&here, &there] {
            assert_eq!(me(http).await["nickname"], *name, "a stale read");
        }
    }
}

#[tokio::test]
async fn a_late_reader_cannot_put_back_what_was() {
    let user = TestUser::start().await;
    let (login, http) = user.person("sujin01").await;
    let key = format!("profile:{}", login.user_id);
    rename(&http, "first").await;
    rename(&http, "second").await;
    // As a reader would that had read the row before the second change.
    let put = Script::new(include_str!("../../src/account/lua/put.lua"));
    let late = [Word::from("2"), Word::from(r#"{"late":true}"#), Word::from("3600")];
    let taken: i64 = put.run(&user.redis(), vec![key], late.to_vec()).await.unwrap();
    assert_eq!(taken, 0);
    assert_eq!(me(&http).await["nickname"], "second");
}

#[tokio::test]
async fn what_is_no_profile_of_the_account_is_never_shown() {
    let user = TestUser::start().await;
    let (login, http) = user.person("sujin01").await;
    let (other, stranger) = user.person("another1").await;
    let (mine, others) = (me(&http).await, me(&stranger).await);
    let key = format!("profile:{}", login.user_id);
    for text in [others.to_string(), "garbage".into(), "{}".into()] {
        user.redis_command(&["HSET", &key, "view", &text]).await;
        assert_eq!(me(&http).await, mine, "{text}");
    }
    assert_ne!(login.user_id, other.user_id);
}

#[tokio::test]
async fn without_redis_profiles_are_read_and_changed_and_nothing_stale_comes_back_with_it() {
    let wire =
        testkit::wire::Wire::to(testkit::servers().redis.strip_prefix("redis://").unwrap()).await.unwrap();
    let url = format!("redis://{}/{}", wire.address, super::REDIS.rsplit('/').next().unwrap());
    let user = TestUser::start_with(|config| config.redis.redis_url.0 = url).await;
    let (_, http) = user.person("sujin01").await;
    rename(&http, "before").await;
    me(&http).await;
    wire.cut();
    testkit::eventually(LONG, async || {
        let asked = tokio::time::Instant::now();
        me(&http).await;
        anyhow::ensure!(asked.elapsed() < Duration::from_millis(50), "waited {:?}", asked.elapsed());
        anyhow::ensure!(user.redis_is_missed().await);
        Ok(())
    })
    .await;
    rename(&http, "while it is away").await;
    assert_eq!(me(&http).await["nickname"], "while it is away");
    user.log_in("sujin01").await;
    wire.restore();
    testkit::eventually(LONG, async || {
        anyhow::ensure!(user.figure("astraphe_user_changes_waiting 0").await, "not told");
        Ok(())
    })
    .await;
    assert_eq!(me(&http).await["nickname"], "while it is away");
}
