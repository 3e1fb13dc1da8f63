//! How often somebody may try a password.
//!
//! Only failures count, each in several buckets ([`rules`]): of the account at this address, of the address whatever
//! the account, of the account whatever the address. A browser or an address at which the account has logged in before
//! has a bucket of its own instead: whoever else guesses, and however often, the owner gets in there. Login ids that no
//! account has are counted like others, so that no limit tells which exist.
//!
//! Attempts that are checked at the same moment do not see each other's failures: at most as many as the pool of
//! hashes takes. They count all the same, so the wait afterwards is longer.

mod rules;
pub(crate) mod store;

use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr};

use anyhow::Context as _;
use axum::extract::FromRequestParts;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use common::http::Peer;
use common::http::cookie::{DEVICE_COOKIE, values};
use common::http::origin::{client, network};
use common::wire::Time;
use common::wire::token::ASSERTION_HEADER;
use http::request::Parts;
use sha2::{Digest as _, Sha256};

pub(crate) use rules::of_session;

use crate::account::store::Credentials;
use crate::app::App;

/// Where an attempt comes from.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// An address, or the network of an IPv6 subscriber.
    pub(crate) network: IpAddr,
    /// What a browser was given at an earlier login.
    pub(crate) device: Option<Device>,
    /// Whether a browser asks: only those keep cookies, and they all say which page they ask for.
    pub(crate) is_browser: bool,
}

/// Names a browser: 128 random bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Device([u8; 16]);

impl Device {
    /// A new one.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let mut bits = [0; 16];
        aws_lc_rs::rand::fill(&mut bits).ok().context("no random numbers")?;
        Ok(Self(bits))
    }

    fn read(text: &str) -> Option<Self> {
        URL_SAFE_NO_PAD.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// As the cookie holds it.
    pub(crate) fn text(self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

/// What is known when somebody tries.
pub(crate) struct Look {
    /// The account, unless there is none or it was deleted.
    pub(crate) account: Option<Credentials>,
    /// Whether it has logged in with this browser, and at this address.
    pub(crate) knows_device: bool,
    pub(crate) knows_address: bool,
    /// When the buckets of the origin are clear; `None` where they are.
    clear: Clear,
}

/// Of each bucket that the attempt may belong to.
struct Clear {
    at_device: Option<Time>,
    at_address: Option<Time>,
    address: Option<Time>,
    account: Option<Time>,
}

/// SHA-256 of parts, none of which can run into the next.
fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let hash = parts.iter().fold(Sha256::new(), |hash, part| {
        hash.chain_update((part.len() as u64).to_be_bytes()).chain_update(part)
    });
    hash.finalize().into()
}

impl FromRequestParts<App> for Origin {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Infallible> {
        let peer = parts.extensions.get::<Peer>().map(|Peer(address)| *address);
        let mut headers = parts.headers.clone();
        let said = headers.get(ASSERTION_HEADER).and_then(|said| said.to_str().ok());
        if said.is_none_or(|said| app.verifier.assertion(said).is_err()) {
            headers.remove(ASSERTION_HEADER);
        }
        let address = client(&headers, peer).unwrap_or(Ipv4Addr::UNSPECIFIED.into());
        let device = values(&headers, DEVICE_COOKIE).find_map(Device::read);
        let is_browser = headers.contains_key(http::header::ORIGIN);
        Ok(Self { network: network(address), device, is_browser })
    }
}
