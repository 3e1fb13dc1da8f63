//! Logins of prepared shoppers, signed with the development key: hashing thousands of passwords is not what a
//! rush measures.

use std::ops::Range;

use anyhow::ensure;
use common::auth::key::SigningKey;
use common::clock::Clock;
use common::wire::id::{ProductId, SessionId, Ticket, UserId};
use common::wire::token::{
    AUDIENCE, IDENTITY_ISSUER, IDENTITY_TYPE, Identity, PASS_ISSUER, PASS_TYPE, Pass, Role,
};
use uuid::Uuid;

use crate::stack::Stack;

/// Life of an identity token, in seconds: what the user service gives too.
const LIFE_S: i64 = 900;
/// Life of an access token, in seconds: that of the default admission.
const PASS_LIFE_S: i64 = 595;

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

/// Signs an access token for a product, with the ticket of that number.
pub(crate) fn pass(
    key: &SigningKey,
    product: ProductId,
    login: &Login,
    ticket: i64,
) -> anyhow::Result<String> {
    let now = Clock::system().now_s();
    let claims = Pass {
        iss: PASS_ISSUER.into(),
        aud: AUDIENCE.into(),
        sub: login.user,
        pid: product,
        tkt: Ticket(ticket),
        sid: login.sid,
        epoch: 0,
        jti: Uuid::new_v4(),
        iat: now,
        nbf: now,
        exp: now + PASS_LIFE_S,
    };
    key.sign(&claims, PASS_TYPE)
}
