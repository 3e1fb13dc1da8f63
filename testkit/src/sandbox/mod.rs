//! The payment provider's stand-in: speaks the Toss Payments API (version 2022-11-16) as far as a shop's server uses
//! it, has a page where a person pays or does not, and fails on demand in the ways that the real one fails in by itself.
//!
//! - `http`: paths, authentication, idempotency and error bodies.
//! - `page`: the checkout page; `POST /sandbox/checkouts` does the same without a person.
//! - `store`: payments and what may happen to them.
//! - `faults`: which answers go wrong, and how.
//! - `webhook`: tells the shop of changes, again and again until it listens.
//!
//! State lives in memory behind one lock: the provider is somebody else's service, and its durability is not what
//! is tested here.

mod faults;
mod http;
mod page;
mod store;
mod webhook;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::ensure;
use clap::Parser;
use common::clock::Clock;
use common::config::{Secret, Telemetry};
use common::http::observe::Ready;
use common::stop::Stop;
use tokio::net::TcpListener;

pub use faults::Faults;

/// A payment provider for development and tests: speaks the Toss Payments API, moves no money.
#[derive(Debug, Clone, Parser)]
#[command(name = "payment-sandbox", version, about)]
pub struct Config {
    /// Where to listen.
    #[arg(long, env = "SANDBOX_LISTEN", default_value = "127.0.0.1:8085")]
    pub listen: SocketAddr,
    /// Logs.
    #[command(flatten)]
    pub telemetry: Telemetry,
    /// The shop's secret key; must start with `test_`, so that a real one is never put here.
    #[arg(long, env = "SANDBOX_SECRET_KEY", default_value = "test_sk_astraphe", hide_default_value = true)]
    pub secret_key: Secret<String>,
    /// How long confirming and cancelling take, in milliseconds. The effect is there at once, only the answer waits.
    #[arg(long, env = "SANDBOX_DELAY_MS", default_value_t = 0)]
    pub delay_ms: u32,
    /// How many times faster than the real provider's its clocks run: 10 minutes to confirm, 30 for the page, and the
    /// pauses between webhooks.
    #[arg(long, env = "SANDBOX_PACE", default_value_t = 1.0)]
    pub pace: f64,
    /// Where the shop wants to be told of changes; nowhere when absent.
    #[arg(long, env = "SANDBOX_WEBHOOK_URL")]
    pub webhook_url: Option<String>,
    /// What goes wrong from the start; `PUT /sandbox/faults` changes it.
    #[command(flatten)]
    pub faults: Faults,
    /// Where time comes from.
    #[arg(skip = Clock::system())]
    pub clock: Clock,
}

/// What handlers share.
#[derive(Debug, Clone)]
struct App {
    shop: Arc<Mutex<store::Shop>>,
    faults: Arc<Mutex<faults::Dice>>,
    webhooks: webhook::Sender,
    authorization: Arc<str>,
    delay: Duration,
    clock: Clock,
}

impl App {
    /// Every change is made whole before the lock is given back, so a panic elsewhere leaves nothing half done.
    fn shop(&self) -> MutexGuard<'_, store::Shop> {
        self.shop.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn faults(&self) -> MutexGuard<'_, faults::Dice> {
        self.faults.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Serves the sandbox on `listener` until `stop`, then finishes the requests in flight (at most 10 s).
///
/// # Errors
/// When the secret key is not a test key, or another setting is out of bounds.
pub async fn serve(listener: TcpListener, config: Config, stop: Stop) -> anyhow::Result<()> {
    ensure!(config.secret_key.0.starts_with("test_"), "SANDBOX_SECRET_KEY must start with test_");
    ensure!(config.pace.is_finite() && config.pace > 0.0, "SANDBOX_PACE must be above 0");
    config.faults.check().map_err(anyhow::Error::msg)?;
    tracing::info!(?config, "starting");
    let app = App {
        shop: Arc::new(Mutex::new(store::Shop::new(config.pace))),
        faults: Arc::new(Mutex::new(faults::Dice::new(config.faults))),
        webhooks: webhook::Sender::new(config.webhook_url, config.pace, stop.clone())?,
        authorization: http::authorization(&config.secret_key.0).into(),
        delay: Duration::from_millis(config.delay_ms.into()),
        clock: config.clock,
    };
    let ready = Ready::default();
    ready.set(true);
    let operations = common::http::observe::operations(&common::metrics::registry(), &ready);
    common::http::serve(listener, http::routes(app).merge(operations), stop.clone()).await;
    stop.drained().await;
    Ok(())
}
