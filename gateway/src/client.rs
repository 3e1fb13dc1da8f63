//! Who is at the far end: the peer of the connection, or, behind a proxy of our own, whom that proxy names.

use std::net::IpAddr;

use http::HeaderMap;
use ipnet::IpNet;

/// A request's client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Client {
    /// Its address.
    pub address: IpAddr,
    /// Whether it came over TLS, which ends in front of the gateway.
    pub is_tls: bool,
}

impl Client {
    /// The client of a request that `peer` sent: of the addresses in `X-Forwarded-For` the last one that is no trusted
    /// proxy, as each proxy appends whom it heard from. What a client says of itself stands before that and counts
    /// for nothing.
    #[must_use]
    pub fn of(peer: IpAddr, headers: &HeaderMap, proxies: &[IpNet]) -> Self {
        let is_proxy = |address: &IpAddr| proxies.iter().any(|proxy| proxy.contains(address));
        if !is_proxy(&peer) {
            return Self { address: peer, is_tls: false };
        }
        let lines = headers.get_all("x-forwarded-for").iter().rev();
        let hops = lines.flat_map(|line| line.to_str().unwrap_or("?").rsplit(','));
        let mut address = peer;
        for hop in hops {
            // What cannot be read is no proxy of ours: whoever wrote it is the client.
            let Ok(hop) = hop.trim().parse::<IpAddr>() else { break };
            address = hop.to_canonical();
            if !is_proxy(&address) {
                break;
            }
        }
        let is_tls =
            headers.get_all("x-forwarded-proto").iter().next_back().is_some_and(|last| last == "https");
        Self { address, is_tls }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_proxies_are_believed_and_only_the_last_stranger_counts() {
        let proxies: Vec<IpNet> = ["10.0.0.0/8", "fd00::/8"].map(|net| net.parse().unwrap()).into();
        for (peer, lines, address) in [
            ("203.0.113.1", &["198.51.100.7"][..], "203.0.113.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["1.2.3.4, 198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["1.2.3.4", "198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["1.2.3.4, 198.51.100.7, 10.9.9.9"], "198.51.100.7"),
            ("10.0.0.1", &["10.1.1.1, 10.2.2.2"], "10.1.1.1"),
            ("10.0.0.1", &["198.51.100.7, nonsense"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.7:1234"], "10.0.0.1"),
            ("fd00::1", &["2001:db8::7"], "2001:db8::7"),
            ("10.0.0.1", &["::ffff:198.51.100.7"], "198.51.100.7"),
        ] {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append("x-forwarded-for", line.parse().unwrap());
            }
            headers.append("x-forwarded-proto", "https".parse().unwrap());
            let client = Client::of(peer.parse().unwrap(), &headers, &proxies);
            assert_eq!(client.address, address.parse::<IpAddr>().unwrap(), "{peer} {lines:?}");
            assert_eq!(client.is_tls, peer != "203.0.113.1", "{peer}");
        }
    }
}
