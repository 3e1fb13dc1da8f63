//! Claims of an identity token, and what becomes of a refresh token.

use std::time::Duration;

use common::wire::Time;
use common::wire::id::{SessionId, UserId};
use common::wire::token::{AUDIENCE, IDENTITY_ISSUER, Identity, Role};

use super::{RefreshToken, Session};

/// How long an identity token lives, in seconds. A login outlives it by its refresh token.
pub(crate) const IDENTITY_TTL_S: i64 = 15 * 60;

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

/// How long the token used last still gives what it gave: an answer may be lost, and two tabs of a browser ask at once.
const GRACE: Duration = Duration::from_secs(10);

/// What becomes of a refresh token.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the one to be used: the next one takes its place.
    Next,
    /// It was used a moment ago: the token that it gave then, once more.
    Again(RefreshToken),
    /// It was used before, by its owner or by somebody else: nobody can tell, so the login ends.
    Reused,
    /// The login has ended by not being used.
    Over,
}

/// Judges a token of the session's family.
pub(super) fn judge(session: &Session, token: &RefreshToken, now: Time) -> Verdict {
    let hash = token.hash();
    if session.expires_at <= now {
        return Verdict::Over;
    }
    if session.token_hash == hash {
        return Verdict::Next;
    }
    if session.used_hash.as_ref() == Some(&hash) && now <= session.used_at + GRACE {
        return Verdict::Again(token.next(&session.salt));
    }
    Verdict::Reused
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
    fn a_refresh_token_is_good_once_and_for_a_moment_again() {
        let (start, first) = (Time::from_timestamp(1_800_000_000, 0).unwrap(), RefreshToken::new().unwrap());
        let second = first.next(&[1; 32]);
        let third = second.next(&[2; 32]);
        assert_eq!(first.family_hash(), third.family_hash());
        let session = Session {
            session_id: SessionId::new(),
            user_id: UserId(7),
            role: Role::Customer,
            token_hash: third.hash(),
            used_hash: Some(second.hash()),
            salt: vec![2; 32],
            used_at: start,
            expires_at: start + Duration::from_secs(3_600),
        };
        let judged =
            |token: &RefreshToken, after_s| judge(&session, token, start + Duration::from_secs(after_s));
        assert_eq!(judged(&third, 3_599), Verdict::Next);
        assert_eq!(judged(&third, 3_600), Verdict::Over);
        assert_eq!(judged(&second, 10), Verdict::Again(third.clone()));
        assert_eq!(judged(&second, 11), Verdict::Reused);
        assert_eq!(judged(&first, 0), Verdict::Reused);
        assert_eq!(judged(&third.next(&[3; 32]), 0), Verdict::Reused, "no token that was ever given");
    }

    #[test]
    fn the_next_token_takes_both_the_last_one_and_the_salt() {
        let token = RefreshToken::new().unwrap();
        let next = token.next(&[1; 32]);
        assert_eq!(token.next(&[1; 32]), next);
        assert_ne!(token.next(&[2; 32]), next);
        assert_ne!(RefreshToken::new().unwrap().next(&[1; 32]), next);
        assert_eq!(RefreshToken::read(&next.text()), Some(next.clone()));
        for bad in ["", "x", &next.text()[1..], &format!("{}=", next.text()), &"é".repeat(43)] {
            assert_eq!(RefreshToken::read(bad), None, "{bad}");
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
