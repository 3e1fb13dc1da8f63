//! The service's figures.

common::metrics! {
    pub struct Metrics {
        /// Answers to reserves, by result.
        decisions_total: IntCounterVec["result"],
        /// Seconds from a batch's first command to its commit.
        batch_seconds: Histogram,
        /// Units that can be reserved, by product.
        stock_available: IntGaugeVec["product"],
        /// Units paid, by product.
        stock_sold: IntGaugeVec["product"],
        /// Events that wait for the broker.
        outbox_rows: IntGauge,
        /// Age of the oldest event that waits, in milliseconds.
        outbox_age_ms: IntGauge,
        /// Commands that nobody could use and nobody has sent again.
        dead_letters: IntGauge,
        /// Commands behind the cursor, in the partitions of this replica.
        consumer_lag: IntGaugeVec["topic"],
    } namespace: "astraphe_product"
}
