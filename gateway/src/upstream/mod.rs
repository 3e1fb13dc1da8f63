//! The services behind: their replicas, which of them is next, and how much each service may be asked at once.
//!
//! - [`replica`]: one process and how it does; [`connections`] to it; `breaker`: when to leave it alone.
//! - [`limit`]: how many requests a service takes at once; [`uploads`]: how many long bodies are on their way to it.
//! - [`watch`]: replicas come and go by their name, and say of themselves whether they are ready.

mod breaker;
pub mod connections;
pub mod limit;
pub mod replica;
pub mod uploads;
pub mod watch;

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context as _;
use http::Uri;
use http::uri::Authority;
use rand::Rng as _;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tower::retry::budget::{Budget as _, TpsBudget};

use crate::body::Progress;
use crate::config::Config;
use crate::error::Error;
use crate::routes::{Route, TABLE, To};
use limit::{Limit, Turn};
use replica::{Asked, Picked, Replica};
use uploads::{Line, Uploads};

/// Of so many requests, one may be sent a second time; and so many per second, where there are few.
const RETRIES: f32 = 0.1;
const RETRIES_MIN_PER_S: u32 = 5;
/// Over this time.
const RETRIES_OVER: Duration = Duration::from_secs(10);

/// All services behind.
#[derive(Debug)]
pub struct Upstreams {
    user: Upstream,
    product: Upstream,
    order: Upstream,
    queue: Upstream,
}

impl Upstreams {
    /// As the settings name them. Those named by an address are there at once, those by a name when it is resolved.
    ///
    /// # Errors
    /// When an address has no host.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let upstream = |name, replicas| Upstream::new(name, replicas, config);
        Ok(Self {
            user: upstream("user", &config.user_upstreams)?,
            product: upstream("product", &config.product_upstreams)?,
            order: upstream("order", &config.order_upstreams)?,
            queue: upstream("queue-server", &config.queue_upstreams)?,
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

    /// Each of them.
    pub fn all(&self) -> impl Iterator<Item = &Upstream> {
        [&self.user, &self.product, &self.order, &self.queue].into_iter()
    }
}

/// One service.
#[derive(Debug)]
pub struct Upstream {
    /// Its name in logs and figures.
    pub name: &'static str,
    /// As the settings name them.
    authorities: Vec<Authority>,
    replicas: RwLock<Arc<[Arc<Replica>]>>,
    workers: usize,
    limit: Limit,
    streams: Arc<Semaphore>,
    uploads: Uploads,
    retries: TpsBudget,
}

/// The right to ask a service, until it is dropped.
#[derive(Debug)]
pub enum Permit {
    /// For what it can work on at once.
    Turn(Turn),
    /// For a stream, for as long as the client likes.
    Stream(OwnedSemaphorePermit),
    /// For a long body, until it is answered.
    Upload(Line),
}

impl Permit {
    /// Whether it counts as work of the service.
    #[must_use]
    pub fn is_turn(&self) -> bool {
        matches!(self, Self::Turn(_))
    }
}

impl Upstream {
    fn new(name: &'static str, replicas: &[Uri], config: &Config) -> anyhow::Result<Self> {
        let authority = |uri: &Uri| uri.authority().cloned().with_context(|| format!("{uri} has no host"));
        let authorities = replicas.iter().map(authority).collect::<anyhow::Result<Vec<_>>>()?;
        let there = authorities.iter().filter_map(|authority| authority.as_str().parse().ok());
        let there =
            there.map(|address| Arc::new(Replica::new(address, config.workers()).seasoned())).collect();
        Ok(Self {
            name,
            authorities,
            replicas: RwLock::new(there),
            workers: config.workers(),
            limit: Limit::new(config.upstream_in_flight_max, TABLE.len()),
            streams: Arc::new(Semaphore::new(config.streams_max)),
            uploads: Uploads::default(),
            retries: TpsBudget::new(RETRIES_OVER, RETRIES_MIN_PER_S, RETRIES),
        })
    }

    /// The right to ask; `coming` is the body where some of it is still on its way. A turn is only for what is here, so that
    /// no client holds one by being slow.
    ///
    /// # Errors
    /// [`Error::UpstreamBusy`] when there is none to be had in time.
    pub async fn permit(&self, route: &Route, coming: Option<Arc<Progress>>) -> Result<Permit, Error> {
        self.retries.deposit();
        if route.is_stream() {
            let stream = Arc::clone(&self.streams).try_acquire_owned();
            return stream.map(Permit::Stream).map_err(|_| Error::UpstreamBusy);
        }
        match coming {
            Some(body) => self.uploads.line(body).map(Permit::Upload).ok_or(Error::UpstreamBusy),
            None => self.limit.turn(route.is_in()).await.map(Permit::Turn),
        }
    }

    /// A request of the route with that number was answered after so long.
    pub fn answered(&self, route: usize, took: Duration) {
        self.limit.answered(route, took);
    }

    /// Whether one more request may be sent a second time.
    pub fn may_retry(&self) -> bool {
        self.retries.withdraw()
    }

    /// The present replicas.
    #[must_use]
    pub fn replicas(&self) -> Arc<[Arc<Replica>]> {
        Arc::clone(&self.replicas.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// How many requests it is asked at once now, at most.
    #[must_use]
    pub fn limit(&self) -> f64 {
        self.limit.present()
    }

    /// The replica for the next request: of two chosen at random, the one that answers sooner; or one whose rest is
    /// over, to see whether it is back.
    ///
    /// # Errors
    /// [`Error::UpstreamDown`] when all rest, [`Error::UpstreamUnreachable`] when there is none.
    pub fn pick(&self, except: Option<&Replica>, asked: Asked) -> Result<Picked, Error> {
        let replicas = self.replicas();
        let now = Instant::now();
        if replicas.is_empty() {
            return Err(Error::UpstreamUnreachable(anyhow::anyhow!("{} has no replica", self.name)));
        }
        let is_other =
            |replica: &&Arc<Replica>| except.is_none_or(|except| !std::ptr::eq(except, &***replica));
        let mut others = replicas.iter().filter(is_other);
        if let Some(due) = others.clone().find(|replica| replica.may_try(now)) {
            return Ok(Picked::new(Arc::clone(due), asked));
        }
        let up: Vec<_> = others.clone().filter(|replica| replica.is_up()).collect();
        let chosen = match *up {
            // When nobody is ready, somebody is asked all the same: an answer says more than none.
            [] => others.find(|replica| replica.is_whole()),
            [one] => Some(one),
            [one, other] => Some(lighter(one, other, now)),
            ref many => {
                let first = rand::rng().random_range(0..many.len());
                let second = (first + rand::rng().random_range(1..many.len())) % many.len();
                Some(lighter(many[first], many[second], now))
            }
        };
        let rest = || replicas.iter().map(|replica| replica.rest(now)).min().unwrap_or_default();
        chosen
            .map(|replica| Picked::new(Arc::clone(replica), asked))
            .ok_or_else(|| Error::UpstreamDown { rest: rest() })
    }
}

fn lighter<'r>(one: &'r Arc<Replica>, other: &'r Arc<Replica>, now: Instant) -> &'r Arc<Replica> {
    if one.load(now) <= other.load(now) { one } else { other }
}
