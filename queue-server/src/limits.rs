//! How often one account, and one address, may ask: checked before Redis is touched, by each instance for itself.
//!
//! Buckets refill evenly. One that is full again is forgotten, so that only those who asked within the last minute take
//! memory, some 100 bytes each.

use std::hash::Hash;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::Response;
use common::auth::Caller;
use common::http::Peer;
use common::http::origin::{client, network};
use common::http::problem::Failure;
use common::wire::id::UserId;
use governor::clock::{Clock as _, DefaultClock};
use governor::{DefaultKeyedRateLimiter, Quota};

use crate::app::App;
use crate::config;
use crate::error::Error;

/// Between two looks for buckets that are full again.
const SWEEP: Duration = Duration::from_secs(10);
/// The buckets of an instance.
#[derive(Debug)]
pub(crate) struct Limits {
    joins: Limit,
    polls: Limit,
    loopback_exempt: bool,
}

/// The buckets of one kind of request.
#[derive(Debug)]
struct Limit {
    what: &'static str,
    accounts: Buckets<UserId>,
    addresses: Option<Buckets<IpAddr>>,
}

/// One bucket for each key.
#[derive(Debug)]
struct Buckets<K: Hash + Eq + Clone>(DefaultKeyedRateLimiter<K>);

impl Limits {
    /// Full buckets of the settings' sizes.
    pub(crate) fn new(settings: &config::Limits) -> Self {
        let limit = |what, of_account: NonZeroU32, of_address| {
            let accounts = Quota::per_minute(of_account).allow_burst(settings.burst);
            // A minute's worth at once: at an opening, a whole office comes in the same second.
            let addresses = NonZeroU32::new(of_address).map(|many| Buckets::new(Quota::per_minute(many)));
            Limit { what, accounts: Buckets::new(accounts), addresses }
        };
        Self {
            joins: limit("join", settings.joins_per_minute, settings.address_joins_per_minute),
            polls: limit("poll", settings.polls_per_minute, settings.address_polls_per_minute),
            loopback_exempt: settings.loopback_exempt,
        }
    }
}

impl Limit {
    /// Takes one request out of both buckets, or says which one is empty and for how long.
    fn take(&self, user: UserId, address: Option<IpAddr>) -> Result<(), (&'static str, Duration)> {
        // The account first: what it may not ask must not use up what its neighbours may.
        self.accounts.take(&user).map_err(|wait| ("account", wait))?;
        match (&self.addresses, address) {
            (Some(addresses), Some(address)) => {
                addresses.take(&network(address)).map_err(|wait| ("address", wait))
            }
            _ => Ok(()),
        }
    }

    fn sweep(&self) {
        self.accounts.sweep();
        if let Some(addresses) = &self.addresses {
            addresses.sweep();
        }
    }
}

impl<K: Hash + Eq + Clone> Buckets<K> {
    fn new(quota: Quota) -> Self {
        Self(DefaultKeyedRateLimiter::keyed(quota))
    }

    fn take(&self, key: &K) -> Result<(), Duration> {
        self.0.check_key(key).map_err(|until| until.wait_time_from(DefaultClock::default().now()))
    }

    fn sweep(&self) {
        self.0.retain_recent();
        self.0.shrink_to_fit();
    }
}

/// In front of a registration. What comes through carries its caller.
pub(crate) async fn join(
    State(app): State<App>,
    caller: Caller,
    request: Request,
    next: Next,
) -> Result<Response, Error> {
    check(&app, &app.limits.joins, &caller, &request)?;
    Ok(next.run(known(request, caller)).await)
}

/// In front of everything else that shoppers ask. What comes through carries its caller.
pub(crate) async fn poll(
    State(app): State<App>,
    caller: Caller,
    request: Request,
    next: Next,
) -> Result<Response, Error> {
    check(&app, &app.limits.polls, &caller, &request)?;
    Ok(next.run(known(request, caller)).await)
}

/// In front of the plain page: what its form sends is a registration, or as good as one. A visitor without a login asks no
/// room.
pub(crate) async fn page(
    State(app): State<App>,
    caller: Result<Caller, Failure>,
    request: Request,
    next: Next,
) -> Result<Response, Error> {
    let Ok(caller) = caller else { return Ok(next.run(request).await) };
    let limit = if request.method() == Method::POST { &app.limits.joins } else { &app.limits.polls };
    check(&app, limit, &caller, &request)?;
    Ok(next.run(known(request, caller)).await)
}

/// Forgets full buckets, until the stop.
pub(crate) async fn sweep(app: App) {
    while app.stop.pause(SWEEP).await {
        app.limits.joins.sweep();
        app.limits.polls.sweep();
    }
}

fn check(app: &App, limit: &Limit, caller: &Caller, request: &Request) -> Result<(), Error> {
    let peer = request.extensions().get::<Peer>().map(|Peer(address)| *address);
    let address = client(request.headers(), peer);
    if app.limits.loopback_exempt && address.is_some_and(|address| address.is_loopback()) {
        return Ok(());
    }
    limit.take(caller.user, address).map_err(|(by, wait)| {
        app.metrics.limited_total.with_label_values(&[limit.what, by]).inc();
        Error::TooManyRequests { wait }
    })
}

/// The handler behind need not verify the caller again.
fn known(mut request: Request, caller: Caller) -> Request {
    request.extensions_mut().insert(caller);
    request
}
