//! The gateway's figures. Labels are bounded: a route is its pattern in the table, never a path.

common::metrics! {
    /// What the door counts.
    pub struct Metrics {
        /// Requests by route and status.
        requests_total: IntCounterVec["route", "status"],
        /// Seconds from request to the head of its answer, by route.
        request_seconds: HistogramVec["route"],
        /// Requests that a service did not answer, by service.
        upstream_errors_total: IntCounterVec["upstream"],
        /// Requests waiting for the head of their answer.
        in_flight: IntGauge,
        /// Requests refused because their account or address asked too often, by rate and by which of the two.
        limited_total: IntCounterVec["rate", "by"],
        /// Open connections of clients.
        connections: IntGauge,
        /// Replicas of a service, by whether they get requests.
        upstream_replicas: IntGaugeVec["upstream", "state"],
        /// Requests that a service is asked at once, at most.
        upstream_limit: IntGaugeVec["upstream"],
    } namespace: "astraphe_gateway"
}
