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
