//! The services behind: their replicas, who is next, and how much each service may be asked at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::Context as _;
use http::Uri;
use http::uri::Authority;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use crate::config::Config;
use crate::error::Error;
use crate::routes::To;

/// A replica that could not be connected to is left alone for this long.
const REST: Duration = Duration::from_secs(1);
/// A request waits at most this long for its turn at a service.
const TURN_MAX: Duration = Duration::from_secs(1);

/// Name of a service in figures; `None` for what the gateway answers itself.
#[must_use]
pub fn label(to: To) -> Option<&'static str> {
    match to {
        To::User => Some("user"),
        To::Product => Some("product"),
        To::Order => Some("order"),
        To::Queue => Some("queue-server"),
        To::Jwks | To::Assets | To::File(_) => None,
    }
}

/// All services behind.
#[derive(Debug)]
pub struct Upstreams {
    user: Upstream,
    product: Upstream,
    order: Upstream,
    queue: Upstream,
}

impl Upstreams {
    /// As the settings name them.
    ///
    /// # Errors
    /// When an address has no host.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let upstream = |replicas| Upstream::new(replicas, config);
        Ok(Self {
            user: upstream(&config.user_upstreams)?,
            product: upstream(&config.product_upstreams)?,
            order: upstream(&config.order_upstreams)?,
            queue: upstream(&config.queue_upstreams)?,
        })
    }

    /// The service that a route leads to; `None` for what the gateway answers itself.
    #[must_use]
    pub fn get(&self, to: To) -> Option<&Upstream> {
        match to {
            To::User => Some(&self.user),
            To::Product => Some(&self.product),
            To::Order => Some(&self.order),
            To::Queue => Some(&self.queue),
            To::Jwks | To::Assets | To::File(_) => None,
        }
    }
}

/// One service.
#[derive(Debug)]
pub struct Upstream {
    replicas: Vec<Arc<Replica>>,
    next: AtomicUsize,
    slots: Arc<Semaphore>,
    streams: Arc<Semaphore>,
    started: Instant,
}

/// One process of a service.
#[derive(Debug)]
pub struct Replica {
    /// `host:port`.
    pub authority: Authority,
    in_flight: AtomicUsize,
    /// Milliseconds since the gateway's start.
    rests_until: AtomicU64,
}

impl Upstream {
    fn new(replicas: &[Uri], config: &Config) -> anyhow::Result<Self> {
        let replica = |uri: &Uri| {
            let authority = uri.authority().with_context(|| format!("{uri} has no host"))?.clone();
            anyhow::Ok(Arc::new(Replica {
                authority,
                in_flight: AtomicUsize::new(0),
                rests_until: AtomicU64::new(0),
            }))
        };
        Ok(Self {
            replicas: replicas.iter().map(replica).collect::<Result<_, _>>()?,
            next: AtomicUsize::new(0),
            slots: Arc::new(Semaphore::new(config.upstream_in_flight_max)),
            streams: Arc::new(Semaphore::new(config.streams_max)),
            started: Instant::now(),
        })
    }

    /// A turn at the service. Each holds a connection, as hyper's pool has no bound of its own; so event streams,
    /// which hold theirs for minutes, have turns of their own.
    ///
    /// # Errors
    /// [`Error::UpstreamBusy`] when none comes free in time.
    pub async fn turn(&self, stream: bool) -> Result<OwnedSemaphorePermit, Error> {
        let slots = Arc::clone(if stream { &self.streams } else { &self.slots });
        if let Ok(permit) = Arc::clone(&slots).try_acquire_owned() {
            return Ok(permit);
        }
        match timeout(TURN_MAX, slots.acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(Error::UpstreamBusy),
        }
    }

    /// The replica for the next request: of the next two that do not rest, the one with less to do. When all rest, the
    /// next one is tried all the same.
    #[must_use]
    pub fn pick(&self, except: Option<&Picked>) -> Option<Picked> {
        let now_ms = self.now_ms();
        let count = self.replicas.len();
        let start = self.next.fetch_add(1, Ordering::Relaxed) % count.max(1);
        let others = || {
            let turn = (0..count).map(|offset| &self.replicas[(start + offset) % count]);
            turn.filter(|replica| except.is_none_or(|except| !Arc::ptr_eq(&except.0, replica)))
        };
        let awake = others().filter(|replica| replica.rests_until.load(Ordering::Relaxed) <= now_ms);
        let chosen = awake.take(2).min_by_key(|replica| replica.in_flight.load(Ordering::Relaxed));
        chosen.or_else(|| others().next()).map(|replica| Picked::new(Arc::clone(replica)))
    }

    /// Leaves a replica alone for a while.
    pub fn rest(&self, replica: &Replica) {
        let rest_ms = u64::try_from(REST.as_millis()).unwrap_or(u64::MAX);
        replica.rests_until.store(self.now_ms() + rest_ms, Ordering::Relaxed);
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// A replica with one more request to do, until this is dropped.
#[derive(Debug)]
pub struct Picked(Arc<Replica>);

impl Picked {
    fn new(replica: Arc<Replica>) -> Self {
        replica.in_flight.fetch_add(1, Ordering::Relaxed);
        Self(replica)
    }

    /// The replica.
    #[must_use]
    pub fn replica(&self) -> &Replica {
        &self.0
    }
}

impl Drop for Picked {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
