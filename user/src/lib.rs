//! Accounts, logins, identity tokens.
//!
//! Owns the tables `account` and `session`, and the key that signs identities (`/.well-known/jwks.json`).
//!
//! - [`account`]: sign-up, profile, password hashes, the accounts that no sign-up makes.
//! - [`session`]: login and what it gives.
//! - [`cli`]: `user seed` and `user keygen`.

pub mod account;
mod app;
pub mod cli;
mod config;
mod error;
mod metrics;
mod routes;
pub mod session;

use common::http::door::serve_when_open;
use common::stop::Stop;
use sqlx::migrate::Migrator;
use tokio::net::TcpListener;

pub use config::Config;

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
    let open = async { Ok(routes::routes(app::App::open(&config, &registry, &stop).await?)) };
    serve_when_open(listener, &registry, &stop, open).await
}
