//! The service's figures.

common::metrics! {
    pub(crate) struct Metrics {
        /// Logins by result: ok, wrong, limited or busy.
        logins_total: IntCounterVec["result"],
        /// Refreshes by result: ok, again (used a moment ago), reused (the login has ended) or refused.
        refreshes_total: IntCounterVec["result"],
        /// Reads of a profile by what Redis knew: hit, miss or unavailable.
        profile_reads_total: IntCounterVec["result"],
        /// Rows removed because they ended, by what they were; of accounts, their texts.
        cleaned_total: IntCounterVec["what"],
        /// Ended logins and changed accounts that Redis does not know yet.
        changes_waiting: IntGauge,
        /// Seconds of computing one password hash, without the wait for its turn.
        hash_seconds: Histogram,
        /// Notices put into boxes, by kind.
        notices_total: IntCounterVec["kind"],
        /// Records that wait to be read, by topic.
        consumer_lag: IntGaugeVec["topic"],
    } namespace: "astraphe_user"
}
