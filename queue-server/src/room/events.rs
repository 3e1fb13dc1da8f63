//! What rooms learn: of products, of stock, of orders. Each room orders these by their own numbers (version, last, seq),
//! so that a record that comes again, or late, changes nothing, and the records of a batch need no order among them.
//!
//! A Redis that dies loses its last second or two. So an offset is committed only when Redis, in the same run, is still
//! there 5 s after the record was applied; and when it comes back as another run, the topics are read again from what
//! was committed.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use common::kafka;
use common::kafka::commits::Safety;
use common::kafka::consumer::{Received, Source, consume_safely};
use common::kafka::producer::Producer;
use common::wire::event::{Event, ORDER_EVENTS, OrderChanged, PRODUCT_EVENTS, STOCK_DECISIONS, StockDecided};
use common::wire::id::ProductId;
use common::wire::product::ProductSnapshot;
use futures::future::try_join_all;
use tokio::time::Instant;

use super::rules;
use super::store::{ORDERS_MAX, OrderNews};
use crate::app::App;

type Records<T> = Arc<[Received<T>]>;

/// How often the figures of what waits are brought up to date.
const LAG_EVERY: Duration = Duration::from_secs(1);
/// Redis writes its file every second, and may be a second late with it. What is older than this is written.
const WRITTEN: Duration = Duration::from_secs(5);
/// How long what became of orders may wait at the broker for more: one step takes many. Nothing that is decided for the
/// whole room hangs on it.
const PATIENCE: Duration = Duration::from_millis(50);
/// Between two looks at which run Redis is in.
const RUN_EVERY: Duration = Duration::from_secs(1);

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
    let inputs = Inputs { app: app.clone(), producer, safety: Safety::default() };
    inputs.listen("queue-products", Duration::ZERO, products);
    inputs.listen("queue-decisions", Duration::ZERO, decisions);
    inputs.listen("queue-orders", PATIENCE, orders);
    app.stop.spawn("redis run", watch(app.clone(), inputs.safety));
    Ok(())
}

/// What the readers of all topics share.
struct Inputs {
    app: App,
    producer: Producer,
    safety: Safety,
}

/// Lets offsets be committed while Redis stays in one run, and has the inputs read again when it does not.
async fn watch(app: App, safety: Safety) {
    let mut known = None;
    loop {
        let asked = Instant::now();
        match app.store.run_id().await {
            Ok(run) if known.as_ref() == Some(&run) => {
                if let Some(written) = asked.checked_sub(WRITTEN) {
                    safety.until(written);
                }
            }
            Ok(run) => {
                if known.replace(run).is_some() {
                    tracing::warn!(
                        "Redis was started again; the inputs are read again from what was committed"
                    );
                    safety.rewind();
                }
            }
            Err(error) => {
                tracing::debug!(error = format!("{error:#}"), "Redis does not say which run it is in")
            }
        }
        if !app.stop.pause(RUN_EVERY).await {
            return;
        }
    }
}

impl Inputs {
    /// Reads one topic in a task of its own and shows how far behind it is in another.
    fn listen<T, F>(&self, group: &'static str, patience: Duration, apply: fn(App, Records<T>) -> F)
    where
        T: Event + Clone + 'static,
        F: Future<Output = anyhow::Result<()>> + Send + 'static,
    {
        let (app, safety) = (self.app.clone(), self.safety.clone());
        let source = Source { patience, ..Source::new(&app.config.kafka, group, &self.producer) };
        let lag = source.lag.clone();
        let gauge = app.metrics.consumer_lag.with_label_values(&[T::TOPIC.name]);
        let stop = app.stop.clone();
        app.stop.spawn("lag", async move {
            while stop.pause(LAG_EVERY).await {
                gauge.set(lag.get());
            }
        });
        app.stop.clone().spawn(group, async move {
            consume_safely(source, safety, app.stop.clone(), |records| apply(app.clone(), records)).await;
        });
    }
}

async fn products(app: App, records: Records<ProductSnapshot>) -> anyhow::Result<()> {
    try_join_all(records.iter().map(|record| app.store.product(&record.event))).await?;
    Ok(())
}

async fn decisions(app: App, records: Records<StockDecided>) -> anyhow::Result<()> {
    // Of each product the last word counts: units that went and came back in one batch sold nothing out.
    let mut last = BTreeMap::<ProductId, &StockDecided>::new();
    for Received { event: decided, .. } in &*records {
        let newest = last.entry(decided.product_id).or_insert(decided);
        if newest.last < decided.last {
            *newest = decided;
        }
    }
    let steps = last.values().map(|decided| {
        let units = [decided.total, decided.available, decided.reserved, decided.sold];
        app.store.decision(decided.product_id, decided.last, units)
    });
    try_join_all(steps).await?;
    Ok(())
}

async fn orders(app: App, records: Records<OrderChanged>) -> anyhow::Result<()> {
    let mut rooms = BTreeMap::<ProductId, Vec<OrderNews>>::new();
    for Received { event: change, .. } in &*records {
        let Some(effect) = rules::effect(change.state, change.reason.as_deref()) else { continue };
        let OrderChanged { order_id: order, seq, user_id: user, ref lines, .. } = *change;
        for line in lines {
            let news = OrderNews { order, seq, user, ticket: line.tkt, units: line.quantity, effect };
            rooms.entry(line.product_id).or_default().push(news);
        }
    }
    let parts =
        rooms.iter().flat_map(|(product, news)| news.chunks(ORDERS_MAX).map(move |some| (*product, some)));
    try_join_all(parts.map(|(product, news)| app.store.orders(product, news))).await?;
    Ok(())
}
