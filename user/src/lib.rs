//! Accounts, logins, identity tokens, and what people are told.
//!
//! Owns the tables `account`, `session`, `change`, `login_failure` and `familiar`, `sale`, `sold_out`, `subscription`,
//! `announcement`, `notice` and `notice_mark`, the Redis keys `denied:*`, and the key that signs identities
//! (`/.well-known/jwks.json`).
//!
//! - [`account`]: sign-up, profile, password hashes, the accounts that no sign-up makes.
//! - [`session`]: logins: what one gives, how it goes on, how it ends.
//! - `attempt`: how often somebody may try a password.
//! - `change`: what others must learn of, and how they do.
//! - `subscription`: what people asked to be told. `notice`: their boxes, and who is told when.
//! - `keys`: the keys that sign identities, and how they move on; `clean` removes what has ended.
//! - [`cli`]: `user seed`, `user keygen` and `user rotate-keys`.

pub mod account;
mod app;
mod attempt;
mod change;
mod clean;
pub mod cli;
mod config;
mod error;
mod keys;
mod metrics;
mod notice;
mod page;
mod routes;
pub mod session;
mod subscription;

use common::http::door::serve_when_open;
use common::kafka::producer::Producer;
use common::stop::Stop;
use sqlx::migrate::Migrator;
use tokio::net::TcpListener;

pub use config::Config;

use app::App;

/// The service's tables.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// Serves accounts on `listener` until `stop`, then finishes the requests in flight (at most 10 s).
///
/// Health is answered at once, the API when the database is there.
///
/// # Errors
/// When a key file cannot be read, the settings are wrong or a migration fails.
pub async fn serve(listener: TcpListener, config: Config, stop: Stop) -> anyhow::Result<()> {
    tracing::info!(?config, "starting");
    let registry = common::metrics::registry();
    let open = async {
        let app = App::open(&config, &registry, &stop).await?;
        jobs(&app, &config, &stop)?;
        Ok(routes::routes(app))
    };
    serve_when_open(listener, &registry, &stop, open).await
}

fn jobs(app: &App, config: &Config, stop: &Stop) -> anyhow::Result<()> {
    let producer = Producer::new(&config.kafka)?;
    let events = notice::events::run(app.clone(), config.kafka.clone(), producer, stop.clone());
    stop.spawn("notice events", events);
    stop.spawn("announce", notice::announce::run(app.clone(), stop.clone()));
    stop.spawn("boxes", notice::live::run(app.clone(), stop.clone()));
    stop.spawn("forget notices", notice::forget::run(app.clone(), stop.clone()));
    stop.spawn("clean", clean::run(app.clone(), stop.clone()));
    stop.spawn("keys", app.keys.clone().follow(stop.clone()));
    stop.spawn("changes", change::relay::run(app.clone(), stop.clone()));
    Ok(())
}
