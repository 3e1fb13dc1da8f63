use common::wire::id::{SessionId, UserId};
use common::wire::token::Role;
use serde_json::json;
use testkit::issuers::Issuers;

use super::{PASSWORD, TestUser, login_body};

#[tokio::test]
async fn the_own_profile_by_bearer_and_by_the_gateways_assertion() {
    let user = TestUser::start().await;
    let account = user.sign_up("sujin01").await;
    user.sign_up("another1").await;
    let login = user.http.post("/api/auth/login", &login_body("sujin01", PASSWORD)).await.unwrap();
    let login = login.expect(200).body;

    let me = user.http.login(login["accessToken"].as_str().unwrap());
    assert_eq!(me.get("/api/users/me").await.unwrap().expect(200).body, account);

    let id = UserId(account["userId"].as_i64().unwrap());
    let claims = Issuers::identity_claims(id, Role::Customer, SessionId::new(), &user.clock);
    let assertion = user.issuers.verifier(&user.clock).assert(&claims, &[]).unwrap();
    let me = user.http.with("x-identity", assertion);
    assert_eq!(me.get("/api/users/me").await.unwrap().expect(200).body, account);
}

#[tokio::test]
async fn no_profile_without_a_proof_of_who_asks() {
    let user = TestUser::start().await;
    let account = user.sign_up("sujin01").await;
    let id = UserId(account["userId"].as_i64().unwrap());
    user.http.get("/api/users/me").await.unwrap().problem(401, "login-required");
    let bare = user.http.with("x-user-id", id.to_string()).with("x-user-role", "ADMIN");
    bare.get("/api/users/me").await.unwrap().problem(401, "login-required");
    // Signed by somebody else.
    let foreign = Issuers::new();
    let token = foreign.identity_token(id, Role::Customer, SessionId::new(), &user.clock);
    user.http.login(&token).get("/api/users/me").await.unwrap().problem(401, "invalid-token");
    let claims = Issuers::identity_claims(id, Role::Customer, SessionId::new(), &user.clock);
    let assertion = foreign.verifier(&user.clock).assert(&claims, &[]).unwrap();
    user.http.with("x-identity", assertion).get("/api/users/me").await.unwrap().problem(401, "invalid-token");
    // Signed by queue-server's key.
    let token = user.issuers.pass.sign(&claims, common::wire::token::IDENTITY_TYPE).unwrap();
    user.http.login(&token).get("/api/users/me").await.unwrap().problem(401, "invalid-token");
}

#[tokio::test]
async fn a_deleted_account_has_no_profile() {
    let user = TestUser::start().await;
    let account = user.sign_up("sujin01").await;
    sqlx::query("UPDATE account SET deleted_at = now(), deleted_by = 'system'")
        .execute(&user.pg)
        .await
        .unwrap();
    let id = UserId(account["userId"].as_i64().unwrap());
    let token = user.issuers.identity_token(id, Role::Customer, SessionId::new(), &user.clock);
    user.http.login(&token).get("/api/users/me").await.unwrap().problem(404, "unknown-user");
}

#[tokio::test]
async fn unknown_paths_and_methods_are_problems() {
    let user = TestUser::start().await;
    user.http.get("/api/nothing").await.unwrap().problem(404, "no-such-route");
    let answer = user.http.post("/api/users/me", &json!({})).await.unwrap();
    assert!(answer.headers["allow"].to_str().unwrap().contains("GET"));
    answer.problem(405, "method-not-allowed");
}
