use std::time::Duration;

use reqwest::Method;
use serde_json::json;
use testkit::client::{Answer, Http};

use super::{PASSWORD, TestUser, cookies, login_body};

impl TestUser {
    /// A client at this address, as the gateway tells of it.
    fn at(&self, address: &str) -> Http {
        let word = self.issuers.verifier(&self.clock).assert_service().unwrap();
        self.http.with("x-identity", word).with("x-forwarded-for", address)
    }
}

async fn try_login(http: &Http, login_id: &str, password: &str) -> Answer {
    http.post("/api/auth/login", &login_body(login_id, password)).await.unwrap()
}

async fn fail(http: &Http, login_id: &str, times: usize) {
    for _ in 0..times {
        try_login(http, login_id, "wrong-horse-1").await.problem(401, "wrong-credentials");
    }
}

#[tokio::test]
async fn failures_are_limited_and_forgotten_one_by_one_whether_the_account_exists_or_not() {
    let user = TestUser::start().await;
    user.sign_up("sujin01").await;
    let attacker = user.at("203.0.113.7");
    for login_id in ["sujin01", "nobody01"] {
        fail(&attacker, login_id, 5).await;
        // The right password is not looked at.
        let limited = try_login(&attacker, login_id, PASSWORD).await;
        assert_eq!(limited.headers["retry-after"], "31", "{login_id}");
        limited.problem(429, "too-many-attempts");
    }
    user.clock.advance(Duration::from_secs(30));
    for login_id in ["sujin01", "nobody01"] {
        fail(&attacker, login_id, 1).await;
        try_login(&attacker, login_id, PASSWORD).await.problem(429, "too-many-attempts");
    }
    user.clock.advance(Duration::from_secs(30));
    try_login(&attacker, "sujin01", PASSWORD).await.expect(200);
    assert!(user.figure(r#"astraphe_user_logins_total{result="limited"} 4"#).await);
}

#[tokio::test]
async fn an_attack_does_not_keep_the_owner_out() {
    let user = TestUser::start().await;
    user.sign_up("sujin01").await;
    let home = user.at("198.51.100.1");
    try_login(&home, "sujin01", PASSWORD).await.expect(200);
    let phone = user.at("198.51.100.2").with("origin", "https://shop.example");
    let known = try_login(&phone, "sujin01", PASSWORD).await.expect(200);
    let device = cookies(&known).into_iter().find(|line| line.starts_with("device=")).unwrap();
    assert!(device.ends_with("; Max-Age=31536000; Path=/api/auth; HttpOnly; SameSite=Lax"), "{device}");
    let device = device.split(';').next().unwrap();

    // Twenty addresses, until the account takes no more failures from strangers.
    for n in 0..20 {
        fail(&user.at(&format!("203.0.113.{n}")), "sujin01", 5).await;
    }
    let elsewhere = user.at("192.0.2.1");
    try_login(&elsewhere, "sujin01", PASSWORD).await.problem(429, "too-many-attempts");
    try_login(&home, "sujin01", PASSWORD).await.expect(200);
    try_login(&elsewhere.with("cookie", device), "sujin01", PASSWORD).await.expect(200);
    // Also with the attacker behind the same address.
    fail(&home, "sujin01", 5).await;
    try_login(&home, "sujin01", PASSWORD).await.problem(429, "too-many-attempts");
    try_login(&home.with("cookie", device), "sujin01", PASSWORD).await.expect(200);
    // A login lasts without a password.
    let refresh = json!({"refreshToken": known.body["refreshToken"]});
    user.http.post("/api/auth/refresh", &refresh).await.unwrap().expect(200);
    // Another account's browser is a stranger, and neighbours are not held up.
    user.sign_up("another1").await;
    try_login(&elsewhere, "another1", PASSWORD).await.expect(200);
    try_login(&user.at("192.0.2.9").with("cookie", "device=AAAAAAAAAAAAAAAAAAAAAA"), "sujin01", PASSWORD)
        .await
        .problem(429, "too-many-attempts");
}

#[tokio::test]
async fn an_address_that_tries_many_accounts_is_limited_and_those_who_are_known_there_are_not() {
    let user = TestUser::start().await;
    user.sign_up("sujin01").await;
    user.sign_up("another1").await;
    let office = user.at("203.0.113.7");
    try_login(&office, "sujin01", PASSWORD).await.expect(200);
    for n in 0..50 {
        fail(&office, &format!("list{n:04}"), 1).await;
    }
    try_login(&office, "another1", PASSWORD).await.problem(429, "too-many-attempts");
    try_login(&office, "sujin01", PASSWORD).await.expect(200);
    try_login(&user.at("203.0.113.8"), "another1", PASSWORD).await.expect(200);
}

#[tokio::test]
async fn an_address_is_believed_from_the_gateway_alone() {
    let user = TestUser::start().await;
    user.sign_up("sujin01").await;
    for n in 0..5 {
        let liar = user.http.with("x-forwarded-for", format!("203.0.113.{n}"));
        let liar = if n % 2 == 0 { liar.with("x-identity", "forged") } else { liar };
        fail(&liar, "sujin01", 1).await;
    }
    try_login(&user.http, "sujin01", PASSWORD).await.problem(429, "too-many-attempts");
    // One IPv6 subscriber has 2^64 addresses.
    fail(&user.at("2001:db8:1:2::1"), "sujin01", 3).await;
    fail(&user.at("2001:db8:1:2:ffff::9"), "sujin01", 2).await;
    try_login(&user.at("2001:db8:1:2::3"), "sujin01", PASSWORD).await.problem(429, "too-many-attempts");
    try_login(&user.at("2001:db8:1:3::1"), "sujin01", PASSWORD).await.expect(200);
}

#[tokio::test]
async fn a_limit_is_the_same_at_every_replica_and_a_form_says_busy() {
    let user = TestUser::start().await;
    let beside = user.beside().await;
    user.sign_up("sujin01").await;
    fail(&user.http, "sujin01", 3).await;
    fail(&beside, "sujin01", 2).await;
    try_login(&user.http, "sujin01", PASSWORD).await.problem(429, "too-many-attempts");
    try_login(&beside, "sujin01", PASSWORD).await.problem(429, "too-many-attempts");
    let client =
        reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none()).build().unwrap();
    let form = [("loginId", "sujin01"), ("password", PASSWORD), ("next", "/queue/7/plain")];
    let answer =
        client.request(Method::POST, format!("{}/login", user.base)).form(&form).send().await.unwrap();
    assert_eq!(
        (answer.status().as_u16(), &answer.headers()["location"]),
        (303, &"/queue/7/plain?login=busy".parse().unwrap())
    );
}

#[tokio::test]
async fn a_hash_with_dated_parameters_is_renewed_at_the_next_login() {
    let user = TestUser::start().await;
    let (first, _) = user.person("sujin01").await;
    let dated = {
        use argon2::password_hash::PasswordHasher as _;
        let params = argon2::Params::new(8 * 1024, 1, 1, None).unwrap();
        let argon2 = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
        argon2.hash_password(PASSWORD.as_bytes()).unwrap().to_string()
    };
    sqlx::query("UPDATE account SET password_hash = $1").bind(&dated).execute(&user.pg).await.unwrap();
    try_login(&user.http, "sujin01", "wrong-horse-1").await.problem(401, "wrong-credentials");
    let stored = async || -> String {
        sqlx::query_scalar("SELECT password_hash FROM account").fetch_one(&user.pg).await.unwrap()
    };
    assert_eq!(stored().await, dated);
    user.log_in("sujin01").await;
    let renewed = stored().await;
    assert!(renewed.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{renewed}");
    user.log_in("sujin01").await;
    assert_eq!(stored().await, renewed);
    let refresh = json!({"refreshToken": first.refresh_token});
    user.http.post("/api/auth/refresh", &refresh).await.unwrap().expect(200);
}
