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
pub mod start;
pub mod stock;

use anyhow::Context as _;
use common::auth::Verifier;
use common::auth::jwks::KeySet;
use common::auth::key::InternalKey;
use common::http::observe::{Ready, observed};
use common::kafka::create_topics;
use common::kafka::producer::Producer;
use common::outbox::{self, Nudge};
use common::stop::Stop;
use common::wire::event::{PRODUCT_EVENTS, STOCK_COMMANDS, STOCK_DECISIONS};
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
    let (registry, ready, door) = (common::metrics::registry(), Ready::default(), start::Door::default());
    let http = common::http::serve(listener, door.router(&registry, &ready), stop.clone());
    let work = async {
        let opened = open(&config, &registry, &ready, &door, &stop).await;
        // A stop while waiting for a server is no failure.
        let failed = opened.is_err() && !stop.is_stopped();
        if failed {
            stop.stop();
        }
        if failed { opened } else { Ok(()) }
    };
    let ((), opened) = tokio::join!(http, work);
    ready.set(false);
    stop.stop();
    stop.drained().await;
    opened
}

async fn open(
    config: &Config,
    registry: &prometheus::Registry,
    ready: &Ready,
    door: &start::Door,
    stop: &Stop,
) -> anyhow::Result<()> {
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
    stop.spawn("outbox watch", start::watch_outbox(pg.clone(), clock.clone(), metrics.clone(), stop.clone()));
    stock::writer::start(Stage {
        pool: start::writer_pool(&pg),
        kafka: kafka.clone(),
        clock: clock.clone(),
        metrics,
        nudge: nudge.clone(),
        stop: stop.clone(),
    });
    let app = App { pg, verifier, clock: clock.clone(), nudge };
    door.open(observed(routes::routes(app), registry, ready)?);
    ready.set(true);
    tracing::info!("ready");
    Ok(())
}
