//! What the fields of an account may hold.
//!
//! No text may hold control characters: PostgreSQL cannot store NUL, and nobody wants the rest on a parcel.

use super::super::token::Role;
use super::OpenRole;

/// `[a-z0-9]{4,10}`.
#[must_use]
pub fn is_login_id(text: &str) -> bool {
    (4..=10).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit())
}

pub(super) fn login_id(text: &str, (): &()) -> garde::Result {
    check(is_login_id(text), "4 to 10 of a-z and 0-9")
}

/// ASCII only: other letters have several spellings in Unicode, and a keyboard that picks another one than at
/// sign-up would lock its owner out.
pub(super) fn password(text: &str, (): &()) -> garde::Result {
    let printable = text.bytes().all(|b| b == b' ' || b.is_ascii_graphic());
    let letter = text.bytes().any(|b| b.is_ascii_alphabetic());
    let digit = text.bytes().any(|b| b.is_ascii_digit());
    let held = (8..=64).contains(&text.len()) && printable && letter && digit;
    check(held, "8 to 64 printable ASCII characters with at least one letter and one digit")
}

pub(super) fn phone_number(text: &str, (): &()) -> garde::Result {
    let held = (7..=20).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'+' | b'-'))
        && text.bytes().any(|b| b.is_ascii_digit());
    check(held, "7 to 20 digits, + and -")
}

/// 1 to `MAX` characters that can be stored and read.
///
/// # Errors
/// When it holds others.
pub fn text<const MAX: usize>(text: &str, (): &()) -> garde::Result {
    if text.trim().is_empty() || text.chars().count() > MAX {
        return Err(garde::Error::new(format!("1 to {MAX} characters, not only blanks")));
    }
    check(!text.chars().any(char::is_control), "no control characters")
}

pub(super) fn role(role: &Option<OpenRole>, (): &()) -> garde::Result {
    check(role.is_some(), "CUSTOMER or SELLER")
}

/// Services are no accounts.
///
/// # Errors
/// When it is one.
pub fn person(role: &Role, (): &()) -> garde::Result {
    check(*role != Role::Service, "CUSTOMER, SELLER, MANAGER or ADMIN")
}

fn check(held: bool, rule: &str) -> garde::Result {
    if held { Ok(()) } else { Err(garde::Error::new(rule)) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn login_ids() {
        for good in ["abcd", "0000", "shopper", "a123456789"] {
            assert!(login_id(good, &()).is_ok(), "{good}");
        }
        for bad in ["", "abc", "a1234567890", "Abcd", "ab-cd", "ab cd", "ábcd", "abcd\n", "abcd\0"] {
            assert!(login_id(bad, &()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn passwords() {
        let longest = format!("{}1", "a".repeat(63));
        for good in ["abcdefg1", "1234567a", "correct horse 1", "!@#$%^&*a1", longest.as_str()] {
            assert!(password(good, &()).is_ok(), "{good}");
        }
        let too_long = format!("{longest}a");
        for bad in ["", "abcdef1", "abcdefgh", "12345678", "!!!!!!!!", "abcdefg\t1", "pässword1", &too_long]
        {
            assert!(password(bad, &()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn phone_numbers() {
        for good in ["010-1234-5678", "+82-10-1234-5678", "1234567"] {
            assert!(phone_number(good, &()).is_ok(), "{good}");
        }
        for bad in ["", "123456", "010 1234 5678", "-------", "phone-number", "123456789012345678901"] {
            assert!(phone_number(bad, &()).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn texts_count_characters_not_bytes() {
        assert!(text::<20>(&"가".repeat(20), &()).is_ok());
        assert!(text::<20>(&"가".repeat(21), &()).is_err());
        for bad in ["", "   ", "a\0b", "a\nb"] {
            assert!(text::<20>(bad, &()).is_err(), "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn every_login_id_of_the_pattern_is_one(text in "[a-z0-9]{4,10}") {
            prop_assert!(is_login_id(&text));
        }

        #[test]
        fn what_passes_can_be_stored(input in any::<String>()) {
            if text::<255>(&input, &()).is_ok() {
                prop_assert!(!input.contains('\0') && (1..=255).contains(&input.chars().count()));
            }
        }
    }
}
