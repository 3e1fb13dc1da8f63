//! Logins, access tokens and assertions: verified or signed once, then known by digest until they end.
//!
//! A signature costs some 60 µs, a look-up under 1 µs; a shopper sends the same token with every request.

use std::sync::Arc;

use common::auth::revoked::Revoked;
use common::auth::{Refused, Verifier};
use common::clock::Clock;
use common::wire::token::{ASSERTION_TTL_S, Identity, Pass, Right};
use http::HeaderValue;
use sha2::{Digest as _, Sha256};

use crate::cache::Cache;
use crate::call::Proved;

/// SHA-256 of a token, together with whatever its validity depends on.
pub type Digest = [u8; 32];

/// An assertion goes out again while it lives at least this long: longer than any request is in the house.
const ASSERTION_LEFT_S: i64 = 30;

/// Verifies and remembers. Made once, shared by the layers.
#[derive(Debug)]
pub struct Tokens {
    verifier: Verifier,
    revoked: Revoked,
    clock: Clock,
    logins: Cache<Arc<Identity>>,
    passes: Cache<Arc<Pass>>,
    assertions: Cache<HeaderValue>,
}

impl Tokens {
    /// Remembers at most about `max` of each kind.
    #[must_use]
    pub fn new(verifier: Verifier, revoked: Revoked, clock: Clock, max: usize) -> Self {
        Self {
            verifier,
            revoked,
            clock,
            logins: Cache::new(max),
            passes: Cache::new(max),
            assertions: Cache::new(max),
        }
    }

    /// The login that an identity token proves.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn login(&self, token: &str) -> Result<Proved<Identity>, Refused> {
        let digest = Sha256::digest(token).into();
        if let Some(claims) = self.logins.get(&digest, self.clock.now_s()) {
            return Ok(Proved { claims, digest });
        }
        let claims = Arc::new(self.verifier.identity(token).await?);
        self.logins.put(digest, Arc::clone(&claims), claims.exp);
        Ok(Proved { claims, digest })
    }

    /// The right that an access token proves for this login, and that was not revoked.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn pass(&self, token: &str, login: &Proved<Identity>) -> Result<Proved<Pass>, Refused> {
        let pass = self.verified(token, login).await?;
        // Every time: what is remembered is the signature, not that the right still counts.
        self.revoked.check(&Right::from(&*pass.claims)).await?;
        Ok(pass)
    }

    async fn verified(&self, token: &str, login: &Proved<Identity>) -> Result<Proved<Pass>, Refused> {
        // A pass is valid with its own login only: the digest covers both.
        let digest = Sha256::new().chain_update(login.digest).chain_update(token).finalize().into();
        if let Some(claims) = self.passes.get(&digest, self.clock.now_s()) {
            return Ok(Proved { claims, digest });
        }
        let claims = Arc::new(self.verifier.pass(token, &login.claims).await?);
        self.passes.put(digest, Arc::clone(&claims), claims.exp);
        Ok(Proved { claims, digest })
    }

    /// The assertion for the services behind.
    ///
    /// # Errors
    /// When signing fails, which a valid key never does.
    pub fn vouch(&self, login: &Proved<Identity>, passes: &[Proved<Pass>]) -> anyhow::Result<HeaderValue> {
        let digest = match passes {
            [] => login.digest,
            passes => {
                let start = Sha256::new().chain_update(login.digest);
                passes.iter().fold(start, |hash, pass| hash.chain_update(pass.digest)).finalize().into()
            }
        };
        let now = self.clock.now_s();
        if let Some(assertion) = self.assertions.get(&digest, now) {
            return Ok(assertion);
        }
        let claims: Vec<Pass> = passes.iter().map(|pass| Pass::clone(&pass.claims)).collect();
        let mut assertion = HeaderValue::try_from(self.verifier.assert(&login.claims, &claims)?)?;
        assertion.set_sensitive(true);
        let ends = claims.iter().map(|pass| pass.exp).chain([login.claims.exp, now + ASSERTION_TTL_S]).min();
        self.assertions.put(digest, assertion.clone(), ends.unwrap_or(now) - ASSERTION_LEFT_S);
        Ok(assertion)
    }
}
