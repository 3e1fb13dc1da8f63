//! The service's figures.

common::metrics! {
    pub(crate) struct Metrics {
        /// Logins by result: ok, wrong or busy.
        logins_total: IntCounterVec["result"],
        /// Seconds of computing one password hash, without the wait for its turn.
        hash_seconds: Histogram,
        /// Notices put into boxes, by kind.
        notices_total: IntCounterVec["kind"],
        /// Records that wait to be read, by topic.
        consumer_lag: IntGaugeVec["topic"],
    } namespace: "astraphe_user"
}
