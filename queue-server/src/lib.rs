//! The waiting rooms: one per product, each step one atomic script, any number of instances.
//!
//! Owns the Redis keys `room:{<product>}:*` and `rooms` (laid out in [`room::store`]), `queue:{relay}:*`,
//! `pass-epoch:{<product>}` and `pass-denied:{<product>}` (read by gateway and order), the topic `queue.events.v1` and the
//! key that signs access tokens (`/.well-known/jwks.json`). Reads `product.events.v1`, `stock.decisions.v1` and `order.events.v1`.
//!
//! - [`room`]: everything a room does.
//! - `adapt`: capacity that follows the load.
//! - [`live`]: what is known of rooms in memory, and told to those who wait.
//! - `limits`: how often one account, and one address, may ask.
//! - `plain`: the waiting page without a script.
//! - `relay`: moves the rooms' logs to `queue.events.v1`, one instance at a time.
//! - [`cli`]: `queue-server keygen`.

mod adapt;
mod app;
pub mod cli;
mod config;
mod error;
mod limits;
pub mod live;
mod metrics;
mod plain;
mod relay;
pub mod room;
mod routes;

use common::http::observe::{self, Ready};
use common::stop::Stop;
use tokio::net::TcpListener;

pub use config::{Config, Limits};

/// Serves waiting rooms on `listener` until `stop`, then finishes the requests in flight (at most 10 s).
///
/// Answers at once, with 503 `room-unavailable` while Redis is not there.
///
/// # Errors
/// When a key file cannot be read or the settings are wrong.
pub async fn serve(listener: TcpListener, config: Config, stop: Stop) -> anyhow::Result<()> {
    tracing::info!(?config, "starting");
    let registry = common::metrics::registry();
    let ready = Ready::default();
    let app = app::App::open(config, &registry, &stop)?;
    let router = observe::observed(routes::routes(app.clone()), &registry, &ready)?;
    stop.spawn("rooms", room::tick::run(app.clone(), ready));
    stop.spawn("limits", limits::sweep(app.clone()));
    stop.spawn("adapt", adapt::run(app.clone()));
    stop.spawn("relay", relay::run(app.clone()));
    stop.spawn("marks", relay::mark(app.clone()));
    stop.spawn("inputs", room::events::run(app));
    common::http::serve(listener, router, stop.clone()).await;
    stop.drained().await;
    Ok(())
}
