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
        /// Requests refused because an account, or an address, asked too often.
        limited_total: IntCounterVec["what", "by"],
        /// Event streams that are open.
        streams: IntGauge,
        /// Events written to streams, signs of life included.
        events_total: IntCounter,
        /// Seconds since a room was looked at.
        follower_lag_seconds: IntGaugeVec["product"],
        /// Looks at rooms' logs, each shared by all who ask meanwhile.
        looks_total: IntCounter,
        /// Steps that were read from rooms' logs.
        followed_total: IntCounter,
        /// Seconds that one tick of one room took.
        tick_seconds: Histogram,
        /// Records that wait to be applied.
        consumer_lag: IntGaugeVec["topic"],
        /// 1 at the instance that moves the rooms' logs to the topic.
        relay_leads: IntGauge,
        /// Entries of the rooms' streams that the topic does not have, as the instance that moves them sees it.
        relay_lag: IntGauge,
        /// Milliseconds since the oldest of them was taken.
        relay_age_ms: IntGauge,
        /// Steps moved to the topic.
        relay_steps_total: IntCounter,
    } namespace: "astraphe_queue"
}
