//! The login of browsers: the identity token as a cookie, which the user service sets and the gateway takes, and the
//! refresh token as another, which goes to the user service alone.

use std::net::IpAddr;

use http::{HeaderMap, header};

/// Name of the cookie that holds the identity token. Host-only (no `Domain`), so that it stays between the browser
/// and the host it logged in at.
pub const IDENTITY_COOKIE: &str = "identity";

/// Name of the cookie that holds the refresh token. Browsers send it to [`LOGIN_PATH`] only.
pub const REFRESH_COOKIE: &str = "refresh";
/// Name of the cookie that a browser keeps when its login ends: where an account has logged in before, nobody's
/// failures elsewhere keep it out.
pub const DEVICE_COOKIE: &str = "device";
/// Where the cookies go that are for the user service alone.
pub const LOGIN_PATH: &str = "/api/auth";

/// The values of all cookies of a name in a request: more than one where another host of the same domain, or a page
/// under another path, has put one beside ours.
pub fn values<'a>(headers: &'a HeaderMap, of: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(header::COOKIE).iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(';')).filter_map(move |pair| {
        let (name, value) = pair.trim().split_once('=')?;
        (name == of).then_some(value)
    })
}

/// Whether a `Host` (`name` or `name:port`) is this machine itself, where a browser talks without TLS.
#[must_use]
pub fn is_loopback(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    name.eq_ignore_ascii_case("localhost")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_is_told_from_names_that_look_like_it() {
        for host in ["localhost", "LOCALHOST:8080", "127.0.0.1", "127.9.9.9:1", "[::1]", "[::1]:8080"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in
            ["", "shop.example", "localhost.example", "127.0.0.1.example:80", "10.0.0.1", "[::2]:1", "::1"]
        {
            assert!(!is_loopback(host), "{host}");
        }
    }

    #[test]
    fn only_cookies_of_that_very_name_are_identities() {
        let mut headers = HeaderMap::new();
        for line in ["a=1; identity=x.y.z; Identity=no; xidentity=no", "identity=", "identity"] {
            headers.append(header::COOKIE, line.parse().unwrap());
        }
        assert_eq!(values(&headers, IDENTITY_COOKIE).collect::<Vec<_>>(), ["x.y.z", ""]);
    }
}
