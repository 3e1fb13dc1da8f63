//! The service's figures, and the job that samples lags.

use std::time::Duration;

use common::kafka::consumer::Lag;
use common::stop::Stop;
use common::wire::event::Topic;

use crate::app::App;

/// Between two samples.
const SAMPLE: Duration = Duration::from_secs(1);

common::metrics! { pub struct Metrics {
    /// Transactions that placed orders; the orders in them are the transitions to `received`.
    place_batches_total: IntCounter,
    /// Transitions of orders, by the state they lead to.
    transitions_total: IntCounterVec["state"],
    /// Seconds from order placed to stock answer.
    stock_wait_seconds: Histogram,
    /// Answers about payments: approved, declined, unknown; late: approved after the order had ended.
    payments_total: IntCounterVec["result"],
    /// Answers about refunds: done, refused, unknown.
    refunds_total: IntCounterVec["result"],
    /// Messages of the payment provider: taken, or passed over because they are repeats or not about our payments.
    webhooks_total: IntCounterVec["result"],
    /// Events that wait to be sent.
    outbox_rows: IntGauge,
    /// Age of the oldest event that waits to be sent, in milliseconds.
    outbox_age_ms: IntGauge,
    /// Records that nobody could use and nobody has sent again, but for the stock's commands.
    dead_letters: IntGauge,
    /// Records that wait to be read, by topic.
    consumer_lag: IntGaugeVec["topic"],
} namespace: "astraphe_order" }

/// Samples the consumers until the stop.
pub async fn run(app: App, lags: [(Topic, Lag); 2], stop: Stop) {
    while stop.pause(SAMPLE).await {
        for (topic, lag) in &lags {
            app.metrics.consumer_lag.with_label_values(&[topic.name]).set(lag.get());
        }
    }
}
