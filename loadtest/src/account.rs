//! Logins of prepared shoppers, signed with the development key: hashing thousands of passwords is not what a
//! rush measures.

use std::ops::Range;

use anyhow::ensure;
use common::auth::key::SigningKey;
use common::clock::Clock;
use common::wire::id::{SessionId, UserId};
use common::wire::token::{AUDIENCE, IDENTITY_ISSUER, IDENTITY_TYPE, Identity, Role};

use crate::stack::Stack;

/// Life of an identity token, in seconds: what the user service gives too.
const LIFE_S: i64 = 900;

/// A login.
#[derive(Debug, Clone)]
pub(crate) struct Login {
    /// The account.
    pub(crate) user: UserId,
    /// The session.
    pub(crate) sid: SessionId,
    /// The identity token.
    pub(crate) token: String,
}

/// Signs a login, with a session of its own, for each of the first `count` prepared shoppers.
pub(crate) fn logins(stack: &Stack, count: usize, clock: &Clock) -> anyhow::Result<Vec<Login>> {
    stack.has_shoppers(count)?;
    numbered(stack, 0..count, clock)
}

/// The same for any run of numbers, 0 the first prepared shopper. The waiting room knows people by their tokens alone:
/// there may be more of them than accounts.
pub(crate) fn numbered(stack: &Stack, numbers: Range<usize>, clock: &Clock) -> anyhow::Result<Vec<Login>> {
    let key = SigningKey::read(&stack.dev_keys.identity)?;
    ensure!(key.kid() == stack.dev_keys.kid, "the development key is not the one that stack.json names");
    let now = clock.now_s();
    let users = (stack.shoppers.first_user_id..).skip(numbers.start).take(numbers.len());
    let login = |user| {
        let claims = Identity {
            iss: IDENTITY_ISSUER.into(),
            aud: AUDIENCE.into(),
            sub: UserId(user),
            role: Role::Customer,
            sid: SessionId::new(),
            iat: now,
            nbf: now,
            exp: now + LIFE_S,
        };
        let token = key.sign(&claims, IDENTITY_TYPE)?;
        Ok(Login { user: claims.sub, sid: claims.sid, token })
    };
    users.map(login).collect()
}
