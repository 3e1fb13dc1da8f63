//! Access tokens: what they are bound to, how they are taken back, and how their key is changed.

use common::auth::Verifier;
use common::auth::jwks::KeySet;
use common::auth::key::{InternalKey, SigningKey};
use common::auth::revoked::Revoked;
use common::wire::id::{ProductId, UserId};
use common::wire::token::{Identity, Jwks, Pass, Right, Role};
use serde_json::json;
use testkit::client::{Answer, Http};

use crate::shop::{ROOM, SOON, Shop, sale_of};

/// The pass in an answer, read with the login it is for.
async fn pass_in(shop: &Shop, login: &str, answer: Answer) -> (Identity, Pass) {
    let identity = shop.verifier().identity(login).await.unwrap();
    let token = answer.body["token"].as_str().expect("an answer with a token").to_owned();
    let pass = shop.verifier().pass(&token, &identity).await.unwrap();
    (identity, pass)
}

/// Joins, is let in straight, and holds a pass.
async fn admitted(shop: &Shop, user: i64) -> Pass {
    let login = shop.token(user, Role::Customer);
    let answer = shop.anybody().login(&login).post(ROOM, &json!({})).await.unwrap().expect(200);
    assert_eq!(answer.body["state"], "admitted", "{}", answer.body);
    pass_in(shop, &login, answer).await.1
}

/// Whether a pass counts for those who read what the rooms wrote.
async fn counts(shop: &Shop, pass: &Pass) -> bool {
    Revoked::new(shop.redis.clone()).check(&Right::from(pass)).await.is_ok()
}

#[tokio::test]
async fn every_way_to_the_token_gives_the_same_right_bound_to_the_login_that_asks() {
    let shop = Shop::open().await;
    shop.sell(&sale_of(10), 10).await;
    let first = admitted(&shop, 1).await;
    assert_eq!((first.sub, first.pid, first.epoch), (UserId(1), ProductId(7), 0));
    let token = format!("{ROOM}/token");
    let (phone, laptop) = (shop.token(1, Role::Customer), shop.token(1, Role::Customer));
    for login in [&phone, &laptop] {
        let http = shop.anybody().login(login);
        for answer in [
            http.get(ROOM).await.unwrap(),
            http.post(ROOM, &json!({})).await.unwrap(),
            http.post(&token, &json!({})).await.unwrap(),
        ] {
            let (identity, pass) = pass_in(&shop, login, answer.expect(200)).await;
            let same = |pass: &Pass| (pass.sub, pass.tkt, pass.jti, pass.exp, pass.epoch);
            assert_eq!((same(&pass), pass.sid), (same(&first), identity.sid));
        }
    }
}

#[tokio::test]
async fn revoked_passes_are_void_and_those_given_after_count() {
    let shop = Shop::open().await;
    shop.sell(&sale_of(10), 10).await;
    let revoke = format!("{ROOM}/revoke");
    let [one, two] = [admitted(&shop, 1).await, admitted(&shop, 2).await];
    assert!(counts(&shop, &one).await && counts(&shop, &two).await);

    shop.manager().post(&revoke, &json!({"userId": 1, "why": "a test"})).await.unwrap().expect(200);
    assert!(!counts(&shop, &one).await && counts(&shop, &two).await, "one alone");
    let again = admitted(&shop, 1).await;
    assert_eq!(again.epoch, 0);
    assert!(again.tkt > one.tkt && again.jti != one.jti, "another right");
    assert!(counts(&shop, &again).await);

    shop.manager().post(&revoke, &json!({"why": "a test"})).await.unwrap().expect(200);
    for void in [&one, &two, &again] {
        assert!(!counts(&shop, void).await, "all");
    }
    assert_eq!(shop.place(2).await.body["state"], "expired");
    let after = admitted(&shop, 2).await;
    assert_eq!(after.epoch, 1);
    assert!(counts(&shop, &after).await);
    let other = Pass { pid: ProductId(8), epoch: 0, ..one };
    assert!(counts(&shop, &other).await, "another product's");
}

#[tokio::test]
async fn while_the_key_is_changed_tokens_of_both_keys_verify_everywhere() {
    let shop = Shop::open().await;
    shop.sell(&sale_of(10), 10).await;
    let (old, next) =
        (shop.config.pass_key_files[0].clone(), shop.config.pass_key_files[0].with_extension("next"));
    SigningKey::generate(&next).unwrap();
    // Replicas start again one after the other: some still sign with the old key.
    let rings = [vec![old.clone(), next.clone()], vec![next.clone(), old.clone()]];
    let mut replicas = Vec::new();
    for (number, ring) in (2..).zip(rings) {
        let instance = format!("queue-server-{number}");
        replicas.push(shop.another_with(&instance, |config| config.pass_key_files = ring).await);
    }
    let login = shop.token(1, Role::Customer);
    let identity = shop.verifier().identity(&login).await.unwrap();
    for (by, file) in replicas.iter().zip([&old, &next]) {
        let answer = asked(&by.login(&login)).await;
        let token = answer.body["token"].as_str().unwrap();
        let own = SigningKey::read(file).unwrap().jwks();
        assert!(knowing(&shop, &own).pass(token, &identity).await.is_ok(), "the first key signs");
        for published in &replicas {
            let jwks: Jwks = published.get("/.well-known/jwks.json").await.unwrap().expect(200).body();
            assert_eq!(jwks.keys.len(), 2);
            assert!(knowing(&shop, &jwks).pass(token, &identity).await.is_ok());
        }
    }
}

/// A verifier that knows these keys of access tokens alone.
fn knowing(shop: &Shop, jwks: &Jwks) -> Verifier {
    Verifier::new(
        KeySet::fixed(&Jwks::default()).unwrap(),
        KeySet::fixed(jwks).unwrap(),
        InternalKey::from_bytes(&[0; 32]).unwrap(),
        shop.config.clock.clone(),
    )
}

/// The place of a shopper who is let in, once the instance knows the issuer's keys.
async fn asked(http: &Http) -> Answer {
    testkit::eventually(SOON, async || {
        let answer = http.post(ROOM, &json!({})).await?;
        anyhow::ensure!(answer.status == 200, "{}", answer.body);
        Ok(answer)
    })
    .await
}
