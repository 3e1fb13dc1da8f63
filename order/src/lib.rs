//! Orders and payments.
//!
//! Owns the database `orders` with the tables `orders`, `order_line`, `order_hold`, `order_ticket`,
//! `order_transition`, `payment_attempt`, `refund`, `webhook_receipt`, `product_copy`, `idempotency`, `dead_letter`,
//! `dead_letter_cursor` and `outbox`; the topic `order.events.v1`;
//! and the commands Reserve, Confirm, Release and Restock of `stock.commands.v1`. It alone decides that an order
//! expires. Reads queue-server's Redis keys of revoked access tokens.
//!
//! - [`order`]: place, show, cancel; the stock's decisions; expiry; asking again.
//! - [`payment`]: attempts, the provider, unknown outcomes.
//! - [`refund`]: money that goes back.
//! - [`product`]: the copy of the products that orders are calculated with.
//! - [`cli`]: the tool `dead-letters`. It keeps the dead letters of all topics but the stock's commands, and answers for
//!   those of the product service too.
//! - [`idempotency`]: same key, same body, same answer.
//! - [`routes`]: every URL. [`config`]: every setting. [`error`]: every refusal. [`metrics`]: every figure.

pub mod app;
pub mod cli;
pub mod config;
pub mod error;
pub mod idempotency;
pub mod metrics;
pub mod order;
pub mod payment;
pub mod product;
pub mod refund;
pub mod routes;

use anyhow::Context as _;
use axum::Router;
use common::auth::Verifier;
use common::auth::jwks::KeySet;
use common::auth::key::InternalKey;
use common::auth::revoked::Revoked;
use common::client::Client;
use common::dead_letter::{self, http::Desk};
use common::http::door::serve_when_open;
use common::kafka::consumer::Source;
use common::kafka::producer::Producer;
use common::outbox::{self, Nudge};
use common::redis::Connections;
use common::stop::Stop;
use common::wire::event::{
    ORDER_EVENTS, PRODUCT_EVENTS, QUEUE_EVENTS, STOCK_COMMANDS, STOCK_DECISIONS, Topic,
};
use prometheus::Registry;
use sqlx::migrate::Migrator;
use tokio::net::TcpListener;

pub use config::Config;

use app::{App, Parts};
use order::live::Watchers;
use order::place::Placer;
use order::sold_out::SoldOut;

/// Topics whose dead letters are kept here. Those of the stock's commands the product service keeps.
static LETTERS_OF: [Topic; 4] = [STOCK_DECISIONS, ORDER_EVENTS, PRODUCT_EVENTS, QUEUE_EVENTS];

/// Connections for placing and deciding: a batch of each, and orders that are placed alone.
const BY_KEY_MAX: u32 = 6;

/// The schema, step by step.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

/// Serves orders on `listener` until `stop`, then finishes requests in flight. The operator's endpoints answer at
/// once; the API as soon as database and log are there.
///
/// # Errors
/// When a setting is wrong, or a migration or topic is refused.
pub async fn serve(listener: TcpListener, config: Config, stop: Stop) -> anyhow::Result<()> {
    tracing::info!(?config, "starting");
    let registry = common::metrics::registry();
    serve_when_open(listener, &registry, &stop, open(config, &registry, &stop)).await
}

/// Connects to everything and starts the jobs.
async fn open(config: Config, registry: &Registry, stop: &Stop) -> anyhow::Result<Router> {
    let verifier = Verifier::new(
        KeySet::fetched(&config.trust.identity_jwks_url, stop)?,
        KeySet::fetched(&config.trust.pass_jwks_url, stop)?,
        InternalKey::read(&config.trust.internal_key_file)?,
        config.clock.clone(),
    );
    let redis = Connections::open(&config.redis)?;
    verifier.heed(redis.clone(), stop);
    let revoked = Revoked::new(redis);
    let products = Client::new(&config.product_url, verifier.clone())?;
    let provider = payment::provider::toss::Toss::new(&config).context("PAYMENT_URL")?;
    let producer = Producer::new(&config.kafka)?;
    let topics = [STOCK_COMMANDS, STOCK_DECISIONS, ORDER_EVENTS, PRODUCT_EVENTS, QUEUE_EVENTS];
    let pg = common::pg::open(&config.pg, &MIGRATIONS, stop).await?;
    common::kafka::create_topics(&config.kafka, &topics, stop).await?;
    let by_key = common::pg::by_key(&pg, BY_KEY_MAX);
    let (nudge, metrics) = (Nudge::default(), metrics::Metrics::register(registry)?);
    let sold_out = SoldOut::default();
    let app = App::new(Parts {
        watchers: Watchers::new(stop.clone()),
        placer: Placer::new(
            by_key.clone(),
            (nudge.clone(), metrics.clone()),
            sold_out.clone(),
            config.clock.clone(),
            stop.clone(),
        ),
        sold_out,
        pg,
        by_key,
        clock: config.clock.clone(),
        verifier,
        revoked,
        products,
        known: product::Known::default(),
        provider,
        nudge,
        metrics,
        config,
    });
    jobs(&app, producer, stop);
    let desk = Desk {
        pg: app.pg.clone(),
        clock: app.clock.clone(),
        verifier: app.verifier.clone(),
        nudge: app.nudge.clone(),
        other: Some(app.products.clone()),
    };
    Ok(routes::routes(app).merge(dead_letter::http::routes(desk)))
}

fn jobs(app: &App, producer: Producer, stop: &Stop) {
    let kafka = app.config.kafka.clone();
    let decisions = Source::new(&kafka, order::events::GROUP, &producer);
    let products = Source::new(&kafka, product::events::GROUP, &producer);
    let lags = [(STOCK_DECISIONS, decisions.lag.clone()), (PRODUCT_EVENTS, products.lag.clone())];
    stop.spawn("decisions", order::events::run(app.clone(), decisions, stop.clone()));
    stop.spawn("products", product::events::run(app.clone(), products, stop.clone()));
    stop.spawn("expire", order::expire::run(app.clone(), stop.clone()));
    stop.spawn("resend", order::resend::run(app.clone(), stop.clone()));
    stop.spawn("watch", order::live::run(app.clone(), stop.clone()));
    stop.spawn("resolve", payment::resolve::run(app.clone(), stop.clone()));
    stop.spawn("refunds", refund::resolve::run(app.clone(), stop.clone()));
    stop.spawn("forget", idempotency::forget::run(app.clone(), stop.clone()));
    stop.spawn("metrics", metrics::run(app.clone(), lags, stop.clone()));
    stop.spawn("money watch", metrics::watch_money(app.clone(), stop.clone()));
    let (rows, age_ms) = (app.metrics.outbox_rows.clone(), app.metrics.outbox_age_ms.clone());
    let clock = app.clock.clone();
    stop.spawn("outbox watch", outbox::watch(app.pg.clone(), clock, rows, age_ms, stop.clone()));
    let letters = app.metrics.dead_letters.clone();
    stop.spawn("dead letters", dead_letter::watch(app.pg.clone(), letters, stop.clone()));
    let (pg, log, clock, until) = (app.pg.clone(), kafka.clone(), app.clock.clone(), stop.clone());
    stop.spawn("letters come in", dead_letter::collect::run(pg, log, &LETTERS_OF, clock, until));
    let relay = outbox::relay(app.pg.clone(), kafka, producer, app.nudge.clone(), stop.clone());
    stop.spawn("outbox", relay);
}
