//! Were they let in.

use std::time::Duration;

use common::wire::id::{ProductId, SessionId, UserId};
use common::wire::token::{IDENTITY_TYPE, PASS_TYPE, Pass, Role};
use serde_json::json;
use testkit::client::Http;
use testkit::issuers::Issuers;

use crate::gate::Gate;

const PAGE: &str = "/api/products/7";

#[tokio::test]
async fn the_product_page_needs_a_pass_for_it() {
    let gate = Gate::start().await.knowing().await;
    let claims = gate.claims(Role::Customer);
    let shopper = gate.http.login(&gate.token(&claims));
    gate.http.get(PAGE).await.unwrap().problem(401, "login-required");
    gate.http.pass(&gate.pass(&claims, 7)).get(PAGE).await.unwrap().problem(401, "login-required");
    let problem = shopper.get(PAGE).await.unwrap().problem(403, "access-token-required");
    assert!(problem["detail"].as_str().unwrap().contains("/api/queue/7"), "{problem}");
    shopper.pass(&gate.pass(&claims, 8)).get(PAGE).await.unwrap().problem(403, "access-token-required");
    assert!(gate.log.all().is_empty());

    shopper.pass(&gate.pass(&claims, 8)).pass(&gate.pass(&claims, 7)).get(PAGE).await.unwrap().expect(200);
    let reached = gate.log.last();
    assert_eq!(reached.header("x-access-token"), None);
    let said = gate.verifier.assertion(reached.header("x-identity").unwrap()).unwrap();
    let products: Vec<ProductId> = said.passes.iter().map(|right| right.pid).collect();
    assert_eq!(products, [ProductId(8), ProductId(7)]);
    let joined = format!("{}, {}", gate.pass(&claims, 8), gate.pass(&claims, 7));
    shopper.pass(&joined).get(PAGE).await.unwrap().expect(200);
}

#[tokio::test]
async fn sellers_and_admins_see_the_page_without_a_pass_and_the_service_decides() {
    let gate = Gate::start().await.knowing().await;
    for (role, status) in
        [(Role::Seller, 200), (Role::Admin, 200), (Role::Manager, 403), (Role::Customer, 403)]
    {
        gate.as_role(role).get(PAGE).await.unwrap().expect(status);
    }
}

#[tokio::test]
async fn an_order_needs_a_pass() {
    let gate = Gate::start().await.knowing().await;
    let order = json!({"lines": [{"productId": 7, "quantity": 1}]});
    let claims = gate.claims(Role::Customer);
    let shopper = gate.http.login(&gate.token(&claims)).key("k");
    gate.http.post("/api/orders", &order).await.unwrap().problem(401, "login-required");
    shopper.post("/api/orders", &order).await.unwrap().problem(403, "access-token-required");
    gate.as_role(Role::Admin)
        .post("/api/orders", &order)
        .await
        .unwrap()
        .problem(403, "access-token-required");
    shopper.pass(&gate.pass(&claims, 7)).post("/api/orders", &order).await.unwrap().expect(200);
    let reached = gate.log.last();
    assert_eq!(reached.body, order.to_string());
    assert_eq!(reached.header("idempotency-key"), Some("k"));
    let said = gate.verifier.assertion(reached.header("x-identity").unwrap()).unwrap();
    assert_eq!(said.passes.len(), 1);
}

#[tokio::test]
async fn what_is_no_pass_of_this_login_is_refused() {
    let gate = Gate::start().await.knowing().await;
    let claims = gate.claims(Role::Customer);
    let token = gate.token(&claims);
    let good = Issuers::pass_claims(&claims, ProductId(7), common::wire::id::Ticket(3));
    let change = |change: fn(&mut Pass)| {
        let mut claims = good.clone();
        change(&mut claims);
        gate.issuers.pass.sign(&claims, PASS_TYPE).unwrap()
    };
    for (what, pass) in [
        ("no token", "abc".to_owned()),
        ("a foreign key", Issuers::new().pass.sign(&good, PASS_TYPE).unwrap()),
        ("the identity issuer's key", gate.issuers.identity.sign(&good, PASS_TYPE).unwrap()),
        ("another type", gate.issuers.pass.sign(&good, IDENTITY_TYPE).unwrap()),
        ("the login itself", token.clone()),
        ("another account's", change(|pass| pass.sub = UserId(43))),
        ("another login's", change(|pass| pass.sid = SessionId::new())),
        ("expired", change(|pass| pass.exp -= 1_000)),
        ("not yet", change(|pass| pass.nbf += 1_000)),
        ("another issuer", change(|pass| pass.iss = "someone".into())),
        ("another audience", change(|pass| pass.aud = "someone".into())),
    ] {
        for role_may_go_without in [false, true] {
            let http = if role_may_go_without { gate.as_role(Role::Admin) } else { gate.http.login(&token) };
            let answer = http.pass(&pass).get(PAGE).await.unwrap();
            assert_eq!(answer.status, 403, "{what}: {}", answer.body);
            answer.problem(403, "invalid-access-token");
        }
        let both = gate.http.login(&token).pass(&gate.pass(&claims, 7)).pass(&pass);
        both.get(PAGE).await.unwrap().problem(403, "invalid-access-token");
    }
    assert!(gate.log.all().is_empty());
}

#[tokio::test]
async fn a_pass_once_seen_is_still_bound_to_its_login() {
    let gate = Gate::start().await.knowing().await;
    let mine = gate.claims(Role::Customer);
    let pass = gate.pass(&mine, 7);
    gate.http.login(&gate.token(&mine)).pass(&pass).get(PAGE).await.unwrap().expect(200);
    // The same account, another login: the pass is known to the cache, but not with this login.
    gate.as_role(Role::Customer).pass(&pass).get(PAGE).await.unwrap().problem(403, "invalid-access-token");
}

#[tokio::test]
async fn a_known_pass_ends_with_its_admission() {
    let gate = Gate::start().await.knowing().await;
    let claims = gate.claims(Role::Customer);
    let http: Http = gate.http.login(&gate.token(&claims)).pass(&gate.pass(&claims, 7));
    http.get(PAGE).await.unwrap().expect(200);
    gate.clock.advance(Duration::from_secs(590));
    http.get(PAGE).await.unwrap().expect(200);
    let said = gate.log.last();
    let said = gate.verifier.assertion(said.header("x-identity").unwrap()).unwrap();
    assert_eq!(said.exp, gate.clock.now_s() + 5, "never later than the pass");
    gate.clock.advance(Duration::from_secs(11));
    http.get(PAGE).await.unwrap().problem(403, "invalid-access-token");
}
