//! The service's figures.

common::metrics! {
    pub(crate) struct Metrics {
        /// Logins by result: ok, wrong or busy.
        logins_total: IntCounterVec["result"],
        /// Seconds of computing one password hash, without the wait for its turn.
        hash_seconds: Histogram,
    } namespace: "astraphe_user"
}
