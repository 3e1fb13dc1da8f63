//! The product service: catalogue, sales, and the stock of every product.
//!
//! It owns the database `product` with the tables `company`, `category`, `product`, `product_option`,
//! `adjustment_request`, `stock`, `stock_cursor`, `stock_turn`, `reservation`, `stock_adjustment`,
//! `stock_ledger`, `search_word`, `image`, `product_like`, `import`, `import_page`, `import_batch`, `import_rejection`, `room_figure`,
//! `dead_letter` and `outbox`, the store of pictures, the Redis keys `{like}:*`, and the topics `stock.decisions.v1` and `product.events.v1`. `stock.commands.v1` it shares with the order
//! service: both write it, only this one reads it.
//!
//! | room | what |
//! |---|---|
//! | [`company`] | what a seller sells as |
//! | [`catalog`] | products and their options; their pages |
//! | [`category`] | the tree that products hang in |
//! | [`sale`] | where a sale stands; telling others of a new version or state |
//! | [`search`] | finding products |
//! | [`image`] | pictures: uploaded, kept, served, collected |
//! | [`like`] | who likes what, and what is liked most |
//! | [`import`] | many products at once |
//! | [`seller`] | what sellers see of their own |
//! | [`stock`] | who gets a unit: one writer per partition of the commands |
//! | [`field`], [`page`], [`etag`] | checking bodies, lists by page, versions as entity tags |
//! | [`cli`] | the tool `dead-letters` |

pub mod app;
pub mod catalog;
pub mod category;
pub mod cli;
pub mod company;
pub mod config;
pub mod error;
pub mod etag;
pub mod field;
pub mod image;
pub mod import;
pub mod like;
pub mod metrics;
pub mod page;
pub mod routes;
pub mod sale;
pub mod search;
pub mod seller;
pub mod stock;

use anyhow::Context as _;
use axum::Router;
use common::auth::Verifier;
use common::auth::jwks::KeySet;
use common::auth::key::InternalKey;
use common::client::Client;
use common::dead_letter::{self, http::Desk};
use common::http::door::serve_when_open;
use common::kafka::consumer::Source;
use common::kafka::create_topics;
use common::kafka::producer::Producer;
use common::outbox::{self, Nudge};
use common::pool::Pool;
use common::redis::Connections;
use common::stop::Stop;
use common::wire::event::{PRODUCT_EVENTS, QUEUE_EVENTS, STOCK_COMMANDS, STOCK_DECISIONS};
use prometheus::Registry;
use sqlx::migrate::Migrator;
use tokio::net::TcpListener;

use crate::app::App;
use crate::catalog::pages::Pages;
use crate::config::Config;
use crate::image::http::Images;
use crate::image::objects::Objects;
use crate::import::work::Bell;
use crate::like::counts::Counts;
use crate::like::popular::Popular;
use crate::metrics::Metrics;
use crate::search::http::Answers;
use crate::seller::live::Watchers;
use crate::seller::sale::Sales;
use crate::stock::lane::Stage;

/// The tables.
pub static MIGRATIONS: Migrator = sqlx::migrate!();

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
    let redis = Connections::open(&config.redis)?;
    verifier.heed(redis.clone(), stop);

    let pg = common::pg::open(&config.pg, &MIGRATIONS, stop).await?;
    create_topics(kafka, &[STOCK_COMMANDS, STOCK_DECISIONS, PRODUCT_EVENTS, QUEUE_EVENTS], stop).await?;
    let producer = Producer::new(kafka).context("producer")?;
    let nudge = Nudge::default();
    let rooms = Source::new(kafka, seller::events::GROUP, &producer);
    let rooms = Source { patience: seller::events::PATIENCE, ..rooms };
    stop.spawn("figures", seller::events::run(rooms, pg.clone(), metrics.clone(), stop.clone()));
    let relay = outbox::relay(pg.clone(), kafka.clone(), producer, nudge.clone(), stop.clone());
    stop.spawn("outbox relay", relay);
    let (rows, age_ms) = (metrics.outbox_rows.clone(), metrics.outbox_age_ms.clone());
    stop.spawn("outbox watch", outbox::watch(pg.clone(), clock.clone(), rows, age_ms, stop.clone()));
    let letters = metrics.dead_letters.clone();
    stop.spawn("dead letters", dead_letter::watch(pg.clone(), letters, stop.clone()));
    let writers = stock::writer::pool(&pg);
    stock::writer::start(Stage {
        journal: common::pg::by_key(&writers, stock::writer::CONNECTIONS_MAX),
        pool: writers,
        kafka: kafka.clone(),
        clock: clock.clone(),
        metrics,
        nudge: nudge.clone(),
        stop: stop.clone(),
    });
    let pool = Pool::new(config.images.image_parallel, config.images.image_waiting_max);
    let app = App {
        images: Images::new(Objects::open(&config.images)?, pool),
        searches: search::store::pool(&pg, config.search_pool_max),
        answers: Answers::default(),
        pages: Pages::new(config.pages_kept),
        likes: Counts::new(redis),
        popular: Popular::default(),
        imports: Bell::default(),
        import_hosts: config.import_hosts.clone(),
        sales: Sales::new(Client::new(&config.queue_url, verifier.clone())?),
        watchers: Watchers::new(stop.clone()),
        pg,
        verifier,
        clock: clock.clone(),
        nudge,
    };
    start(&app, stop);
    let desk = Desk {
        pg: app.pg.clone(),
        clock: app.clock.clone(),
        verifier: app.verifier.clone(),
        nudge: app.nudge.clone(),
        other: None,
    };
    Ok(routes::routes(app).merge(dead_letter::http::routes(desk)))
}

/// What runs beside the requests, the stock stage and the outbox apart.
fn start(app: &App, stop: &Stop) {
    let (pg, clock) = (|| app.pg.clone(), || app.clock.clone());
    stop.spawn("turns of sales", sale::turn::run(pg(), clock(), app.nudge.clone(), stop.clone()));
    stop.spawn("changes of pages", catalog::pages::listen(pg(), app.pages.clone(), stop.clone()));
    stop.spawn("image collection", image::collect::run(app.clone(), stop.clone()));
    stop.spawn("likes", like::flush::run(app.clone(), stop.clone()));
    for _ in 0..import::work::WORKERS {
        stop.spawn("importer", import::work::run(pg(), clock(), app.imports.clone(), stop.clone()));
    }
    let (hosts, bell) = (app.import_hosts.clone(), app.imports.clone());
    stop.spawn("fetcher of pages", import::fetch::run(pg(), clock(), hosts, bell, stop.clone()));
}
