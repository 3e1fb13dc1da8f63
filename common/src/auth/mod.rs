//! Who is asking, and what were they given: signing and verifying the three credentials.
//!
//! - [`key`]: the issuers' Ed25519 keys, and the shared key inside.
//! - [`jwks`]: the issuers' public keys, fetched and kept.
//! - `denied`: logins that have ended and roles that have changed, since their tokens were made.
//! - `revoked`: passes that were taken back (feature `redis`).
//! - [`Verifier`]: identity, pass and assertion into claims. Exactly one algorithm per credential; issuer,
//!   audience, type and times are always checked; a key counts only for its own issuer.

mod denied;
pub mod jwks;
pub mod key;
#[cfg(feature = "redis")]
pub mod revoked;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, TokenData, Validation, decode_header};
use moka::sync::Cache;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest as _, Sha256};

use crate::clock::Clock;
use crate::wire::id::{ProductId, SessionId, UserId};
use crate::wire::token::{
    ASSERTION_ISSUER, ASSERTION_TTL_S, ASSERTION_TYPE, AUDIENCE, Assertion, IDENTITY_ISSUER, IDENTITY_TYPE,
    INSIDE_AUDIENCE, Identity, LEEWAY_S, PASS_ISSUER, PASS_TYPE, Pass, Right, Role,
};
use jwks::KeySet;
use key::InternalKey;

/// Tokens longer than this are refused unread, in bytes.
pub const TOKEN_MAX_BYTES: usize = 4_096;

/// Why a credential is refused. The text may be shown: it says nothing that the bearer does not know.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Not a token of this kind, or not signed by its issuer.
    #[error("the token is not valid")]
    Invalid,
    /// Its time is over.
    #[error("the token has expired")]
    Expired,
    /// Its time has not come.
    #[error("the token is not valid yet")]
    NotYet,
    /// A pass of another account or login than the identity's.
    #[error("the access token belongs to another login")]
    Foreign,
    /// A pass that was taken back.
    #[error("the access token was revoked")]
    Revoked,
    /// An identity whose login has ended.
    #[error("the login has ended")]
    LoggedOut,
    /// An identity with a role that its account has no longer.
    #[error("the account's role has changed: refresh the login")]
    RoleChanged,
    /// The issuer's keys could not be fetched, and none are known.
    #[error("the issuer's keys are not known yet")]
    NoKeys,
}

/// Identity tokens that are remembered as verified. A signature costs some 60 µs, a rush is made of the same people.
const REMEMBERED_MAX: u64 = 200_000;
/// For so long: a key that was taken away counts no longer than this.
const REMEMBERED: Duration = Duration::from_secs(60);

/// Verifies what callers bring. Clones share the keys, and what was verified.
#[derive(Debug, Clone)]
pub struct Verifier(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    identity_keys: KeySet,
    pass_keys: KeySet,
    internal: InternalKey,
    clock: Clock,
    /// By the SHA-256 of the token.
    identities: Cache<[u8; 32], Identity>,
    denied: denied::List,
}

impl Verifier {
    /// A verifier with the issuers' keys and the key inside.
    #[must_use]
    pub fn new(identity_keys: KeySet, pass_keys: KeySet, internal: InternalKey, clock: Clock) -> Self {
        let identities = Cache::builder().max_capacity(REMEMBERED_MAX).time_to_live(REMEMBERED).build();
        let denied = denied::List::default();
        Self(Arc::new(Parts { identity_keys, pass_keys, internal, clock, identities, denied }))
    }

    /// Heeds from now on which logins have ended and which roles have changed, as Redis tells.
    #[cfg(feature = "redis")]
    pub fn heed(&self, redis: crate::redis::Connections, stop: &crate::stop::Stop) {
        let follower = denied::follow::run(self.0.denied.clone(), redis, self.0.clock.clone(), stop.clone());
        stop.spawn("denied logins", follower);
    }

    /// Whether a verified identity still counts: a login may end, and a role change, before its token does.
    ///
    /// # Errors
    /// [`Refused::LoggedOut`] or [`Refused::RoleChanged`].
    pub fn still_counts(&self, identity: &Identity) -> Result<(), Refused> {
        self.0.denied.check(identity.sub, identity.role, identity.sid)
    }

    /// The identity in an `Authorization: Bearer` token. A token that was verified a moment ago is known.
    ///
    /// # Errors
    /// [`Refused`], never [`Refused::Foreign`] or [`Refused::Revoked`].
    pub async fn identity(&self, token: &str) -> Result<Identity, Refused> {
        let digest: [u8; 32] = Sha256::digest(token).into();
        if let Some(claims) = self.0.identities.get(&digest) {
            self.in_time(Some(claims.nbf), claims.exp)?;
            self.still_counts(&claims)?;
            return Ok(claims);
        }
        let claims = self.identity_afresh(token).await?;
        self.0.identities.insert(digest, claims.clone());
        Ok(claims)
    }

    /// The same, for callers who remember by themselves: until [`Self::removals`] rises.
    ///
    /// # Errors
    /// As [`Self::identity`].
    pub async fn identity_afresh(&self, token: &str) -> Result<Identity, Refused> {
        let key = self.key(token, IDENTITY_TYPE, &self.0.identity_keys).await?;
        let claims: Identity = open(token, &key, IDENTITY_ISSUER, AUDIENCE, Algorithm::EdDSA)?;
        self.in_time(Some(claims.nbf), claims.exp)?;
        if claims.role == Role::Service {
            return Err(Refused::Invalid);
        }
        self.still_counts(&claims)?;
        Ok(claims)
    }

    /// How often issuers have taken keys away: what was verified before may have been signed with one of them.
    #[must_use]
    pub fn removals(&self) -> u64 {
        self.0.identity_keys.removals() + self.0.pass_keys.removals()
    }

    /// The right in an access token, for the holder of `identity`.
    ///
    /// # Errors
    /// [`Refused`]; [`Refused::Foreign`] when it is another account's or login's. What was revoked since is not looked
    /// at here.
    pub async fn pass(&self, token: &str, identity: &Identity) -> Result<Pass, Refused> {
        let key = self.key(token, PASS_TYPE, &self.0.pass_keys).await?;
        let claims: Pass = open(token, &key, PASS_ISSUER, AUDIENCE, Algorithm::EdDSA)?;
        self.in_time(Some(claims.nbf), claims.exp)?;
        if claims.sub != identity.sub || claims.sid != identity.sid {
            return Err(Refused::Foreign);
        }
        Ok(claims)
    }

    /// What the gateway, or another service, says it verified.
    ///
    /// # Errors
    /// [`Refused::Invalid`], [`Refused::Expired`], [`Refused::LoggedOut`] or [`Refused::RoleChanged`].
    pub fn assertion(&self, token: &str) -> Result<Assertion, Refused> {
        head(token, ASSERTION_TYPE, Algorithm::HS256)?;
        let claims: Assertion =
            open(token, &self.0.internal.decoding, ASSERTION_ISSUER, INSIDE_AUDIENCE, Algorithm::HS256)?;
        self.in_time(None, claims.exp)?;
        self.0.denied.check(claims.sub, claims.role, claims.sid)?;
        Ok(claims)
    }

    /// Signs what was verified of a request, for the services behind.
    ///
    /// # Errors
    /// When signing fails, which a valid key never does.
    pub fn assert(&self, identity: &Identity, passes: &[Pass]) -> anyhow::Result<String> {
        let now = self.0.clock.now_s();
        let ends = passes.iter().map(|pass| pass.exp).chain([identity.exp, now + ASSERTION_TTL_S]);
        self.sign_assertion(Assertion {
            iss: ASSERTION_ISSUER.into(),
            aud: INSIDE_AUDIENCE.into(),
            sub: identity.sub,
            role: identity.role,
            sid: identity.sid,
            passes: passes.iter().map(Right::from).collect(),
            until: identity.exp,
            iat: now,
            exp: ends.min().unwrap_or(now),
        })
    }

    /// Signs a caller on, for a call to another service in their name. Passes stay behind.
    ///
    /// # Errors
    /// When signing fails, which a valid key never does.
    pub fn assert_caller(&self, caller: &Caller) -> anyhow::Result<String> {
        let now = self.0.clock.now_s();
        self.sign_assertion(Assertion {
            iss: ASSERTION_ISSUER.into(),
            aud: INSIDE_AUDIENCE.into(),
            sub: caller.user,
            role: caller.role,
            sid: caller.sid,
            passes: Vec::new(),
            until: caller.until,
            iat: now,
            exp: caller.until.min(now + ASSERTION_TTL_S),
        })
    }

    /// Signs a service's own call to another service: role [`Role::Service`], no account.
    ///
    /// # Errors
    /// When signing fails, which a valid key never does.
    pub fn assert_service(&self) -> anyhow::Result<String> {
        let now = self.0.clock.now_s();
        self.sign_assertion(Assertion {
            iss: ASSERTION_ISSUER.into(),
            aud: INSIDE_AUDIENCE.into(),
            sub: UserId(0),
            role: Role::Service,
            sid: SessionId(uuid::Uuid::nil()),
            passes: Vec::new(),
            until: now + ASSERTION_TTL_S,
            iat: now,
            exp: now + ASSERTION_TTL_S,
        })
    }

    fn sign_assertion(&self, claims: Assertion) -> anyhow::Result<String> {
        sign(&claims, ASSERTION_TYPE, None, &self.0.internal.encoding, Algorithm::HS256)
    }

    async fn key(&self, token: &str, kind: &str, keys: &KeySet) -> Result<DecodingKey, Refused> {
        let header = head(token, kind, Algorithm::EdDSA)?;
        let kid = header.kid.ok_or(Refused::Invalid)?;
        keys.key(&kid).await
    }

    fn in_time(&self, nbf: Option<i64>, exp: i64) -> Result<(), Refused> {
        let now = self.0.clock.now_s();
        if exp + LEEWAY_S <= now {
            return Err(Refused::Expired);
        }
        if nbf.is_some_and(|nbf| nbf > now + LEEWAY_S) {
            return Err(Refused::NotYet);
        }
        Ok(())
    }
}

/// Who is calling a service, whichever way it was proved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// The account.
    pub user: UserId,
    /// Its role.
    pub role: Role,
    /// The login.
    pub sid: SessionId,
    /// Products this login may see and order now.
    pub passes: Vec<Right>,
    /// When the login's token ends, in seconds since 1970.
    pub until: i64,
}

impl Caller {
    /// The right to a product, when the caller holds one.
    #[must_use]
    pub fn right(&self, product: ProductId) -> Option<&Right> {
        self.passes.iter().find(|right| right.pid == product)
    }
}

impl From<Assertion> for Caller {
    fn from(claims: Assertion) -> Self {
        let Assertion { sub: user, role, sid, passes, until, .. } = claims;
        Self { user, role, sid, passes, until }
    }
}

/// Signs claims as a JWT.
///
/// # Errors
/// When signing fails, which a valid key never does.
pub fn sign<T: Serialize>(
    claims: &T,
    kind: &str,
    kid: Option<&str>,
    key: &EncodingKey,
    algorithm: Algorithm,
) -> anyhow::Result<String> {
    let mut header = Header::new(algorithm);
    header.typ = Some(kind.into());
    header.kid = kid.map(Into::into);
    Ok(jsonwebtoken::encode(&header, claims, key)?)
}

/// Reads a token's header and refuses what no issuer here ever writes.
fn head(token: &str, kind: &str, algorithm: Algorithm) -> Result<Header, Refused> {
    if token.len() > TOKEN_MAX_BYTES {
        return Err(Refused::Invalid);
    }
    let header = decode_header(token).map_err(|_| Refused::Invalid)?;
    let foreign =
        header.jku.is_some() || header.jwk.is_some() || header.x5u.is_some() || header.x5c.is_some();
    // What has to be understood (RFC 7515 §4.1.11) and is not, and what would have to be done to the body first.
    let foreign = foreign || header.crit.is_some() || header.enc.is_some() || header.zip.is_some();
    if header.alg != algorithm || header.typ.as_deref() != Some(kind) || foreign {
        return Err(Refused::Invalid);
    }
    Ok(header)
}

fn open<T: DeserializeOwned + Clone>(
    token: &str,
    key: &DecodingKey,
    issuer: &str,
    audience: &str,
    algorithm: Algorithm,
) -> Result<T, Refused> {
    let mut rules = Validation::new(algorithm);
    rules.set_issuer(&[issuer]);
    rules.set_audience(&[audience]);
    rules.required_spec_claims =
        ["iss", "aud", "sub", "exp"].map(String::from).into_iter().collect::<HashSet<_>>();
    // Times are compared by the verifier, with the service's clock and one leeway.
    rules.validate_exp = false;
    rules.validate_nbf = false;
    let TokenData { claims, .. } = jsonwebtoken::decode(token, key, &rules).map_err(|_| Refused::Invalid)?;
    Ok(claims)
}

#[cfg(test)]
mod tests;
