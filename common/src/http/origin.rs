//! Where a request comes from, for limits.

use std::net::{IpAddr, Ipv6Addr};

use http::HeaderMap;

use crate::wire::token::ASSERTION_HEADER;

/// Written by the gateway alone: it removes what a client says of itself.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The client's address: what the gateway says of it, which only its assertion makes credible, or else the peer's. An
/// assertion that is there must have been verified by the caller.
#[must_use]
pub fn client(headers: &HeaderMap, peer: Option<IpAddr>) -> Option<IpAddr> {
    let forwarded = headers.get(FORWARDED_FOR).filter(|_| headers.contains_key(ASSERTION_HEADER));
    let forwarded = forwarded.and_then(|value| value.to_str().ok()?.parse::<IpAddr>().ok());
    forwarded.or(peer).map(|address| address.to_canonical())
}

/// Whom a limit is for: an IPv4 address, or the /64 in which one IPv6 subscriber may choose addresses freely.
#[must_use]
pub fn network(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(long) => Ipv6Addr::from_bits(long.to_bits() & (u128::MAX << 64)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn an_address_is_believed_from_the_gateway_alone() {
        const SAID: (&str, &str) = (ASSERTION_HEADER, "signed");
        for (pairs, address) in [
            (&[SAID, (FORWARDED_FOR, "203.0.113.7")][..], "203.0.113.7"),
            (&[SAID, (FORWARDED_FOR, "::ffff:203.0.113.7")], "203.0.113.7"),
            (&[SAID, (FORWARDED_FOR, "2001:db8::1")], "2001:db8::1"),
            (&[(FORWARDED_FOR, "203.0.113.7")], "10.0.0.1"),
            (&[SAID], "10.0.0.1"),
            (&[SAID, (FORWARDED_FOR, "203.0.113.7, 127.0.0.1")], "10.0.0.1"),
            (&[], "10.0.0.1"),
        ] {
            let found = client(&headers(pairs), Some("10.0.0.1".parse().unwrap()));
            assert_eq!(found, Some(address.parse().unwrap()), "{pairs:?}");
        }
    }

    #[test]
    fn an_ipv6_subscriber_has_one_bucket() {
        for (one, other, same) in [
            ("2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true),
            ("2001:db8:1:2::1", "2001:db8:1:3::1", false),
            ("203.0.113.7", "203.0.113.7", true),
            ("203.0.113.7", "203.0.113.8", false),
        ] {
            assert_eq!(
                network(one.parse().unwrap()) == network(other.parse().unwrap()),
                same,
                "{one} {other}"
            );
        }
    }
}
