//! How often one account, and one address, may ask: data in the route table, checked by each gateway for itself, and for the
//! routes where it matters also in buckets that all gateways share in Redis.
//!
//! Buckets refill evenly. One that is full again is forgotten, so that only those who asked within the last minute take
//! memory, some 100 bytes each.

use std::fmt::Display;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use common::redis::{Connections, Script, Value};
use common::stop::Stop;
use common::wire::id::UserId;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota};
use tokio::time::{Instant, timeout};

use crate::config::Config;
use crate::error::Error;
use crate::metrics::Metrics;

/// Between two looks for buckets that are full again.
const SWEEP: Duration = Duration::from_secs(10);
/// A request waits at most this long for Redis,
const SHARED_MAX: Duration = Duration::from_millis(100);
/// and after a failure none asks it for this long.
const SHARED_REST: Duration = Duration::from_secs(1);

/// What a route counts as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// Pages and pictures: many at once, for everybody behind one address.
    Page,
    /// Whatever has no bucket of its own.
    Browse,
    /// A password, or what may be used to try one.
    Login,
    /// A new account.
    SignUp,
    /// A place in a queue.
    Join,
    /// What costs money or stock.
    Buy,
}

/// A rate in figures.
#[derive(Debug, Clone, Copy)]
struct Terms {
    name: &'static str,
    /// Requests per minute of one account; as many at once as in ten seconds.
    account: Option<u32>,
    /// Requests per minute from one address, and as many at once: at an opening a whole office comes in one second.
    address: Option<u32>,
    /// Whether all gateways count together, and what counts while Redis does not answer.
    shared: Option<Without>,
}

/// What counts while Redis does not answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Without {
    /// Each gateway's own buckets.
    Local,
    /// Nothing: the request is refused.
    Refuse,
}

const RATES: [Rate; 6] = [Rate::Page, Rate::Browse, Rate::Login, Rate::SignUp, Rate::Join, Rate::Buy];

impl Rate {
    /// Nobody who shops by hand comes near these.
    const fn terms(self) -> Terms {
        let (account, address, shared) = match self {
            Self::Page => (None, Some(30_000), None),
            Self::Browse => (Some(1_200), Some(12_000), None),
            // Guessing passwords; the user service has limits of its own per account.
            Self::Login => (Some(60), Some(600), Some(Without::Local)),
            // Accounts by the thousand are what a limit per account is evaded with: rather none at all.
            Self::SignUp => (None, Some(120), Some(Without::Refuse)),
            Self::Join => (Some(120), Some(6_000), Some(Without::Local)),
            Self::Buy => (Some(60), Some(3_000), Some(Without::Local)),
        };
        let name = match self {
            Self::Page => "page",
            Self::Browse => "browse",
            Self::Login => "login",
            Self::SignUp => "sign-up",
            Self::Join => "join",
            Self::Buy => "buy",
        };
        Terms { name, account, address, shared }
    }
}

/// All buckets.
#[derive(Debug)]
pub struct Rates {
    /// In the order of [`RATES`].
    rates: [Kept; RATES.len()],
    redis: Connections,
    script: Script,
    /// Redis is not asked before.
    rests_until: Mutex<Instant>,
    metrics: Metrics,
    loopback_exempt: bool,
}

impl Rates {
    /// Full buckets, as large as the settings make them; the shared ones are in `redis`.
    #[must_use]
    pub fn new(redis: Connections, metrics: Metrics, config: &Config) -> Self {
        let rates = RATES.map(|rate| {
            let Terms { account, address, .. } = rate.terms();
            let [account, address] =
                [account, address].map(|many| many.map(|many| many * config.rate_factor));
            let accounts = account.and_then(|many| Buckets::new(many, many / 6));
            Kept { accounts, addresses: address.and_then(|many| Buckets::new(many, many)) }
        });
        let (rests_until, script) = (Mutex::new(Instant::now()), Script::new(include_str!("bucket.lua")));
        Self { rates, redis, script, rests_until, metrics, loopback_exempt: config.loopback_exempt }
    }

    /// Takes one request out of the address's bucket here. What this returns has to be taken by [`Self::take_shared`].
    ///
    /// # Errors
    /// [`Error::TooManyRequests`].
    pub fn take_address(&self, rate: Rate, address: IpAddr) -> Result<Option<Shared>, Error> {
        if self.is_exempt(address) {
            return Ok(None);
        }
        self.take(rate, "address", network(address), self.rates[rate as usize].addresses.as_ref())
    }

    /// Takes one request out of the account's bucket here, as [`Self::take_address`].
    ///
    /// # Errors
    /// [`Error::TooManyRequests`].
    pub fn take_account(&self, rate: Rate, user: UserId, address: IpAddr) -> Result<Option<Shared>, Error> {
        if self.is_exempt(address) {
            return Ok(None);
        }
        self.take(rate, "account", user, self.rates[rate as usize].accounts.as_ref())
    }

    fn is_exempt(&self, address: IpAddr) -> bool {
        self.loopback_exempt && address.is_loopback()
    }

    fn take<K>(
        &self,
        rate: Rate,
        by: &'static str,
        key: K,
        buckets: Option<&Buckets<K>>,
    ) -> Result<Option<Shared>, Error>
    where
        K: Hash + Eq + Clone + Display,
    {
        let Some(buckets) = buckets else { return Ok(None) };
        let Terms { name, shared, .. } = rate.terms();
        buckets.take(&key).map_err(|wait| self.refused(name, by, wait))?;
        Ok(shared.map(|without| Shared {
            key: format!("rate:{name}:{by}:{key}"),
            refill_ms: buckets.refill_ms,
            size: buckets.size,
            name,
            by,
            without,
        }))
    }

    fn refused(&self, name: &'static str, by: &'static str, wait: Duration) -> Error {
        self.metrics.limited_total.with_label_values(&[name, by]).inc();
        Error::TooManyRequests { wait }
    }

    /// Takes one request out of a bucket that all gateways share.
    ///
    /// # Errors
    /// [`Error::TooManyRequests`]; [`Error::LimitsUnknown`] where Redis has to be asked and does not answer.
    pub async fn take_shared(&self, shared: Option<Shared>) -> Result<(), Error> {
        let Some(Shared { key, refill_ms, size, name, by, without }) = shared else { return Ok(()) };
        match self.ask(key, vec![refill_ms.into(), i64::from(size).into()]).await {
            Some(0) => Ok(()),
            Some(wait_ms) => Err(self.refused(name, by, Duration::from_millis(wait_ms))),
            None if without == Without::Local => Ok(()),
            None => Err(Error::LimitsUnknown),
        }
    }

    /// How many ms to wait; `None` while Redis does not answer.
    async fn ask(&self, key: String, args: Vec<Value>) -> Option<u64> {
        if *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner) > Instant::now() {
            return None;
        }
        match timeout(SHARED_MAX, self.script.run::<u64>(&self.redis, vec![key], args)).await {
            Ok(Ok(wait_ms)) => Some(wait_ms),
            failed => {
                *self.rests_until.lock().unwrap_or_else(PoisonError::into_inner) =
                    Instant::now() + SHARED_REST;
                tracing::warn!(?failed, "shared limits not read");
                None
            }
        }
    }

    /// Forgets full buckets, until the stop.
    pub async fn sweep(&self, stop: Stop) {
        // Loading the script takes several questions, for which no request should wait.
        let warm = self.script.run::<u64>(&self.redis, vec!["rate:start".into()], vec![1.into(), 1.into()]);
        tokio::select! { _ = warm => {}, () = stop.stopped() => return }
        while stop.pause(SWEEP).await {
            for Kept { accounts, addresses } in &self.rates {
                accounts.iter().for_each(Buckets::sweep);
                addresses.iter().for_each(Buckets::sweep);
            }
        }
    }
}

/// The buckets of one rate.
#[derive(Debug)]
struct Kept {
    accounts: Option<Buckets<UserId>>,
    addresses: Option<Buckets<IpAddr>>,
}

/// A request that has to be taken out of a bucket of all gateways, too.
#[derive(Debug)]
pub struct Shared {
    key: String,
    refill_ms: f64,
    size: u32,
    name: &'static str,
    by: &'static str,
    without: Without,
}

/// One bucket for each key.
#[derive(Debug)]
struct Buckets<K: Hash + Eq + Clone> {
    each: DefaultKeyedRateLimiter<K>,
    refill_ms: f64,
    size: u32,
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    /// `None` for no requests at all, which is no limit but a mistake.
    fn new(per_minute: u32, at_once: u32) -> Option<Self> {
        let (many, size) = (NonZeroU32::new(per_minute)?, NonZeroU32::new(at_once)?);
        let each = DefaultKeyedRateLimiter::keyed(Quota::per_minute(many).allow_burst(size));
        Some(Self { each, refill_ms: 60_000.0 / f64::from(per_minute), size: at_once })
    }

    fn take(&self, key: &K) -> Result<(), Duration> {
        self.each.check_key(key).map_err(|until| until.wait_time_from(DefaultClock::default().now()))
    }

    fn sweep(&self) {
        self.each.retain_recent();
        self.each.shrink_to_fit();
    }
}

/// Whom a bucket is for: an IPv4 address, or the /64 in which one IPv6 subscriber may choose addresses freely.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(long) => Ipv6Addr::from_bits(long.to_bits() & (u128::MAX << 64)).into(),
        short => short,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rate_has_buckets() {
        for (number, rate) in RATES.into_iter().enumerate() {
            assert_eq!(rate as usize, number);
            let Terms { account, address, .. } = rate.terms();
            assert!(account.is_some() || address.is_some(), "{rate:?}");
            for many in [account, address].into_iter().flatten() {
                assert!(Buckets::<UserId>::new(many, many / 6).is_some(), "{rate:?}");
            }
        }
    }

    #[test]
    fn an_ipv6_subscriber_is_one() {
        let network = |text: &str| network(text.parse().unwrap()).to_string();
        assert_eq!(network("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
        assert_eq!(network("::ffff:203.0.113.7"), "203.0.113.7");
        assert_eq!(network("203.0.113.7"), "203.0.113.7");
    }

    #[test]
    fn a_bucket_holds_its_size_and_refills() {
        let buckets = Buckets::new(60, 3).unwrap();
        for _ in 0..3 {
            buckets.take(&UserId(1)).unwrap();
        }
        let wait = buckets.take(&UserId(1)).unwrap_err();
        assert!(wait <= Duration::from_secs(1), "{wait:?}");
        buckets.take(&UserId(2)).unwrap();
    }
}
