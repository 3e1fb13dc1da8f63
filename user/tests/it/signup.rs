use chrono::SecondsFormat;
use serde_json::{Value, json};

use super::{TestUser, sign_up_body};

#[tokio::test]
async fn a_sign_up_makes_an_account_and_never_shows_the_password() {
    let user = TestUser::start().await;
    let view = user.sign_up("sujin01").await;
    let now = user.clock.now().to_rfc3339_opts(SecondsFormat::AutoSi, true);
    assert_eq!(
        view,
        json!({
            "userId": view["userId"], "loginId": "sujin01", "username": "김수진", "nickname": "sujin",
            "phoneNumber": "+82-10-1234-5678", "shippingAddress": "Sejong-daero 110, Seoul",
            "role": "CUSTOMER", "createdAt": now, "updatedAt": now,
        })
    );
    let id = view["userId"].as_i64().unwrap();
    let (hash, by): (String, String) =
        sqlx::query_as("SELECT password_hash, created_by FROM account").fetch_one(&user.pg).await.unwrap();
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    assert_eq!(by, id.to_string(), "whoever signs up made the account");
}

#[tokio::test]
async fn a_seller_may_sign_up() {
    let user = TestUser::start().await;
    let mut body = sign_up_body("seller01");
    body["role"] = json!("SELLER");
    let view = user.http.post("/api/auth/signup", &body).await.unwrap().expect(201).body;
    assert_eq!(view["role"], "SELLER");
}

#[tokio::test]
async fn every_bad_field_is_named_and_nothing_is_stored() {
    let user = TestUser::start().await;
    let long = |length| Value::from("x".repeat(length));
    let cases = [
        ("loginId", json!("abc")),
        ("loginId", json!("Sujin01")),
        ("loginId", json!("sujin012345")),
        ("loginId", json!("suj in")),
        ("loginId", json!(12345)),
        ("password", json!("short1")),
        ("password", json!("onlyletters")),
        ("password", json!("1234567890")),
        ("password", json!(format!("{}1", "x".repeat(64)))),
        ("password", json!("tabs\tand1digit")),
        ("username", json!("")),
        ("username", long(21)),
        ("username", json!("a\u{0}b")),
        ("nickname", json!("  ")),
        ("nickname", long(21)),
        ("phoneNumber", json!("123456")),
        ("phoneNumber", json!("call me maybe")),
        ("phoneNumber", json!("123456789012345678901")),
        ("shippingAddress", json!("")),
        ("shippingAddress", long(256)),
        ("role", json!("ADMIN")),
        ("role", json!("MANAGER")),
        ("role", json!("SERVICE")),
        ("role", json!("customer")),
        ("role", json!("KING")),
        ("role", Value::Null),
        ("userId", json!(1)),
        ("deletedAt", json!("2026-01-01T00:00:00Z")),
    ];
    for (field, value) in cases {
        let mut body = sign_up_body("sujin01");
        body[field] = value;
        let answer = user.http.post("/api/auth/signup", &body).await.unwrap();
        let problem = answer.problem(400, "validation-failed");
        assert_eq!(problem["errors"].as_array().unwrap().len(), 1, "{problem}");
        assert_eq!(problem["errors"][0]["field"], field, "{problem}");
    }
    assert_eq!(user.rows("account").await, 0);
}

#[tokio::test]
async fn all_missing_fields_are_named_at_once() {
    let user = TestUser::start().await;
    let problem = user.http.post("/api/auth/signup", &json!({})).await.unwrap();
    let problem = problem.problem(400, "validation-failed");
    let mut named: Vec<_> =
        problem["errors"].as_array().unwrap().iter().map(|error| error["field"].as_str().unwrap()).collect();
    named.sort_unstable();
    let all = ["loginId", "nickname", "password", "phoneNumber", "role", "shippingAddress", "username"];
    assert_eq!(named, all);
}

#[tokio::test]
async fn what_is_no_json_object_is_refused() {
    let user = TestUser::start().await;
    for (body, code) in [
        ("{", "malformed-json"),
        ("", "malformed-json"),
        ("[1]", "validation-failed"),
        ("7", "validation-failed"),
    ] {
        let request = user.http.request("POST".parse().unwrap(), "/api/auth/signup").body(body);
        testkit::client::Http::send(body.into(), request).await.unwrap().problem(400, code);
    }
    let large = format!(r#"{{"loginId": "{}"}}"#, "x".repeat(1 << 20));
    let request = user.http.request("POST".parse().unwrap(), "/api/auth/signup").body(large);
    testkit::client::Http::send("1 MB".into(), request).await.unwrap().problem(413, "body-too-large");
    assert_eq!(user.rows("account").await, 0);
}

#[tokio::test]
async fn a_login_id_is_given_once_also_when_its_account_is_deleted() {
    let user = TestUser::start().await;
    user.sign_up("sujin01").await;
    let again = || async { user.http.post("/api/auth/signup", &sign_up_body("sujin01")).await.unwrap() };
    again().await.problem(409, "login-id-taken");
    sqlx::query("UPDATE account SET deleted_at = now(), deleted_by = 'system'")
        .execute(&user.pg)
        .await
        .unwrap();
    again().await.problem(409, "login-id-taken");
    assert_eq!(user.rows("account").await, 1);
}
