use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::auth::jwks::KeySet;
use common::auth::key::InternalKey;
use common::auth::{Refused, Verifier};
use common::wire::token::{Jwks, Role};
use futures::future::join_all;
use reqwest::Method;
use serde_json::json;
use testkit::client::Http;

use super::{PASSWORD, TestUser, cookies, login_body};

#[tokio::test]
async fn the_identity_verifies_with_the_published_keys_until_it_ends() {
    let user = TestUser::start().await;
    let account = user.sign_up("sujin01").await;
    let login = user.log_in("sujin01").await;
    assert_eq!((json!(login.user_id), login.role), (account["userId"].clone(), Role::Customer));
    assert_eq!(login.expires_at.timestamp(), user.clock.now_s() + 900);

    let keys = user.http.get("/.well-known/jwks.json").await.unwrap().expect(200);
    assert_eq!(keys.headers["cache-control"], "max-age=60");
    let keys: Jwks = keys.body();
    assert_eq!(keys, user.issuers.identity.jwks());
    let verifier = Verifier::new(
        KeySet::fixed(&keys).unwrap(),
        KeySet::fixed(&Jwks::default()).unwrap(),
        InternalKey::read(&user.issuers.internal_key_file).unwrap(),
        user.clock.clone(),
    );
    let identity = verifier.identity(&login.access_token).await.unwrap();
    assert_eq!((identity.sub, identity.role), (login.user_id, Role::Customer));
    user.clock.advance(Duration::from_secs(906));
    assert_eq!(verifier.identity(&login.access_token).await, Err(Refused::Expired));
}

#[tokio::test]
async fn a_login_is_a_session_that_knows_only_the_hash_of_its_refresh_token() {
    let user = TestUser::start().await;
    user.sign_up("sujin01").await;
    let (first, second) = (user.log_in("sujin01").await, user.log_in("sujin01").await);
    assert_ne!(first.refresh_token, second.refresh_token);
    assert_eq!(first.refresh_token.len(), 43, "256 bits in base64url");
    let (user_id, lives_s): (i64, i32) = sqlx::query_as(
        "SELECT user_id, extract(epoch FROM expires_at - created_at)::int FROM session
         WHERE token_hash = sha256($1::bytea)",
    )
    .bind(URL_SAFE_NO_PAD.decode(&first.refresh_token).unwrap())
    .fetch_one(&user.pg)
    .await
    .unwrap();
    assert_eq!((user_id, lives_s), (first.user_id.0, 3_600));
    let sid = user.issuers.verifier(&user.clock).identity(&first.access_token).await.unwrap().sid;
    let found: i64 = sqlx::query_scalar("SELECT count(*) FROM session WHERE session_id = $1")
        .bind(sid.0)
        .fetch_one(&user.pg)
        .await
        .unwrap();
    assert_eq!((found, user.rows("session").await), (1, 2));
}

#[tokio::test]
async fn tokens_are_not_for_caches() {
    let user = TestUser::start().await;
    user.sign_up("sujin01").await;
    let answer = user.http.post("/api/auth/login", &login_body("sujin01", PASSWORD)).await.unwrap();
    assert_eq!(answer.expect(200).headers["cache-control"], "no-store");
}

#[tokio::test]
async fn every_wrong_pair_gets_the_same_answer() {
    let user = TestUser::start().await;
    user.sign_up("sujin01").await;
    user.sign_up("deleted1").await;
    sqlx::query("UPDATE account SET deleted_at = now(), deleted_by = 'system' WHERE login_id = 'deleted1'")
        .execute(&user.pg)
        .await
        .unwrap();
    let longer = format!("{PASSWORD} ");
    let pairs = [
        ("sujin01", "wrong-horse-1"),
        ("sujin01", ""),
        ("sujin01", longer.as_str()),
        ("sujin02", PASSWORD),
        ("deleted1", PASSWORD),
        ("SUJIN01", PASSWORD),
        ("a\0b", PASSWORD),
        ("' or 1=1 --", PASSWORD),
    ];
    let mut details = Vec::new();
    for (login_id, password) in pairs {
        let answer = user.http.post("/api/auth/login", &login_body(login_id, password)).await.unwrap();
        let problem = answer.problem(401, "wrong-credentials");
        details.push((problem["detail"].clone(), problem["title"].clone()));
    }
    details.dedup();
    assert_eq!(details.len(), 1, "{details:?}");
    assert_eq!(user.rows("session").await, 0);
    let metrics = user.http.get("/metrics").await.unwrap().expect(200).body;
    let metrics = metrics.as_str().unwrap();
    assert!(metrics.contains(r#"astraphe_user_logins_total{result="wrong"} 8"#), "{metrics}");
    assert!(metrics.contains("astraphe_user_hash_seconds_count 10"), "every try costs one hash: {metrics}");
}

#[tokio::test]
async fn a_login_with_other_fields_or_types_is_refused() {
    let user = TestUser::start().await;
    for (body, field) in [
        (json!({"loginId": "sujin01", "password": 1}), "password"),
        (json!({"loginId": "sujin01", "password": PASSWORD, "role": "ADMIN"}), "role"),
        (json!({"loginId": "sujin01", "password": "x".repeat(257)}), "password"),
    ] {
        let answer = user.http.post("/api/auth/login", &body).await.unwrap();
        assert_eq!(answer.problem(400, "validation-failed")["errors"][0]["field"], field);
    }
}

#[tokio::test]
async fn a_full_pool_answers_503_and_says_when_to_come_back() {
    let user = TestUser::start_with(|config| {
        config.hash_parallel = Some(1.try_into().unwrap());
        config.hash_waiting_max = 0;
    })
    .await;
    user.sign_up("sujin01").await;
    let body = login_body("sujin01", PASSWORD);
    testkit::eventually(Duration::from_secs(10), async || {
        let answers = join_all((0..16).map(|_| user.http.post("/api/auth/login", &body))).await;
        let answers = answers.into_iter().collect::<anyhow::Result<Vec<_>>>()?;
        let busy: Vec<_> = answers.iter().filter(|answer| answer.status == 503).collect();
        anyhow::ensure!(!busy.is_empty(), "all found room");
        for answer in busy {
            assert_eq!(answer.headers["retry-after"], "1");
            answer.clone().problem(503, "busy");
        }
        assert!(answers.iter().all(|answer| matches!(answer.status, 200 | 503)), "{answers:?}");
        Ok(())
    })
    .await;
    user.log_in("sujin01").await;
}

#[tokio::test]
async fn a_login_is_also_a_cookie_that_no_script_sees() {
    let user = TestUser::start().await;
    user.sign_up("sujin01").await;
    for (host, secure) in [
        ("127.0.0.1:8080", ""),
        ("localhost", ""),
        ("[::1]:8080", ""),
        ("shop.example", "; Secure"),
        ("127.0.0.1.example", "; Secure"),
    ] {
        let browser = user.http.with("host", host);
        let answer =
            browser.post("/api/auth/login", &login_body("sujin01", PASSWORD)).await.unwrap().expect(200);
        let [token, refresh] =
            ["accessToken", "refreshToken"].map(|name| answer.body[name].as_str().unwrap());
        let everywhere = format!("HttpOnly; SameSite=Lax{secure}");
        let inside = format!("Path=/api/auth; HttpOnly; SameSite=Lax{secure}");
        let set = [
            format!("identity={token}; Max-Age=900; Path=/; {everywhere}"),
            format!("refresh={refresh}; Max-Age=3600; {inside}"),
        ];
        assert_eq!(cookies(&answer), set, "{host}");
        let out = browser.request(Method::POST, "/api/auth/logout");
        let out = Http::send("logout".into(), out).await.unwrap().expect(204);
        let gone =
            [format!("identity=; Max-Age=0; Path=/; {everywhere}"), format!("refresh=; Max-Age=0; {inside}")];
        assert_eq!(cookies(&out), gone, "{host}");
    }
    let wrong = user.http.post("/api/auth/login", &login_body("sujin01", "wrong")).await.unwrap();
    assert!(!wrong.expect(401).headers.contains_key("set-cookie"));
}

#[tokio::test]
async fn a_form_logs_in_and_goes_on_within_the_shop() {
    let user = TestUser::start().await;
    user.sign_up("sujin01").await;
    let client =
        reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let url = format!("{}/login", user.base);
    let post = async |form: &[(&str, &str)]| client.post(&url).form(form).send().await.unwrap();
    let fields = |password, next| [("loginId", "sujin01"), ("password", password), ("next", next)];
    for (password, next, to, is_in) in [
        (PASSWORD, "/queue/7/plain", "/queue/7/plain", true),
        ("wrong", "/queue/7/plain", "/queue/7/plain?login=wrong", false),
        ("wrong", "/product.html?id=7", "/product.html?id=7&login=wrong", false),
        ("", "/", "/?login=wrong", false),
    ] {
        let answer = post(&fields(password, next)).await;
        assert_eq!((answer.status().as_u16(), &answer.headers()["location"]), (303, &to.parse().unwrap()));
        assert_eq!(answer.headers().contains_key("set-cookie"), is_in, "{password} {next}");
    }
    for next in
        ["", "queue/7", "//evil.example", "https://evil.example", "/\\evil.example", "/a\r\nSet-Cookie: a=b"]
    {
        let answer = post(&fields(PASSWORD, next)).await;
        assert_eq!(answer.status(), 400, "{next:?}");
        assert!(!answer.headers().contains_key("set-cookie"));
        let problem: serde_json::Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap();
        assert_eq!(
            (&problem["code"], &problem["errors"][0]["field"]),
            (&json!("validation-failed"), &json!("next"))
        );
    }
    for form in [
        &[("loginId", "sujin01")][..],
        &[("loginId", "a"), ("password", "b"), ("next", "/"), ("role", "ADMIN")],
    ] {
        assert_eq!(post(form).await.status(), 400, "{form:?}");
    }
    assert_eq!(user.rows("session").await, 1);
}
