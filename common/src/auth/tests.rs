use std::time::Duration;

use super::*;
use crate::wire::id::Ticket;
use crate::wire::token::Jwks;

struct Issuers {
    user: key::SigningKey,
    queue: key::SigningKey,
    verifier: Verifier,
    clock: Clock,
}

fn signing_key() -> key::SigningKey {
    let file = std::env::temp_dir().join(format!("key-{}", uuid::Uuid::new_v4()));
    key::SigningKey::generate(&file).unwrap();
    let key = key::SigningKey::read(&file).unwrap();
    std::fs::remove_file(file).unwrap();
    key
}

fn issuers() -> Issuers {
    let (user, queue) = (signing_key(), signing_key());
    let clock = Clock::manual(chrono::DateTime::from_timestamp(1_800_000_000, 0).unwrap());
    let verifier = Verifier::new(
        KeySet::fixed(&user.jwks()).unwrap(),
        KeySet::fixed(&queue.jwks()).unwrap(),
        InternalKey::from_bytes(&[7; 32]).unwrap(),
        clock.clone(),
    );
    Issuers { user, queue, verifier, clock }
}

fn identity(clock: &Clock) -> Identity {
    let now = clock.now_s();
    Identity {
        iss: IDENTITY_ISSUER.into(),
        aud: AUDIENCE.into(),
        sub: UserId(42),
        role: Role::Customer,
        sid: SessionId::new(),
        iat: now,
        nbf: now,
        exp: now + 900,
    }
}

fn pass(identity: &Identity) -> Pass {
    Pass {
        iss: PASS_ISSUER.into(),
        aud: AUDIENCE.into(),
        sub: identity.sub,
        pid: ProductId(7),
        tkt: Ticket(3),
        sid: identity.sid,
        epoch: 0,
        jti: uuid::Uuid::new_v4(),
        iat: identity.iat,
        nbf: identity.nbf,
        exp: identity.iat + 595,
    }
}

#[tokio::test]
async fn identity_and_pass_round_trip() {
    let all = issuers();
    let who = identity(&all.clock);
    let token = all.user.sign(&who, IDENTITY_TYPE).unwrap();
    assert_eq!(all.verifier.identity(&token).await, Ok(who.clone()));
    let right = pass(&who);
    let token = all.queue.sign(&right, PASS_TYPE).unwrap();
    assert_eq!(all.verifier.pass(&token, &who).await, Ok(right));
}

#[tokio::test]
async fn a_key_counts_only_for_its_own_issuer() {
    let all = issuers();
    let forged = all.queue.sign(&identity(&all.clock), IDENTITY_TYPE).unwrap();
    assert_eq!(all.verifier.identity(&forged).await, Err(Refused::Invalid));
}

#[tokio::test]
async fn a_token_of_another_type_is_refused() {
    let all = issuers();
    let who = identity(&all.clock);
    let token = all.user.sign(&who, PASS_TYPE).unwrap();
    assert_eq!(all.verifier.identity(&token).await, Err(Refused::Invalid));
    let token = all.queue.sign(&pass(&who), IDENTITY_TYPE).unwrap();
    assert_eq!(all.verifier.pass(&token, &who).await, Err(Refused::Invalid));
}

#[tokio::test]
async fn a_pass_of_another_login_is_foreign() {
    let all = issuers();
    let who = identity(&all.clock);
    let token = all.queue.sign(&pass(&who), PASS_TYPE).unwrap();
    let other = Identity { sid: SessionId::new(), ..who };
    assert_eq!(all.verifier.pass(&token, &other).await, Err(Refused::Foreign));
}

#[tokio::test]
async fn tokens_end_after_the_leeway() {
    let all = issuers();
    let who = identity(&all.clock);
    let token = all.user.sign(&who, IDENTITY_TYPE).unwrap();
    all.clock.advance(Duration::from_secs(900 + 4));
    assert!(all.verifier.identity(&token).await.is_ok());
    all.clock.advance(Duration::from_secs(1));
    assert_eq!(all.verifier.identity(&token).await, Err(Refused::Expired));
}

#[tokio::test]
async fn a_service_role_never_comes_from_outside() {
    let all = issuers();
    let who = Identity { role: Role::Service, ..identity(&all.clock) };
    let token = all.user.sign(&who, IDENTITY_TYPE).unwrap();
    assert_eq!(all.verifier.identity(&token).await, Err(Refused::Invalid));
}

#[test]
fn an_assertion_ends_with_its_earliest_pass() {
    let all = issuers();
    let who = identity(&all.clock);
    let right = Pass { exp: all.clock.now_s() + 20, ..pass(&who) };
    let claims = all.verifier.assertion(&all.verifier.assert(&who, &[right]).unwrap()).unwrap();
    assert_eq!(claims.exp, all.clock.now_s() + 20);
    assert_eq!(claims.passes[0].pid, ProductId(7));
    let claims = all.verifier.assertion(&all.verifier.assert(&who, &[]).unwrap()).unwrap();
    assert_eq!(claims.exp, all.clock.now_s() + ASSERTION_TTL_S);
}

#[test]
fn an_assertion_of_another_key_is_refused() {
    let (ours, theirs) = (issuers(), issuers());
    let other = Verifier::new(
        KeySet::fixed(&Jwks::default()).unwrap(),
        KeySet::fixed(&Jwks::default()).unwrap(),
        InternalKey::from_bytes(&[8; 32]).unwrap(),
        theirs.clock,
    );
    let token = other.assert_service().unwrap();
    assert_eq!(ours.verifier.assertion(&token), Err(Refused::Invalid));
}

#[tokio::test]
async fn the_first_key_file_signs_and_all_are_published() {
    let folder = std::env::temp_dir().join(format!("keys-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir_all(&folder).unwrap();
    let files = ["active", "next", "retired"].map(|name| folder.join(name));
    let kids = files.each_ref().map(|file| key::SigningKey::generate(file).unwrap());
    let all = issuers();
    let who = identity(&all.clock);
    for order in [[0, 1, 2], [1, 0, 2], [2, 1, 0]] {
        let ring = key::Keyring::read(&order.map(|n| files[n].clone())).unwrap();
        let published: Vec<String> = ring.jwks().keys.into_iter().map(|key| key.kid).collect();
        assert_eq!(published, order.map(|n| kids[n].clone()));
        let token = ring.sign(&pass(&who), PASS_TYPE).unwrap();
        assert_eq!(decode_header(&token).unwrap().kid.as_ref(), Some(&kids[order[0]]));
        // What any of them signed verifies with what is published.
        let keys = KeySet::fixed(&ring.jwks()).unwrap();
        let internal = InternalKey::from_bytes(&[7; 32]).unwrap();
        let verifier =
            Verifier::new(KeySet::fixed(&Jwks::default()).unwrap(), keys, internal, all.clock.clone());
        for file in &files {
            let token = key::SigningKey::read(file).unwrap().sign(&pass(&who), PASS_TYPE).unwrap();
            assert!(verifier.pass(&token, &who).await.is_ok());
        }
    }
    let same = [files[0].clone(), files[1].clone(), files[0].clone()];
    for (wrong, why) in
        [(&[][..], "no key"), (&[folder.join("nothing")], "nothing"), (&same, "stands there twice")]
    {
        let error = format!("{:#}", key::Keyring::read(wrong).unwrap_err());
        assert!(error.contains(why), "{error}");
    }
    std::fs::remove_dir_all(folder).unwrap();
}

#[tokio::test]
async fn what_is_remembered_ends_in_time_and_is_nobody_elses() {
    let Issuers { user, verifier, clock, .. } = issuers();
    let claims = identity(&clock);
    let token = user.sign(&claims, IDENTITY_TYPE).unwrap();
    for _ in 0..2 {
        assert_eq!(verifier.identity(&token).await.unwrap(), claims);
    }
    let (body, _) = token.rsplit_once('.').unwrap();
    assert_eq!(verifier.identity(&format!("{body}.AAAA")).await, Err(Refused::Invalid));
    clock.advance(Duration::from_secs(900 + 5));
    assert_eq!(verifier.identity(&token).await, Err(Refused::Expired));
}
