use common::config::{Redis, Secret};
use common::redis::Connections;
use common::wire::denied::{DENIED, Denial, Denied};
use common::wire::id::SessionId;
use common::wire::user::SessionView;
use reqwest::Method;
use serde_json::{Value, json};
use testkit::client::{Answer, Http};
use testkit::own::Own;
use testkit::process::Server as _;

use super::{LONG, PASSWORD, TestUser, login_body};

const NEW_PASSWORD: &str = "other-horse-2";

impl TestUser {
    async fn sid(&self, token: &str) -> SessionId {
        self.issuers.verifier(&self.clock).identity(token).await.unwrap().sid
    }

    async fn change_password(&self, http: &Http, from: &str, to: &str) -> Answer {
        let body = json!({"currentPassword": from, "newPassword": to});
        http.post("/api/auth/password", &body).await.unwrap()
    }
}

async fn log_out(http: &Http, body: Option<Value>) -> Answer {
    let request = http.request(Method::POST, "/api/auth/logout");
    let request = match &body {
        Some(body) => request.json(body),
        None => request,
    };
    Http::send("logout".into(), request).await.unwrap()
}

/// What is said of a login in Redis.
async fn is_denied(redis: &Connections, sid: SessionId) -> bool {
    let entries = redis.entries(DENIED, "-", 10_000).await.unwrap();
    let denials = entries.iter().filter_map(|(_, fields)| Denial::read(fields));
    denials.into_iter().any(|denial| denial.what == Denied::Login(sid))
}

#[tokio::test]
async fn a_logout_ends_the_login_wherever_it_is_used() {
    let user = TestUser::start().await;
    let beside = user.beside().await;
    let (login, http) = user.person("sujin01").await;
    let other = user.log_in("sujin01").await;
    log_out(&http, None).await.expect(204);
    user.refused(&http).await;
    user.refused(&beside.login(&login.access_token)).await;
    // What the gateway said of it a moment ago counts no longer either.
    let verifier = user.issuers.verifier(&user.clock);
    let claims = verifier.identity(&login.access_token).await.unwrap();
    user.refused(&user.http.with("x-identity", verifier.assert(&claims, &[]).unwrap())).await;
    let gone = json!({"refreshToken": login.refresh_token});
    user.http.post("/api/auth/refresh", &gone).await.unwrap().problem(401, "invalid-refresh-token");
    user.http.login(&other.access_token).get("/api/users/me").await.unwrap().expect(200);
    let lives_s = 15 * 60;
    let entries = user.redis().entries(DENIED, "-", 10_000).await.unwrap();
    let denial = entries.iter().filter_map(|(_, fields)| Denial::read(fields));
    let denial = denial.into_iter().find(|denial| denial.what == Denied::Login(claims.sid)).unwrap();
    assert!(denial.until > user.clock.now_s() + lives_s, "as long as a token of it may live");
}

#[tokio::test]
async fn a_logout_takes_whatever_names_the_login_and_may_be_repeated() {
    let user = TestUser::start().await;
    user.sign_up("sujin01").await;
    let by_body = user.log_in("sujin01").await;
    log_out(&user.http, Some(json!({"refreshToken": by_body.refresh_token}))).await.expect(204);
    let by_cookie = user.log_in("sujin01").await;
    let browser = user.http.with("cookie", format!("refresh={}", by_cookie.refresh_token));
    log_out(&browser, None).await.expect(204);
    for login in [&by_body, &by_cookie] {
        user.refused(&user.http.login(&login.access_token)).await;
    }
    let stays = user.log_in("sujin01").await;
    for (http, body) in [
        (user.http.clone(), None),
        (browser, None),
        (user.http.login(&by_body.access_token), None),
        (user.http.login("garbage"), None),
        (user.http.clone(), Some(json!({"refreshToken": "garbage"}))),
    ] {
        log_out(&http, body).await.expect(204);
    }
    user.http.login(&stays.access_token).get("/api/users/me").await.unwrap().expect(200);
    assert_eq!(user.rows("session").await, 1);
}

#[tokio::test]
async fn logins_are_listed_and_one_of_them_is_ended() {
    let user = TestUser::start().await;
    let (first, http) = user.person("sujin01").await;
    let (_, stranger) = user.person("another1").await;
    user.clock.advance(std::time::Duration::from_secs(60));
    let phone = user.http.with("user-agent", "x".repeat(300));
    let second = phone.post("/api/auth/login", &login_body("sujin01", PASSWORD)).await.unwrap().expect(200);
    let second_sid = user.sid(second.body["accessToken"].as_str().unwrap()).await;
    let list = http.get("/api/auth/sessions").await.unwrap().expect(200).body;
    assert_eq!(list["total"], 2);
    let items: Vec<SessionView> = serde_json::from_value(list["items"].clone()).unwrap();
    let shown: Vec<_> = items.iter().map(|item| (item.sid, item.current, item.user_agent.len())).collect();
    assert_eq!(shown, [(second_sid, false, 200), (user.sid(&first.access_token).await, true, 0)]);
    let fields = "createdAt current expiresAt sid usedAt userAgent";
    let named: Vec<_> = list["items"][0].as_object().unwrap().keys().cloned().collect();
    assert_eq!(named.join(" "), fields, "and nothing to refresh with");

    let path = format!("/api/auth/sessions/{second_sid}");
    stranger.delete(&path).await.unwrap().problem(404, "unknown-session");
    http.delete(&path).await.unwrap().expect(204);
    user.refused(&phone.login(second.body["accessToken"].as_str().unwrap())).await;
    http.delete(&path).await.unwrap().problem(404, "unknown-session");
    http.delete("/api/auth/sessions/7").await.unwrap().problem(404, "no-such-route");
    assert_eq!(http.get("/api/auth/sessions").await.unwrap().expect(200).body["total"], 1);
    for path in ["/api/auth/sessions", "/api/auth/password"] {
        let method = if path.ends_with('d') { Method::POST } else { Method::GET };
        let request = user.http.request(method, path).json(&json!({}));
        Http::send(path.into(), request).await.unwrap().problem(401, "login-required");
    }
}

#[tokio::test]
async fn an_account_has_at_most_fifty_logins() {
    let user = TestUser::start().await;
    let (first, http) = user.person("sujin01").await;
    sqlx::query(
        "INSERT INTO session (session_id, user_id, family_hash, token_hash, salt, user_agent, created_at, used_at, expires_at)
         SELECT gen_random_uuid(), user_id, sha256(n::text::bytea), token_hash, salt, '', created_at, used_at + interval '1 s',
                expires_at
         FROM session, generate_series(1, 49) AS n",
    )
    .execute(&user.pg)
    .await
    .unwrap();
    http.get("/api/users/me").await.unwrap().expect(200);
    user.clock.advance(std::time::Duration::from_secs(2));
    user.log_in("sujin01").await;
    assert_eq!(user.rows("session").await, 50);
    user.refused(&http).await;
    assert!(is_denied(&user.redis(), user.sid(&first.access_token).await).await);
}

#[tokio::test]
async fn a_new_password_ends_all_other_logins() {
    let user = TestUser::start().await;
    let (own, http) = user.person("sujin01").await;
    let other = user.log_in("sujin01").await;
    user.change_password(&http, "wrong-horse-1", NEW_PASSWORD).await.problem(403, "wrong-password");
    for bad in ["short1", "onlyletters", ""] {
        let problem = user.change_password(&http, PASSWORD, bad).await.problem(400, "validation-failed");
        assert_eq!(problem["errors"][0]["field"], "newPassword");
    }
    assert_eq!(user.rows("session").await, 2);
    user.change_password(&http, PASSWORD, NEW_PASSWORD).await.expect(204);
    user.refused(&user.http.login(&other.access_token)).await;
    http.get("/api/users/me").await.unwrap().expect(200);
    let refresh = async |token: &str| {
        user.http.post("/api/auth/refresh", &json!({"refreshToken": token})).await.unwrap()
    };
    refresh(&other.refresh_token).await.problem(401, "invalid-refresh-token");
    refresh(&own.refresh_token).await.expect(200);
    let log_in = async |password| user.http.post("/api/auth/login", &login_body("sujin01", password)).await;
    log_in(PASSWORD).await.unwrap().problem(401, "wrong-credentials");
    log_in(NEW_PASSWORD).await.unwrap().expect(200);
}

#[tokio::test]
async fn who_holds_a_login_cannot_guess_the_password_with_it() {
    let user = TestUser::start().await;
    let (_, http) = user.person("sujin01").await;
    for _ in 0..5 {
        user.change_password(&http, "wrong-horse-1", NEW_PASSWORD).await.problem(403, "wrong-password");
    }
    let limited = user.change_password(&http, PASSWORD, NEW_PASSWORD).await;
    assert_eq!(limited.headers["retry-after"], "31");
    limited.problem(429, "too-many-attempts");
    user.log_in("sujin01").await;
    user.clock.advance(std::time::Duration::from_secs(30));
    user.change_password(&http, PASSWORD, NEW_PASSWORD).await.expect(204);
}

#[tokio::test]
async fn a_login_that_was_checked_before_the_change_does_not_begin_after_it() {
    let user = TestUser::start().await;
    let (_, http) = user.person("sujin01").await;
    for round in 0..5 {
        let (from, to) = if round % 2 == 0 { (PASSWORD, NEW_PASSWORD) } else { (NEW_PASSWORD, PASSWORD) };
        let body = login_body("sujin01", from);
        let (changed, _) = tokio::join!(
            user.change_password(&http, from, to),
            futures::future::join_all((0..4).map(|_| user.http.post("/api/auth/login", &body))),
        );
        changed.expect(204);
        assert_eq!(user.rows("session").await, 1, "only the one that changed the password");
    }
}

#[tokio::test]
async fn a_logout_while_redis_is_away_or_forgets_is_told_when_it_is_back() {
    let mut own = Own::start(testkit::redis::Redis::start);
    let url = own.server.url();
    let user = TestUser::start_with(|config| {
        config.redis = Redis { redis_url: Secret(url), redis_connections: 1 };
    })
    .await;
    let (first, http) = user.person("sujin01").await;
    log_out(&http, None).await.expect(204);
    user.refused(&http).await;
    own.server.kill9();
    let (second, http) = user.person("sujin02").await;
    log_out(&http, None).await.expect(204);
    http.get("/api/users/me").await.unwrap().expect(200);
    testkit::eventually(LONG, async || {
        anyhow::ensure!(user.figure("astraphe_user_changes_waiting 1").await, "not waiting");
        Ok(())
    })
    .await;
    // With all that it had written since it began.
    std::fs::remove_dir_all(own.folder.join("data/appendonlydir")).unwrap();
    own.server.restart().unwrap();
    user.refused(&http).await;
    let redis = user.redis();
    redis.ready().await.unwrap();
    for login in [first, second] {
        assert!(is_denied(&redis, user.sid(&login.access_token).await).await);
    }
    assert!(user.figure("astraphe_user_changes_waiting 0").await);
}
