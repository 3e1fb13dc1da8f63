//! What comes in: products, the stock's decisions, transitions of orders. Coming twice changes nothing.

use std::sync::Arc;
use std::time::Duration;

use common::config::Kafka;
use common::kafka::consumer::{Lag, Received, Source, consume};
use common::kafka::create_topics;
use common::kafka::producer::Producer;
use common::stop::Stop;
use common::wire::event::{ORDER_EVENTS, OrderChanged, PRODUCT_EVENTS, STOCK_DECISIONS, StockDecided, Topic};
use common::wire::product::ProductSnapshot;

use super::store::Letter;
use super::{rules, sales, store};
use crate::app::App;

/// How long what notices are made of may wait at the broker for more: nobody minds hearing this much later.
const PATIENCE: Duration = Duration::from_millis(250);
/// Between two samples of what waits to be read.
const SAMPLE: Duration = Duration::from_secs(1);

/// Reads the three topics until the stop. Logins do not wait for the broker: only this does.
pub(crate) async fn run(app: App, kafka: Kafka, producer: Producer, stop: Stop) {
    let topics = [PRODUCT_EVENTS, STOCK_DECISIONS, ORDER_EVENTS];
    if let Err(error) = create_topics(&kafka, &topics, &stop).await {
        tracing::error!(error = format!("{error:#}"), "no topics to read notices from");
        return stop.stop();
    }
    let source = |group| Source { patience: PATIENCE, ..Source::new(&kafka, group, &producer) };
    let (products, decisions, orders) =
        (source("notice-products"), source("notice-decisions"), source("notice-orders"));
    let lags = [&products, &decisions, &orders].map(|source| source.lag.clone());
    tokio::join!(
        consume(products, stop.clone(), |records| take_products(app.clone(), records)),
        consume(decisions, stop.clone(), |records| take_decisions(app.clone(), records)),
        consume(orders, stop.clone(), |records| take_orders(app.clone(), records)),
        sample(&app, topics, lags, &stop),
    );
}

async fn take_products(app: App, records: Arc<[Received<ProductSnapshot>]>) -> anyhow::Result<()> {
    let snapshots: Vec<ProductSnapshot> = records.iter().map(|record| record.event.clone()).collect();
    Ok(sales::keep(&app.pg, &snapshots, app.clock.now()).await?)
}

async fn take_decisions(app: App, records: Arc<[Received<StockDecided>]>) -> anyhow::Result<()> {
    sales::decide(&app, &records.iter().map(|record| &record.event).collect::<Vec<_>>()).await
}

async fn take_orders(app: App, records: Arc<[Received<OrderChanged>]>) -> anyhow::Result<()> {
    let letters: Vec<Letter> = records
        .iter()
        .filter_map(|record| {
            let (event_key, notice) = rules::of_order(&record.event)?;
            Some(Letter { user: record.event.user_id, event_key, notice })
        })
        .collect();
    if letters.is_empty() {
        return Ok(());
    }
    let new = store::put(&app.pg, &letters, app.clock.now()).await?;
    app.metrics.notices_total.with_label_values(&["orderChanged"]).inc_by(new);
    Ok(())
}

async fn sample(app: &App, topics: [Topic; 3], lags: [Lag; 3], stop: &Stop) {
    while stop.pause(SAMPLE).await {
        for (topic, lag) in topics.iter().zip(&lags) {
            app.metrics.consumer_lag.with_label_values(&[topic.name]).set(lag.get());
        }
    }
}
