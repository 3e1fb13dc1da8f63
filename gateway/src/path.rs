//! The one spelling of a path. A gateway that matches one reading of a path and forwards another lets callers
//! choose the rule they are judged by; so a path with more than one reading is refused, and what is matched is, byte
//! for byte, what is forwarded.
//!
//! Refused: dot segments, empty segments, backslash, `;` (path parameters), raw bytes that RFC 3986 does not
//! allow, and escapes of anything that need not be escaped (`%61`, `%2C`), that means something to a path (`%2F`, `%5C`, `%3B`,
//! `%25`), that is a control character, that is in lower case, or that is not UTF-8. What is left has literal
//! characters only in one form, so comparing it raw is comparing it decoded.

/// Checks a path as it stood in the request line.
///
/// # Errors
/// What is wrong with it, to be put after "the path".
pub fn check(path: &str) -> Result<(), &'static str> {
    let Some(rest) = path.strip_prefix('/') else {
        return Err("does not start with /");
    };
    let bytes = path.as_bytes();
    let mut escaped = false;
    let mut at = 0;
    while at < bytes.len() {
        at += match bytes[at] {
            b'%' => {
                escaped = true;
                escape(bytes.get(at + 1..at + 3))?;
                3
            }
            byte if is_plain(byte) => 1,
            b'\\' | b';' => return Err("holds a backslash or a semicolon"),
            _ => return Err("holds a character that must be escaped"),
        };
    }
    if escaped && String::from_utf8(decoded(bytes)).is_err() {
        return Err("is not UTF-8");
    }
    segments(rest)
}

fn segments(rest: &str) -> Result<(), &'static str> {
    let mut segments = rest.split('/').peekable();
    while let Some(segment) = segments.next() {
        match segment {
            "" if segments.peek().is_some() => return Err("holds an empty segment"),
            "." | ".." => return Err("holds a dot segment"),
            _ => {}
        }
    }
    Ok(())
}

fn escape(digits: Option<&[u8]>) -> Result<(), &'static str> {
    let Some(&[high, low]) = digits else { return Err("holds a broken escape") };
    let (Some(high), Some(low)) = (upper_hex(high), upper_hex(low)) else {
        return Err("holds a broken or lower-case escape");
    };
    match high << 4 | low {
        b'/' | b'\\' | b';' | b'%' => Err("escapes a character that means something to a path"),
        0x00..=0x1f | 0x7f => Err("escapes a control character"),
        byte if is_plain(byte) => Err("escapes a character that needs none"),
        _ => Ok(()),
    }
}

fn decoded(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], bytes.get(at + 1).copied(), bytes.get(at + 2).copied()) {
            (b'%', Some(high), Some(low)) => {
                out.push(upper_hex(high).unwrap_or_default() << 4 | upper_hex(low).unwrap_or_default());
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

fn upper_hex(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// RFC 3986 `pchar` and `/`, without `;`.
fn is_plain(byte: u8) -> bool {
    is_unreserved(byte) || b"!$&'()*+,=:@/".contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_paths_of_the_contract_pass() {
        for path in ["/", "/api/products/7", "/api/orders/0190-a/live", "/shopper/", "/shared/app.js"] {
            assert_eq!(check(path), Ok(()), "{path}");
        }
        assert_eq!(check("/images/%EA%B0%80.png"), Ok(()), "a Korean file name");
    }

    #[test]
    fn paths_with_two_readings_are_refused() {
        for path in [
            "",
            "*",
            "api",
            "//api/users",
            "/api//users",
            "/api/./users",
            "/api/../internal",
            "/..",
            "/api/users/..",
            "/api/%2e%2e/internal",
            "/api/%2E%2E/internal",
            "/api%2Fusers",
            "/api%2fusers",
            "/api/%5Cusers",
            "/api/%5cusers",
            "/api/a\\b",
            "/api/users;v=1",
            "/api/users%3Bv=1",
            "/api/users%00",
            "/api/users%0d",
            "/api/users%7F",
            "/api/%61pi",
            "/api/%41",
            "/api/%2C",
            "/api/%c3%a9",
            "/api/%",
            "/api/%4",
            "/api/%zz",
            "/api/%252e",
            "/api/%FF",
            "/api/é",
            "/api/a b",
            "/api/<",
            "/api/a|b",
            "/api/\u{0}",
        ] {
            assert!(check(path).is_err(), "{path}");
        }
    }

    proptest! {
        /// Two paths that pass and decode to the same text are the same path.
        #[test]
        fn what_passes_has_one_spelling(segments in proptest::collection::vec("[a-z%2FECf0.;~é]{1,6}", 1..4)) {
            let path = format!("/{}", segments.join("/"));
            if check(&path).is_ok() {
                let again: String = decoded(path.as_bytes()).iter().map(|&byte| {
                    if is_plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }
                }).collect();
                prop_assert_eq!(again, path);
            }
        }
    }
}
