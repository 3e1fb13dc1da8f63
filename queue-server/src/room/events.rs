//! What rooms learn: of products, of stock, of orders. Each room orders these by their own numbers (version, last, seq),
//! so that a record that comes again, or late, changes nothing, and the records of a batch need no order among them.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::kafka;
use common::kafka::consumer::{Lag, Received, Source, consume};
use common::kafka::producer::Producer;
use common::wire::event::{Event, ORDER_EVENTS, OrderChanged, PRODUCT_EVENTS, STOCK_DECISIONS, StockDecided};
use common::wire::product::ProductSnapshot;
use futures::future::try_join_all;

use super::rules;
use super::store::OrderNews;
use crate::app::App;

type Records<T> = Arc<[Received<T>]>;

/// How often the figures of what waits are brought up to date.
const LAG_EVERY: Duration = Duration::from_secs(1);

/// Makes the topics and reads them until the stop.
pub(crate) async fn run(app: App) {
    let started = start(&app).await;
    match started {
        Ok(()) => app.listening.store(true, Ordering::Relaxed),
        Err(_) if app.stop.is_stopped() => {}
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "the inputs cannot be read");
            app.stop.stop();
        }
    }
}

async fn start(app: &App) -> anyhow::Result<()> {
    let topics = [PRODUCT_EVENTS, STOCK_DECISIONS, ORDER_EVENTS];
    kafka::create_topics(&app.config.kafka, &topics, &app.stop).await?;
    let producer = Producer::new(&app.config.kafka)?;
    listen(app, &producer, "queue-products", products);
    listen(app, &producer, "queue-decisions", decisions);
    listen(app, &producer, "queue-orders", orders);
    Ok(())
}

/// Reads one topic in a task of its own and shows how far behind it is in another.
fn listen<T, F>(app: &App, producer: &Producer, group: &'static str, apply: fn(App, Records<T>) -> F)
where
    T: Event + Clone + 'static,
    F: Future<Output = anyhow::Result<()>> + Send + 'static,
{
    let lag = Lag::default();
    let source =
        Source { kafka: app.config.kafka.clone(), group, producer: producer.clone(), lag: lag.clone() };
    let gauge = app.metrics.consumer_lag.with_label_values(&[T::TOPIC.name]);
    let stop = app.stop.clone();
    app.stop.spawn("lag", async move {
        while stop.pause(LAG_EVERY).await {
            gauge.set(lag.get());
        }
    });
    let app = app.clone();
    app.stop.clone().spawn(group, async move {
        consume(source, app.stop.clone(), |records| apply(app.clone(), records)).await;
    });
}

async fn products(app: App, records: Records<ProductSnapshot>) -> anyhow::Result<()> {
    try_join_all(records.iter().map(|record| app.store.product(&record.event))).await?;
    Ok(())
}

async fn decisions(app: App, records: Records<StockDecided>) -> anyhow::Result<()> {
    let steps = records.iter().map(|Received { event: decided, .. }| {
        let units = [decided.total, decided.available, decided.reserved, decided.sold];
        app.store.decision(decided.product_id, decided.last, units)
    });
    try_join_all(steps).await?;
    Ok(())
}

async fn orders(app: App, records: Records<OrderChanged>) -> anyhow::Result<()> {
    let news = records.iter().flat_map(|Received { event: change, .. }| {
        let effect = rules::effect(change.state, change.reason.as_deref());
        effect.into_iter().flat_map(|effect| {
            let OrderChanged { order_id: order, seq, user_id: user, ref lines, .. } = *change;
            lines.iter().map(move |line| {
                let news = OrderNews { order, seq, user, ticket: line.tkt, units: line.quantity, effect };
                (line.product_id, news)
            })
        })
    });
    let store = &app.store;
    try_join_all(news.map(|(product, news)| async move { store.order(product, &news).await })).await?;
    Ok(())
}
