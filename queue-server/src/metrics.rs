//! What the rooms tell of themselves.

common::metrics! {
    /// People in rooms, and what moves them.
    pub struct Metrics {
        /// People in the line.
        waiting: IntGaugeVec["product"],
        /// People who were called and have not come yet.
        ready: IntGaugeVec["product"],
        /// People whose place is taken: called or admitted.
        inside: IntGaugeVec["product"],
        /// Registrations that made a ticket.
        joins_total: IntCounter,
        /// People let in: by a tick, straight through an empty line, or by hand.
        admissions_total: IntCounterVec["way"],
        /// Seconds that one tick of one room took.
        tick_seconds: Histogram,
        /// Records that wait to be applied.
        consumer_lag: IntGaugeVec["topic"],
    } namespace: "astraphe_queue"
}
