//! The service's figures, and the job that samples lags.

use std::time::Duration;

use common::kafka::consumer::Lag;
use common::stop::Stop;
use common::wire::event::Topic;

use crate::app::App;
use crate::{payment, refund};

/// Between two samples.
const SAMPLE: Duration = Duration::from_secs(1);
/// Between two looks at open payments and refunds, which are worth a word after minutes.
const MONEY: Duration = Duration::from_secs(5);

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
    /// Age of the oldest payment whose outcome is unknown, and of the oldest refund that was not made, in seconds.
    money_open_age_seconds: IntGaugeVec["kind"],
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

/// Samples the ages of what payment and refund are open until the stop.
pub async fn watch_money(app: App, stop: Stop) {
    while stop.pause(MONEY).await {
        let oldest =
            futures::try_join!(payment::store::oldest_open(&app.pg), refund::store::oldest_open(&app.pg));
        match oldest {
            Ok((payment, refund)) => {
                for (kind, since) in [("payment", payment), ("refund", refund)] {
                    let age_s = since.map_or(0, |at| (app.clock.now() - at).num_seconds().max(0));
                    app.metrics.money_open_age_seconds.with_label_values(&[kind]).set(age_s);
                }
            }
            Err(error) => tracing::debug!(%error, "open payments and refunds not looked at"),
        }
    }
}

/// Samples the consumers until the stop.
pub async fn run(app: App, lags: [(Topic, Lag); 2], stop: Stop) {
    while stop.pause(SAMPLE).await {
        for (topic, lag) in &lags {
            app.metrics.consumer_lag.with_label_values(&[topic.name]).set(lag.get());
        }
    }
}
