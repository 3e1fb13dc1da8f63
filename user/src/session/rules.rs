//! Claims of an identity token.

use common::wire::Time;
use common::wire::id::{SessionId, UserId};
use common::wire::token::{AUDIENCE, IDENTITY_ISSUER, Identity, Role};

/// How long an identity token lives, in seconds. A login outlives it by its refresh token.
const IDENTITY_TTL_S: i64 = 15 * 60;

/// Who logged in, from `now` on.
pub(super) fn identity(user: UserId, role: Role, sid: SessionId, now: Time) -> Identity {
    let iat = now.timestamp();
    Identity {
        iss: IDENTITY_ISSUER.into(),
        aud: AUDIENCE.into(),
        sub: user,
        role,
        sid,
        iat,
        nbf: iat,
        exp: iat + IDENTITY_TTL_S,
    }
}

/// Whether an address to go on at leads nowhere but into this shop: a path, and not the start of another host.
pub(super) fn is_own_page(next: &str) -> bool {
    next.len() <= 512
        && next.starts_with('/')
        && !next.starts_with("//")
        && next.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'\\' && byte != b'#')
}

/// When the token with these claims ends.
pub(super) fn expires_at(identity: &Identity) -> Time {
    Time::from_timestamp(identity.exp, 0).unwrap_or(Time::MAX_UTC)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_path_of_this_shop_is_gone_on_to() {
        for next in ["/", "/queue/7/plain", "/product.html?id=7"] {
            assert!(is_own_page(next), "{next}");
        }
        let long = format!("/{}", "a".repeat(512));
        for next in [
            "",
            "queue",
            "//evil.example",
            "/\\evil.example",
            "https://evil.example",
            "/a\r\nb",
            "/a b",
            "/한",
            &long,
        ] {
            assert!(!is_own_page(next), "{next}");
        }
    }

    #[test]
    fn an_identity_lives_for_fifteen_minutes() {
        let now = Time::from_timestamp(1_800_000_000, 999_000_000).unwrap();
        let identity = identity(UserId(7), Role::Seller, SessionId::new(), now);
        assert_eq!((identity.iat, identity.nbf, identity.exp), (1_800_000_000, 1_800_000_000, 1_800_000_900));
        assert_eq!(expires_at(&identity).timestamp(), 1_800_000_900);
    }
}
