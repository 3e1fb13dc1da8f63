//! Logins: what one gives, how long it lasts, and how its tokens look.

mod cookie;
pub(crate) mod http;
mod rules;
mod store;

use anyhow::Context as _;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::wire::Time;
use common::wire::id::{SessionId, UserId};
use garde::Validate;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

/// Body of `POST /api/auth/login`. What no account can have is refused like any wrong pair; only the length is
/// limited here.
#[derive(Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct LogIn {
    #[garde(length(bytes, max = 256))]
    pub(crate) login_id: String,
    #[garde(length(bytes, max = 256))]
    pub(crate) password: String,
}

/// Fields of a page's login form. Longer ones than [`LogIn`] takes belong to no account either: the answer is the same.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct LogInForm {
    pub(crate) login_id: String,
    pub(crate) password: String,
    /// Where to go on: a path of this shop.
    pub(crate) next: String,
}

/// A login that is to be stored.
pub(crate) struct Session {
    pub(crate) session_id: SessionId,
    pub(crate) user_id: UserId,
    pub(crate) refresh_token_hash: [u8; 32],
    pub(crate) created_at: Time,
    pub(crate) expires_at: Time,
}

/// A refresh token: 256 random bits, told to the client once and kept as a hash. A fast hash is enough: there is
/// nothing to guess in random bits.
pub(crate) struct RefreshToken(String);

impl RefreshToken {
    fn new() -> anyhow::Result<Self> {
        let mut bits = [0; 32];
        aws_lc_rs::rand::fill(&mut bits).ok().context("no random numbers")?;
        Ok(Self(URL_SAFE_NO_PAD.encode(bits)))
    }

    fn hash(&self) -> [u8; 32] {
        Sha256::digest(&self.0).into()
    }
}
