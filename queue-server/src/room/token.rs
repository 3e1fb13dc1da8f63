//! The access token: what a shopper who was let in shows at the shop's door.

use common::auth::Caller;
use common::auth::key::Keyring;
use common::wire::Time;
use common::wire::id::ProductId;
use common::wire::queue::TokenView;
use common::wire::token::{AUDIENCE, LEEWAY_S, PASS_ISSUER, PASS_TYPE, Pass};

use super::rules;
use super::store::Admission;

/// Signs the right of an admission for the caller's login. Issued again it is the same right: only the time of issue and,
/// from another login, the `sid` differ.
///
/// All times are the room's: an instance whose own clock is wrong issues the same tokens as the others.
pub(crate) fn issue(
    keys: &Keyring,
    product: ProductId,
    admission: &Admission,
    caller: &Caller,
    now_ms: i64,
) -> anyhow::Result<TokenView> {
    let (now, exp) = (now_ms.div_euclid(1_000), ends_s(admission));
    let claims = Pass {
        iss: PASS_ISSUER.into(),
        aud: AUDIENCE.into(),
        sub: caller.user,
        pid: product,
        tkt: admission.ticket,
        sid: caller.sid,
        epoch: admission.epoch,
        jti: admission.jti,
        iat: now,
        nbf: now,
        exp,
    };
    let expires_at: Time = rules::time(exp * 1_000);
    Ok(TokenView { token: keys.sign(&claims, PASS_TYPE)?, expires_at })
}

/// A clock that differs by the leeway still refuses the token when the admission is over.
fn ends_s(admission: &Admission) -> i64 {
    admission.ends.div_euclid(1_000) - LEEWAY_S
}
