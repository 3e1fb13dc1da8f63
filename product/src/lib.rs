//! The product service: catalogue, sales, and the stock of every product.
//!
//! It owns the database `product` with the tables `company`, `category`, `product`, `product_option`,
//! `adjustment_request`, `stock`, `stock_cursor`, `reservation`, `stock_adjustment`, `stock_ledger`, `dead_letter` and
//! `outbox`, and the topics `stock.decisions.v1` and `product.events.v1`. `stock.commands.v1` it shares with the order
//! service: both write it, only this one reads it.
//!
//! | room | what |
//! |---|---|
//! | [`company`] | what a seller sells as |
//! | [`catalog`] | products, options, categories |
//! | [`sale`] | where a sale stands; telling others of a new version |
//! | [`stock`] | who gets a unit: one writer per partition of the commands |
//! | [`field`], [`page`] | checking bodies, lists by page |

pub mod app;
pub mod catalog;
pub mod company;
pub mod config;
pub mod error;
pub mod field;
pub mod metrics;
pub mod page;
pub mod routes;
pub mod sale;
pub mod stock;

use anyhow::Context as _;
use axum::Router;
use common::auth::Verifier;
use common::auth::jwks::KeySet;
use common::auth::key::InternalKey;
use common::http::door::serve_when_open;
use common::kafka::create_topics;
use common::kafka::producer::Producer;
use common::outbox::{self, Nudge};
use common::stop::Stop;
use common::wire::event::{PRODUCT_EVENTS, STOCK_COMMANDS, STOCK_DECISIONS};
use prometheus::Registry;
use sqlx::migrate::Migrator;
use tokio::net::TcpListener;

use crate::app::App;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::stock::lane::Stage;

/// The tables.
static MIGRATIONS: Migrator = sqlx::migrate!();

/// Serves the catalogue on `listener` and decides about stock until `stop`, then finishes what is under way (≤ 10 s).
/// It answers `/livez` at once and everything else when its database and its topics are there.
///
/// # Errors
/// When the settings are wrong or a migration fails.
pub async fn serve(listener: TcpListener, config: Config, stop: Stop) -> anyhow::Result<()> {
    tracing::info!(?config, "starting");
    let registry = common::metrics::registry();
    serve_when_open(listener, &registry, &stop, open(&config, &registry, &stop)).await
}

async fn open(config: &Config, registry: &Registry, stop: &Stop) -> anyhow::Result<Router> {
    let (clock, kafka, trust) = (&config.clock, &config.kafka, &config.trust);
    let metrics = Metrics::register(registry)?;
    let internal = InternalKey::read(&trust.internal_key_file)?;
    let identities = KeySet::fetched(&trust.identity_jwks_url, stop)?;
    let passes = KeySet::fetched(&trust.pass_jwks_url, stop)?;
    let verifier = Verifier::new(identities, passes, internal, clock.clone());

    let pg = common::pg::open(&config.pg, &MIGRATIONS, stop).await?;
    create_topics(kafka, &[STOCK_COMMANDS, STOCK_DECISIONS, PRODUCT_EVENTS], stop).await?;
    let producer = Producer::new(kafka).context("producer")?;
    let nudge = Nudge::default();
    let relay = outbox::relay(pg.clone(), kafka.clone(), producer, nudge.clone(), stop.clone());
    stop.spawn("outbox relay", relay);
    let (rows, age_ms) = (metrics.outbox_rows.clone(), metrics.outbox_age_ms.clone());
    stop.spawn("outbox watch", outbox::watch(pg.clone(), clock.clone(), rows, age_ms, stop.clone()));
    stock::writer::start(Stage {
        pool: stock::writer::pool(&pg),
        kafka: kafka.clone(),
        clock: clock.clone(),
        metrics,
        nudge: nudge.clone(),
        stop: stop.clone(),
    });
    Ok(routes::routes(App { pg, verifier, clock: clock.clone(), nudge }))
}
