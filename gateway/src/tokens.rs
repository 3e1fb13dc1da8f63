//! Logins, access tokens and assertions: verified or signed once, then known until they end.
//!
//! A signature costs some 60 µs, a look-up under 1 µs; a shopper sends the same token with every request.

use std::sync::{Arc, Mutex, PoisonError};

use common::auth::revoked::Revoked;
use common::auth::{Refused, Verifier};
use common::clock::Clock;
use common::wire::token::{ASSERTION_TTL_S, Identity, Pass, Right};
use http::HeaderValue;

use crate::cache::Cache;

/// An assertion goes out again while it lives at least this long: longer than any request is in the house.
const ASSERTION_LEFT_S: i64 = 30;

/// Verifies and remembers. Made once, shared by the layers.
#[derive(Debug)]
pub struct Tokens {
    verifier: Verifier,
    revoked: Revoked,
    clock: Clock,
    logins: Cache<Arc<Proved<Identity>>>,
    passes: Cache<Arc<Proved<Pass>>>,
}

/// What a token proved.
#[derive(Debug)]
pub struct Proved<T> {
    /// Its claims.
    pub claims: T,
    /// From then on it proves nothing, in seconds since 1970.
    ends_s: i64,
    /// How often an issuer had taken keys away by then.
    removals: u64,
    /// What was last said of it inside, and until when that may be said again.
    assertion: Mutex<Option<(HeaderValue, i64)>>,
}

impl<T> Proved<T> {
    fn new(claims: T, ends_s: i64, removals: u64) -> Self {
        Self { claims, ends_s, removals, assertion: Mutex::default() }
    }

    /// What was said of it, where it may be said again.
    fn said(&self, now: i64) -> Option<HeaderValue> {
        let said = self.assertion.lock().unwrap_or_else(PoisonError::into_inner);
        said.as_ref().filter(|(_, until)| now < *until).map(|(assertion, _)| assertion.clone())
    }
}

impl Tokens {
    /// Remembers at most about `max` logins, and as many passes.
    #[must_use]
    pub fn new(verifier: Verifier, revoked: Revoked, clock: Clock, max: usize) -> Self {
        Self { verifier, revoked, clock, logins: Cache::new(max), passes: Cache::new(max) }
    }

    /// The login that an identity token proves, where it is known already.
    #[must_use]
    pub fn known(&self, token: &str) -> Option<Arc<Proved<Identity>>> {
        let login = self.logins.get(token)?;
        // What is remembered is the signature, not that the login still counts.
        let counts = self.clock.now_s() < login.ends_s
            && login.removals == self.verifier.removals()
            && self.verifier.still_counts(&login.claims).is_ok();
        counts.then_some(login)
    }

    /// The login that an identity token proves.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn login(&self, token: &str) -> Result<Arc<Proved<Identity>>, Refused> {
        if let Some(login) = self.known(token) {
            return Ok(login);
        }
        // Before it is verified: a key that goes meanwhile may have been the one.
        let removals = self.verifier.removals();
        let claims = self.verifier.identity_afresh(token).await?;
        let ends_s = claims.exp;
        let login = Arc::new(Proved::new(claims, ends_s, removals));
        self.logins.put(token, Arc::clone(&login));
        Ok(login)
    }

    /// The right that an access token proves for this login, and that was not revoked.
    ///
    /// # Errors
    /// [`Refused`].
    pub async fn pass(&self, token: &str, login: &Identity) -> Result<Arc<Proved<Pass>>, Refused> {
        let pass = self.verified(token, login).await?;
        // Every time: what is remembered is the signature, not that the right still counts, nor for whom.
        if pass.claims.sub != login.sub || pass.claims.sid != login.sid {
            return Err(Refused::Foreign);
        }
        self.revoked.check(&Right::from(&pass.claims)).await?;
        Ok(pass)
    }

    async fn verified(&self, token: &str, login: &Identity) -> Result<Arc<Proved<Pass>>, Refused> {
        let removals = self.verifier.removals();
        let known = self.passes.get(token);
        let counts = |pass: &Arc<Proved<Pass>>| self.clock.now_s() < pass.ends_s && pass.removals == removals;
        if let Some(pass) = known.filter(counts) {
            return Ok(pass);
        }
        let claims = self.verifier.pass(token, login).await?;
        let ends_s = claims.exp;
        let pass = Arc::new(Proved::new(claims, ends_s, removals));
        self.passes.put(token, Arc::clone(&pass));
        Ok(pass)
    }

    /// The assertion of a request that nobody's login speaks for: that it, and what it says of the client, comes from
    /// the gateway.
    ///
    /// # Errors
    /// When signing fails, which a valid key never does.
    pub fn word(&self) -> anyhow::Result<HeaderValue> {
        let mut assertion = HeaderValue::try_from(self.verifier.assert_service()?)?;
        assertion.set_sensitive(true);
        Ok(assertion)
    }

    /// The assertion for the services behind.
    ///
    /// # Errors
    /// When signing fails, which a valid key never does.
    pub fn vouch(
        &self,
        login: &Proved<Identity>,
        passes: &[Arc<Proved<Pass>>],
    ) -> anyhow::Result<HeaderValue> {
        let now = self.clock.now_s();
        // A pass belongs to one login, so what is said of it says everything. Of several at once, it is said anew.
        let kept = match passes {
            [] => Some(&login.assertion),
            [one] => Some(&one.assertion),
            _ => None,
        };
        let said = match passes {
            [] => login.said(now),
            [one] => one.said(now),
            _ => None,
        };
        if let Some(assertion) = said {
            return Ok(assertion);
        }
        let claims: Vec<Pass> = passes.iter().map(|pass| pass.claims.clone()).collect();
        let mut assertion = HeaderValue::try_from(self.verifier.assert(&login.claims, &claims)?)?;
        assertion.set_sensitive(true);
        if let Some(kept) = kept {
            let ends =
                claims.iter().map(|pass| pass.exp).chain([login.claims.exp, now + ASSERTION_TTL_S]).min();
            let until = ends.unwrap_or(now) - ASSERTION_LEFT_S;
            *kept.lock().unwrap_or_else(PoisonError::into_inner) = Some((assertion.clone(), until));
        }
        Ok(assertion)
    }
}
