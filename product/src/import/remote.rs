//! Which addresses an import may read: those of the operator's list alone, and never of the inner network.
//!
//! A name is resolved once, every address that it has is checked, and the connection goes to exactly those. Redirects are
//! not followed: they would lead past all this.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

use reqwest::{Client, Url, redirect};

/// A page, from the request to its last byte.
const PAGE_MAX_S: Duration = Duration::from_secs(10);
/// Bytes of a page at most.
const PAGE_MAX_BYTES: usize = 5 << 20;

/// Hosts that imports may read, separated by commas: `name`, `name:port`, either with `=address` behind it, which takes
/// the place of the name's own addresses. Such an address is the operator's word: it may be an inner one.
#[derive(Debug, Clone, Default)]
pub struct Hosts(Vec<Host>);

#[derive(Debug, Clone)]
struct Host {
    name: String,
    port: Option<u16>,
    pinned: Option<IpAddr>,
}

impl FromStr for Hosts {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split(',').map(str::trim).filter(|part| !part.is_empty());
        parts.map(Host::from_str).collect::<Result<_, _>>().map(Self)
    }
}

impl FromStr for Host {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (host, address) = match text.split_once('=') {
            Some((host, address)) => (host, Some(address)),
            None => (text, None),
        };
        let pinned = address.map(|address| address.parse().map_err(|_| format!("{address} is no address")));
        let (name, port) = match host.split_once(':') {
            Some((name, port)) => (name, Some(port.parse().map_err(|_| format!("{port} is no port"))?)),
            None => (host, None),
        };
        Ok(Self { name: name.to_ascii_lowercase(), port, pinned: pinned.transpose()? })
    }
}

/// Why a page did not come.
#[derive(Debug, PartialEq, Eq)]
pub enum Refused {
    /// It never will.
    ForGood(String),
    /// Perhaps the next time.
    ForNow(String),
}

impl Hosts {
    /// The address, when it may be read.
    ///
    /// # Errors
    /// The rule that it breaks.
    pub fn check(&self, url: &str) -> Result<Url, String> {
        let url = Url::parse(url).map_err(|error| format!("no URL: {error}"))?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err("https or http".to_owned());
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err("no user name in it".to_owned());
        }
        self.entry(&url).map(|_| url.clone()).ok_or_else(|| "a host that the operator allows".to_owned())
    }

    fn entry(&self, url: &Url) -> Option<&Host> {
        let name = url.host_str()?.to_ascii_lowercase();
        self.0.iter().find(|host| {
            host.name == name
                && (host.port.is_none() && url.port().is_none() || host.port == url.port_or_known_default())
        })
    }

    /// The bytes behind an address.
    ///
    /// # Errors
    /// Why not.
    pub async fn read(&self, url: &str) -> Result<Vec<u8>, Refused> {
        let url = self.check(url).map_err(Refused::ForGood)?;
        let addresses = self.addresses(&url).await?;
        let passing = |error: reqwest::Error| Refused::ForNow(error.without_url().to_string());
        let client = Client::builder().redirect(redirect::Policy::none()).no_proxy().timeout(PAGE_MAX_S);
        let host = url.host_str().unwrap_or_default();
        let client = client.resolve_to_addrs(host, &addresses).build().map_err(passing)?;
        let mut answer =
            client.get(url).header("accept", "application/json").send().await.map_err(passing)?;
        let status = answer.status();
        if status.is_server_error() || status.as_u16() == 429 {
            return Err(Refused::ForNow(format!("it answered {status}")));
        }
        if !status.is_success() {
            return Err(Refused::ForGood(format!("it answered {status}")));
        }
        let mut body = Vec::new();
        while let Some(piece) = answer.chunk().await.map_err(passing)? {
            if body.len() + piece.len() > PAGE_MAX_BYTES {
                return Err(Refused::ForGood(format!("a page has at most {PAGE_MAX_BYTES} bytes")));
            }
            body.extend_from_slice(&piece);
        }
        Ok(body)
    }

    async fn addresses(&self, url: &Url) -> Result<Vec<SocketAddr>, Refused> {
        let port = url.port_or_known_default().unwrap_or_default();
        if let Some(address) = self.entry(url).and_then(|host| host.pinned) {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        let name = url.host_str().unwrap_or_default().trim_matches(['[', ']']);
        let found = tokio::net::lookup_host((name, port)).await;
        let found: Vec<_> = found.map_err(|error| Refused::ForNow(format!("{name}: {error}")))?.collect();
        if found.is_empty() || found.iter().any(|address| is_inner(address.ip())) {
            return Err(Refused::ForGood(format!("{name} leads into the inner network")));
        }
        Ok(found)
    }
}

/// Whether an address is none of the public internet: this machine, its network, carriers' and other special ranges.
/// <https://www.iana.org/assignments/iana-ipv4-special-registry>, and the same for IPv6.
fn is_inner(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_inner_v4(address),
        IpAddr::V6(address) => is_inner_v6(address),
    }
}

fn is_inner_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    address.is_private()
        || address.is_loopback()
        || address.is_link_local()
        || address.is_multicast()
        || address.is_documentation()
        || matches!(
            (a, b, c),
            (0 | 240.., _, _) | (100, 64..=127, _) | (192, 0, 0) | (192, 88, 99) | (198, 18 | 19, _)
        )
}

/// Only global unicast is outside; in it, addresses that carry an IPv4 address are judged by that one.
fn is_inner_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = address.segments();
    let v4 = |high: u16, low: u16| Ipv4Addr::from((u32::from(high) << 16) | u32::from(low));
    match (a, b, c, d, e, f) {
        (0, 0, 0, 0, 0, 0xffff) | (0x64, 0xff9b, 0, 0, 0, 0) => is_inner_v4(v4(g, h)),
        (0x2002, ..) => is_inner_v4(v4(b, c)),
        (0x2001, 0..0x200 | 0xdb8, ..) => true,
        _ => a & 0xe000 != 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_operator_lists_may_be_read() {
        let hosts: Hosts = "api.example, Stock.example:8443,inner.example=10.0.0.7".parse().unwrap();
        for good in [
            "https://api.example/a?b=c",
            "http://API.example",
            "https://stock.example:8443/",
            "https://inner.example",
        ] {
            assert!(hosts.check(good).is_ok(), "{good}");
        }
        for bad in [
            "https://other.example/",
            "https://api.example:8443/",
            "https://stock.example/",
            "https://api.example.evil.example/",
            "https://api.example@evil.example/",
            "https://user:word@api.example/",
            "ftp://api.example/",
            "file:///etc/passwd",
            "api.example",
        ] {
            assert!(hosts.check(bad).is_err(), "{bad}");
        }
        assert!(Hosts::default().check("https://api.example/").is_err());
        assert!("a=b".parse::<Hosts>().is_err() && "a:b".parse::<Hosts>().is_err());
    }

    #[test]
    fn the_inner_network_has_many_names() {
        for inner in [
            "127.0.0.1",
            "10.1.2.3",
            "172.31.0.1",
            "192.168.0.1",
            "169.254.169.254",
            "100.64.0.1",
            "0.0.0.0",
            "224.0.0.1",
            "255.255.255.255",
            "198.18.0.1",
            "192.0.0.8",
            "::1",
            "::",
            "fe80::1",
            "fd00::1",
            "ff02::1",
            "::ffff:10.0.0.1",
            "64:ff9b::a00:1",
            "2002:a00:1::",
            "2001:db8::1",
            "2001::1",
        ] {
            assert!(is_inner(inner.parse().unwrap()), "{inner}");
        }
        for outer in
            ["1.1.1.1", "100.128.0.1", "172.32.0.1", "2606:4700::1111", "::ffff:1.1.1.1", "2001:4860::8888"]
        {
            assert!(!is_inner(outer.parse().unwrap()), "{outer}");
        }
    }

    #[tokio::test]
    async fn an_allowed_name_that_leads_inside_is_not_read() {
        let hosts: Hosts = "localhost:9".parse().unwrap();
        let refused = hosts.read("http://localhost:9/").await;
        assert_eq!(refused, Err(Refused::ForGood("localhost leads into the inner network".to_owned())));
    }
}
