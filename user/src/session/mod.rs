//! Logins: what one gives, how long it lasts, how it goes on, and how it ends.
//!
//! A login is a row, named by the `sid` of its identity tokens. It goes on by refresh tokens, each good for one use,
//! and ends by logout, by its owner from elsewhere, by a new password, by the account's end, by the use of a token
//! that was used before, or by 30 days without use. Whoever ends one writes a `crate::change`.

mod cookie;
pub(crate) mod http;
mod rules;
pub(crate) mod store;

use anyhow::Context as _;
use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::wire::Time;
use common::wire::id::{SessionId, UserId};
use common::wire::token::Role;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

pub(crate) use rules::IDENTITY_TTL_S;

/// Logins of one account at once; one more ends the one that was used longest ago.
pub(crate) const PER_ACCOUNT_MAX: i64 = 50;

/// Fields of a page's login form. Longer ones than [`LogIn`](common::wire::user::LogIn) takes belong to no account
/// either: the answer is the same.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct LogInForm {
    pub(crate) login_id: String,
    pub(crate) password: String,
    /// Where to go on: a path of this shop.
    pub(crate) next: String,
}

/// A login that is to be stored.
pub(crate) struct NewSession {
    pub(crate) session_id: SessionId,
    pub(crate) user_id: UserId,
    pub(crate) token: RefreshToken,
    pub(crate) salt: [u8; 32],
    pub(crate) user_agent: String,
    pub(crate) created_at: Time,
    pub(crate) expires_at: Time,
    /// As it was when the password was checked.
    pub(crate) password_changed_at: Time,
}

/// A login as it is stored, with its account's present role.
pub(crate) struct Session {
    pub(crate) session_id: SessionId,
    pub(crate) user_id: UserId,
    pub(crate) role: Role,
    pub(crate) token_hash: Vec<u8>,
    pub(crate) used_hash: Option<Vec<u8>>,
    pub(crate) salt: Vec<u8>,
    pub(crate) used_at: Time,
    pub(crate) expires_at: Time,
}

/// A refresh token: 128 random bits that all tokens of a login share, its family, and 128 that are new with every
/// use. It is told to the client once and kept as a hash. A fast hash is enough: there is nothing to guess in random
/// bits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RefreshToken([u8; 32]);

const FAMILY_BYTES: usize = 16;

impl RefreshToken {
    /// The first one of a login.
    fn new() -> anyhow::Result<Self> {
        random().map(Self)
    }

    /// Reads what a client sent.
    fn read(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// As the client gets it: 43 characters.
    fn text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    fn family_hash(&self) -> Vec<u8> {
        Sha256::digest(&self.0[..FAMILY_BYTES]).to_vec()
    }

    fn hash(&self) -> Vec<u8> {
        Sha256::digest(self.0).to_vec()
    }

    /// The token that follows this one: always the same for the same salt, and out of reach for whoever has only one
    /// of the two.
    fn next(&self, salt: &[u8]) -> Self {
        let mac = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, salt), &self.0);
        let mut next = self.0;
        next[FAMILY_BYTES..].copy_from_slice(&mac.as_ref()[..32 - FAMILY_BYTES]);
        Self(next)
    }
}

fn random() -> anyhow::Result<[u8; 32]> {
    let mut bits = [0; 32];
    aws_lc_rs::rand::fill(&mut bits).ok().context("no random numbers")?;
    Ok(bits)
}
