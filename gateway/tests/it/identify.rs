//! Who is asking.

use std::time::Duration;

use common::auth::sign;
use common::wire::token::{IDENTITY_TYPE, Identity, PASS_TYPE, Role};
use testkit::issuers::Issuers;

use crate::gate::{Gate, nowhere};

const ME: &str = "/api/users/me";

#[tokio::test]
async fn a_login_is_needed() {
    let gate = Gate::start().await.knowing().await;
    let answer = gate.http.get(ME).await.unwrap();
    assert_eq!(answer.headers["www-authenticate"], "Bearer");
    answer.problem(401, "login-required");
    gate.as_role(Role::Customer).get(ME).await.unwrap().expect(200);
    let token = gate.token(&gate.claims(Role::Customer));
    gate.http.with("authorization", format!("bearer {token}")).get(ME).await.unwrap().expect(200);
}

#[tokio::test]
async fn what_is_no_login_is_refused() {
    let gate = Gate::start().await.knowing().await;
    let other = Issuers::new();
    let good = gate.claims(Role::Customer);
    let change = |change: fn(&mut Identity)| {
        let mut claims = good.clone();
        change(&mut claims);
        gate.token(&claims)
    };
    let token = gate.token(&good);
    let (head, signature) = token.rsplit_once('.').unwrap();
    let none = "eyJhbGciOiJub25lIiwidHlwIjoiYXQrand0In0";
    for (what, token) in [
        ("nothing", String::new()),
        ("no token", "abc".into()),
        ("cut", head.to_owned()),
        ("no signature", format!("{head}.")),
        ("alg none", format!("{none}.{}.", head.split('.').nth(1).unwrap())),
        ("other text under the signature", format!("{}x.{signature}", head)),
        ("a foreign key", other.identity.sign(&good, IDENTITY_TYPE).unwrap()),
        ("the pass issuer's key", gate.issuers.pass.sign(&good, IDENTITY_TYPE).unwrap()),
        ("another type", gate.issuers.identity.sign(&good, PASS_TYPE).unwrap()),
        ("an access token", gate.pass(&good, 7)),
        ("an assertion", gate.verifier.assert(&good, &[]).unwrap()),
        ("a service", change(|claims| claims.role = Role::Service)),
        ("another issuer", change(|claims| claims.iss = "someone".into())),
        ("another audience", change(|claims| claims.aud = "someone".into())),
        ("expired", change(|claims| claims.exp -= 1_000)),
        ("not yet", change(|claims| claims.nbf += 1_000)),
        ("too long", "a".repeat(5_000)),
    ] {
        let answer = gate.http.with("authorization", format!("Bearer {token}")).get(ME).await.unwrap();
        assert_eq!(answer.status, 401, "{what}: {}", answer.body);
        answer.problem(401, "invalid-token");
    }
    for header in ["Basic abc", "Bearer", token.as_str()] {
        let answer = gate.http.with("authorization", header).get(ME).await.unwrap();
        answer.problem(401, "invalid-token");
    }
    let key = jsonwebtoken::EncodingKey::from_secret(gate.issuers.identity.jwks().keys[0].x.as_bytes());
    let kid = Some(gate.issuers.identity.kid());
    let confused = sign(&good, IDENTITY_TYPE, kid, &key, jsonwebtoken::Algorithm::HS256).unwrap();
    gate.http.login(&confused).get(ME).await.unwrap().problem(401, "invalid-token");
    assert!(gate.log.all().is_empty());
}

#[tokio::test]
async fn a_known_login_ends_with_its_token() {
    let gate = Gate::start().await.knowing().await;
    let http = gate.as_role(Role::Customer);
    http.get(ME).await.unwrap().expect(200);
    gate.clock.advance(Duration::from_secs(889));
    http.get(ME).await.unwrap().expect(200);
    let said = gate.log.last();
    let said = gate.verifier.assertion(said.header("x-identity").unwrap()).unwrap();
    assert_eq!(said.exp, gate.clock.now_s() + 11, "never later than the login");
    gate.clock.advance(Duration::from_secs(17));
    http.get(ME).await.unwrap().problem(401, "invalid-token");
}

#[tokio::test]
async fn an_assertion_is_used_again_while_it_lives_long_enough() {
    let gate = Gate::start().await.knowing().await;
    let http = gate.as_role(Role::Customer);
    let mut said = Vec::new();
    for seconds in [0, 29, 2] {
        gate.clock.advance(Duration::from_secs(seconds));
        http.get(ME).await.unwrap().expect(200);
        let assertion = gate.log.last().header("x-identity").unwrap().to_owned();
        assert!(gate.verifier.assertion(&assertion).unwrap().exp >= gate.clock.now_s() + 30);
        said.push(assertion);
    }
    assert_eq!(said[0], said[1]);
    assert_ne!(said[1], said[2]);
}

#[tokio::test]
async fn roles_are_checked_by_route() {
    let gate = Gate::start().await.knowing().await;
    let allowed = |role, path: &str, answer: u16| {
        let http = gate.as_role(role);
        let path = path.to_owned();
        async move {
            let got = http.post(&path, &serde_json::json!({})).await.unwrap();
            assert_eq!(got.status, answer, "{role:?} {path}: {}", got.body);
            if answer == 403 {
                got.problem(403, "forbidden");
            }
        }
    };
    for (path, roles) in [
        ("/api/companies", [403, 200, 403, 200]),
        ("/api/products", [403, 200, 403, 200]),
        ("/api/products/7/stock", [403, 200, 403, 200]),
        ("/api/queue/7/admissions", [403, 403, 200, 200]),
        ("/api/queue/7", [200, 200, 200, 200]),
        ("/api/orders/7/cancel", [200, 200, 200, 200]),
    ] {
        for (role, answer) in
            [Role::Customer, Role::Seller, Role::Manager, Role::Admin].into_iter().zip(roles)
        {
            allowed(role, path, answer).await;
        }
    }
}

#[tokio::test]
async fn before_keys_are_known_only_what_needs_them_waits() {
    let (nobody, _held) = nowhere();
    let gate = Gate::with(|config| {
        config.trust.identity_jwks_url = nobody.to_string();
        config.trust.pass_jwks_url = nobody.to_string();
    })
    .await;
    let answer = gate.as_role(Role::Customer).get(ME).await.unwrap();
    assert_eq!(answer.headers["retry-after"], "1");
    answer.problem(503, "keys-unknown");
    gate.http.get("/.well-known/jwks.json").await.unwrap().problem(503, "keys-unknown");
    gate.http.get("/api/products").await.unwrap().expect(200);
    gate.admin.get("/readyz").await.unwrap().expect(200);
}

#[tokio::test]
async fn without_pass_keys_only_routes_with_a_pass_wait() {
    let (nobody, _held) = nowhere();
    let gate = Gate::with(|config| config.trust.pass_jwks_url = nobody.to_string()).await;
    let claims = gate.claims(Role::Customer);
    let http = gate.http.login(&gate.token(&claims)).pass(&gate.pass(&claims, 7));
    http.get(ME).await.unwrap().expect(200);
    http.get("/api/products/7").await.unwrap().problem(503, "keys-unknown");
}
