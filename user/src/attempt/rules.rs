//! Buckets of failures: a few at once, then one by one.

use std::time::Duration;

use common::wire::Time;
use common::wire::id::SessionId;

use super::{Clear, Look, Origin, digest};

/// How fast failures are forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Pace {
    /// So many at once,
    burst: u32,
    /// then one each.
    each: Duration,
}

/// Of one account at one address or in one browser: somebody who has forgotten the password.
const ONE: Pace = Pace { burst: 5, each: Duration::from_secs(30) };
/// Of one address, whatever the account: an office, or somebody with a list of stolen pairs.
const ADDRESS: Pace = Pace { burst: 50, each: Duration::from_secs(5) };
/// Of one account at all addresses that it does not know: somebody with many addresses. 2,400 guesses a day.
const ACCOUNT: Pace = Pace { burst: 100, each: Duration::from_secs(36) };

/// A bucket that an attempt belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Bucket {
    /// Names it.
    pub(crate) key: [u8; 32],
    /// What a failure adds to the time until it is clear.
    pub(crate) each: Duration,
}

/// Names of all buckets that an attempt may belong to.
pub(super) struct Keys {
    pub(super) at_device: Option<[u8; 32]>,
    pub(super) at_address: [u8; 32],
    pub(super) address: [u8; 32],
    pub(super) account: [u8; 32],
}

/// Names the buckets.
pub(super) fn keys(login_id: &str, origin: &Origin) -> Keys {
    let (id, network) = (login_id.as_bytes(), origin.network.to_string());
    Keys {
        at_device: origin.device.map(|device| digest(&[b"account at device", id, &device.0])),
        at_address: digest(&[b"account at address", id, network.as_bytes()]),
        address: digest(&[b"address", network.as_bytes()]),
        account: digest(&[b"account", id]),
    }
}

/// The buckets in which a failure counts, or how long to wait before the next attempt.
pub(super) fn admit(look: &Look, keys: &Keys, now: Time) -> Result<Vec<Bucket>, Duration> {
    let Clear { at_device, at_address, address, account } = look.clear;
    let of_device = keys.at_device.filter(|_| look.knows_device);
    let buckets = match of_device {
        Some(key) => vec![(key, ONE, at_device)],
        None if look.knows_address => vec![(keys.at_address, ONE, at_address)],
        None => vec![
            (keys.at_address, ONE, at_address),
            (keys.address, ADDRESS, address),
            (keys.account, ACCOUNT, account),
        ],
    };
    let longest = buckets.iter().filter_map(|(_, pace, clear)| wait(*pace, *clear, now)).max();
    longest.map_or_else(
        || Ok(buckets.into_iter().map(|(key, pace, _)| Bucket { key, each: pace.each }).collect()),
        Err,
    )
}

/// The bucket of somebody who is logged in and asked for the password again.
pub(crate) fn of_session(sid: SessionId) -> Bucket {
    Bucket { key: digest(&[b"session", sid.0.as_bytes()]), each: ONE.each }
}

/// How long to wait before another attempt of that session.
pub(super) fn wait_of_session(clear_at: Option<Time>, now: Time) -> Option<Duration> {
    wait(ONE, clear_at, now)
}

/// How long until there is room for one more failure.
fn wait(pace: Pace, clear_at: Option<Time>, now: Time) -> Option<Duration> {
    let left = (clear_at? - now).to_std().ok()?;
    left.checked_sub(pace.each * (pace.burst - 1)).filter(|wait| !wait.is_zero())
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::super::Device;
    use super::*;

    const START: i64 = 1_800_000_000;

    fn at(s: i64) -> Time {
        Time::from_timestamp(START + s, 0).unwrap()
    }

    fn origin(address: &str, device: Option<u8>) -> Origin {
        let network: IpAddr = address.parse().unwrap();
        Origin { network, device: device.map(|byte| Device([byte; 16])), is_browser: device.is_some() }
    }

    fn look(knows_device: bool, knows_address: bool, clear: Clear) -> Look {
        Look { account: None, knows_device, knows_address, clear }
    }

    fn clear(of: i64) -> Clear {
        let full = Some(at(of));
        Clear { at_device: full, at_address: full, address: full, account: full }
    }

    #[test]
    fn five_failures_at_once_then_one_each_half_minute() {
        for (clear_s, now_s, waits) in
            [(0, 0, 0), (120, 0, 0), (150, 0, 30), (150, 29, 1), (150, 30, 0), (90, 100, 0)]
        {
            let expected = (waits > 0).then(|| Duration::from_secs(waits));
            assert_eq!(wait(ONE, Some(at(clear_s)), at(now_s)), expected, "{clear_s} {now_s}");
        }
        assert_eq!(wait(ONE, None, at(0)), None);
    }

    #[test]
    fn strangers_are_counted_thrice_and_the_known_apart() {
        let keys = keys("sujin01", &origin("203.0.113.7", Some(1)));
        let buckets = |look: Look| -> Vec<[u8; 32]> {
            admit(&look, &keys, at(0)).unwrap().into_iter().map(|bucket| bucket.key).collect()
        };
        assert_eq!(buckets(look(false, false, clear(0))), [keys.at_address, keys.address, keys.account]);
        assert_eq!(buckets(look(false, true, clear(0))), [keys.at_address]);
        assert_eq!(buckets(look(true, true, clear(0))), [keys.at_device.unwrap()]);
    }

    #[test]
    fn full_buckets_of_strangers_do_not_hold_up_the_known() {
        let keys = keys("sujin01", &origin("203.0.113.7", Some(1)));
        let attacked = || Clear { at_device: None, ..clear(10_000) };
        assert!(admit(&look(false, false, attacked()), &keys, at(0)).is_err());
        assert!(admit(&look(true, false, attacked()), &keys, at(0)).is_ok());
        let attacked = || Clear { at_address: None, ..clear(10_000) };
        assert!(admit(&look(false, false, attacked()), &keys, at(0)).is_err());
        assert!(admit(&look(false, true, attacked()), &keys, at(0)).is_ok());
    }

    #[test]
    fn buckets_of_others_have_other_names() {
        let (one, other) = (
            keys("sujin01", &origin("203.0.113.7", Some(1))),
            keys("sujin02", &origin("203.0.113.7", Some(1))),
        );
        assert_eq!(one.address, other.address);
        assert_ne!(one.account, other.account);
        assert_ne!(one.at_address, other.at_address);
        assert_ne!(one.at_device, other.at_device);
        let elsewhere = keys("sujin01", &origin("203.0.113.8", Some(2)));
        assert_eq!(one.account, elsewhere.account);
        assert_ne!(one.at_address, elsewhere.at_address);
        assert_ne!(one.at_device, elsewhere.at_device);
    }
}
