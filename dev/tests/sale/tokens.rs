//! Nobody gets past the gateway without the right token.

use std::time::Duration;

use anyhow::ensure;
use common::clock::Clock;
use common::wire::id::{ProductId, SessionId, Ticket};
use common::wire::token::{IDENTITY_TYPE, Identity, PASS_TYPE, Pass, Role};
use serde_json::json;
use testkit::eventually;
use testkit::issuers::Issuers;
use tokio::time::Instant;

use crate::shop::{PATIENCE, Sale, shared};

#[tokio::test]
async fn the_product_page_and_the_order_need_the_right_access_token() {
    let shop = shared();
    let product = shop.register(Sale { units: 5, ..Sale::default() }).await;
    let other_product = shop.register(Sale { units: 5, ..Sale::default() }).await;
    let (shopper, friend) = (shop.shopper(), shop.shopper());
    let pass = shopper.admitted(product).await;
    let friends_pass = friend.admitted(product).await;
    let other_pass = shopper.admitted(other_product).await;
    let elsewhere = shop.shopper_as(shopper.identity.sub, SessionId::new());
    let forger = Issuers::new();
    let forged = forger.pass_token(&shopper.identity, product, Ticket(1));
    let page = format!("/api/products/{product}");

    shop.visitor().get(&page).await.unwrap().problem(401, "login-required");
    shopper.http.get(&page).await.unwrap().problem(403, "access-token-required");
    shopper.http.pass(&other_pass).get(&page).await.unwrap().problem(403, "access-token-required");
    for (who, token) in [
        (&shopper, forged.as_str()),
        (&shopper, friends_pass.as_str()),
        (&elsewhere, pass.as_str()),
        (&shopper, "x.y.z"),
    ] {
        who.http.pass(token).get(&page).await.unwrap().problem(403, "invalid-access-token");
        let order = who.order(product, token, 1, &uuid::Uuid::new_v4().to_string()).await;
        order.problem(403, "invalid-access-token");
    }
    let missing = json!({"lines": [{"productId": product, "quantity": 1}]});
    let missing = shopper.http.key("k").post("/api/orders", &missing).await.unwrap();
    missing.problem(403, "access-token-required");
    let foreign_line = shopper.order(product, &other_pass, 1, "k2").await;
    foreign_line.problem(403, "access-token-required");
    shopper.http.pass(&pass).get(&page).await.unwrap().expect(200);
}

#[tokio::test]
async fn a_revoked_access_token_opens_nothing_a_second_later_and_the_next_one_does() {
    let shop = shared();
    let product = shop.register(Sale { units: 5, ..Sale::default() }).await;
    let (shopper, manager) = (shop.shopper(), shop.login("manager").await);
    let page = format!("/api/products/{product}");
    for who in [json!({"userId": shopper.identity.sub}), json!({})] {
        let pass = shopper.admitted(product).await;
        let inside = shopper.http.pass(&pass);
        inside.get(&page).await.unwrap().expect(200);
        let revoke = format!("/api/queue/{product}/revoke");
        manager.post(&revoke, &who).await.unwrap().expect(200);
        let revoked = Instant::now();
        eventually(PATIENCE, async || {
            let answer = inside.get(&page).await?;
            ensure!(answer.status == 403, "{} after {:?}", answer.status, revoked.elapsed());
            answer.problem(403, "access-token-revoked");
            Ok(())
        })
        .await;
        assert!(revoked.elapsed() < Duration::from_secs(2), "refused after {:?}", revoked.elapsed());
        shopper.order(product, &pass, 1, "void").await.problem(403, "access-token-revoked");
        assert_eq!(shopper.place(product).await.body["state"], "expired");
    }
    let pass = shopper.admitted(product).await;
    shopper.http.pass(&pass).get(&page).await.unwrap().expect(200);
    let order = shopper.reserve(product, &pass).await;
    assert_eq!(order["state"], "reserved");
}

#[tokio::test]
async fn forged_and_expired_logins_are_refused() {
    let shop = shared();
    let shopper = shop.shopper();
    let forger = Issuers::new();
    let clock = Clock::system();
    let claims = shopper.identity.clone();
    let forged = forger.identity.sign(&claims, IDENTITY_TYPE).unwrap();
    shop.visitor().login(&forged).get("/api/orders").await.unwrap().problem(401, "invalid-token");
    let expired = Identity { exp: clock.now_s() - 60, ..claims.clone() };
    let key = shop.stack.json()["devKeys"]["identity"].as_str().unwrap().to_owned();
    let key = common::auth::key::SigningKey::read(key.as_ref()).unwrap();
    let expired = key.sign(&expired, IDENTITY_TYPE).unwrap();
    shop.visitor().login(&expired).get("/api/orders").await.unwrap().problem(401, "invalid-token");
    // A login is no access token, and an access token's type is no login.
    let login = key.sign(&claims, IDENTITY_TYPE).unwrap();
    let as_pass: Pass = Issuers::pass_claims(&claims, ProductId(1), Ticket(1));
    let as_pass = key.sign(&as_pass, PASS_TYPE).unwrap();
    shop.visitor().login(&as_pass).get("/api/orders").await.unwrap().problem(401, "invalid-token");
    let page = shopper.http.pass(&login).get("/api/products/1").await.unwrap();
    page.problem(403, "invalid-access-token");
}

#[tokio::test]
async fn identity_headers_from_outside_count_for_nothing() {
    let shop = shared();
    let admin = Issuers::new().verifier(&Clock::system());
    let claims = Issuers::identity_claims(
        shop.shopper().identity.sub,
        Role::Admin,
        SessionId::new(),
        &Clock::system(),
    );
    let assertion = admin.assert(&claims, &[]).unwrap();
    let spoofed = shop.visitor().with("x-identity", assertion).with("x-user-id", "1");
    spoofed.get("/api/users/me").await.unwrap().problem(401, "login-required");
    spoofed.get("/internal/products/1/snapshot").await.unwrap().problem(404, "no-such-route");
}

#[tokio::test]
async fn a_browsers_cookie_is_a_login_and_moves_nobody_for_another_page() {
    let shop = shared();
    let product = shop.register(Sale { started_s: -600, ..Sale::default() }).await;
    let shopper = shop.shopper();
    let path = format!("/api/queue/{product}");
    let browser = shop.visitor().with("cookie", format!("identity={}", shopper.token));
    for other in [browser.clone(), browser.with("origin", "https://evil.example")] {
        other.post(&path, &json!({})).await.unwrap().problem(403, "foreign-origin");
        assert_eq!(other.get(&path).await.unwrap().expect(200).body["state"], "none");
    }
    let own = browser.with("origin", shop.stack.gateway());
    assert_eq!(own.post(&path, &json!({})).await.unwrap().expect(200).body["state"], "waiting");
}
