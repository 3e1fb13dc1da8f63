//! Where a sale stands, and which policies a room can follow.

use common::wire::Time;
use common::wire::product::{QueuePolicy, SaleState};

use crate::field::Report;

/// Where a sale stands at `now`: the clock decides first, then what is available.
#[must_use]
pub fn state(now: Time, start: Time, end: Time, available: i64) -> SaleState {
    if now >= end {
        SaleState::Ended
    } else if now < start {
        SaleState::Scheduled
    } else if available > 0 {
        SaleState::OnSale
    } else {
        SaleState::SoldOut
    }
}

/// When the clock changes that state next: never again after the end.
#[must_use]
pub fn turn(now: Time, start: Time, end: Time) -> Option<Time> {
    [start, end].into_iter().find(|at| now < *at)
}

/// Checks the ranges that [`QueuePolicy`] documents.
pub fn check_policy(queue: &QueuePolicy, report: &mut Report) {
    report.number("queue.count", queue.count.into(), 1..=100_000);
    report.number("queue.intervalS", queue.interval_s.into(), 1..=3_600);
    report.number("queue.admissionDelayS", queue.admission_delay_s.into(), 0..=86_400);
    report.number("queue.awayAfterS", queue.away_after_s.into(), 15..=600);
    report.number("queue.graceS", queue.grace_s.into(), 0..=3_600);
    report.number("queue.claimS", queue.claim_s.into(), 10..=600);
    report.number("queue.claimPollS", queue.claim_poll_s.into(), 10..=600);
    report.number("queue.admissionS", queue.admission_s.into(), 30..=3_600);
    if let Some(capacity) = queue.capacity {
        report.number("queue.capacity", capacity.into(), 1..=i64::from(u32::MAX));
    }
    if let Some(gate) = queue.stock_gate {
        report.require((0.1..=10.0).contains(&gate), "queue.stockGate", "0.1 to 10");
    }
}

#[cfg(test)]
mod tests {
    use chrono::DateTime;

    use super::*;

    #[test]
    fn the_clock_decides_before_the_stock() {
        let at = |second| DateTime::from_timestamp(second, 0).unwrap();
        let table = [
            (9, 5, SaleState::Scheduled),
            (9, 0, SaleState::Scheduled),
            (10, 5, SaleState::OnSale),
            (19, 1, SaleState::OnSale),
            (10, 0, SaleState::SoldOut),
            (20, 5, SaleState::Ended),
            (20, 0, SaleState::Ended),
        ];
        for (now, available, expected) in table {
            assert_eq!(state(at(now), at(10), at(20), available), expected, "{now} {available}");
        }
        for (now, next) in [(9, Some(10)), (10, Some(20)), (19, Some(20)), (20, None)] {
            assert_eq!(turn(at(now), at(10), at(20)), next.map(at), "{now}");
        }
    }

    #[test]
    fn every_limit_of_the_policy_names_its_field() {
        let bad = QueuePolicy {
            count: 0,
            interval_s: 3_601,
            admission_delay_s: 86_401,
            away_after_s: 14,
            grace_s: 3_601,
            claim_s: 9,
            claim_poll_s: 601,
            admission_s: 29,
            capacity: Some(0),
            stock_gate: Some(f64::NAN),
            ..QueuePolicy::default()
        };
        let mut report = Report::default();
        check_policy(&bad, &mut report);
        let fields: Vec<_> = report.errors().into_iter().map(|error| error.field).collect();
        assert_eq!(
            fields,
            [
                "queue.count",
                "queue.intervalS",
                "queue.admissionDelayS",
                "queue.awayAfterS",
                "queue.graceS",
                "queue.claimS",
                "queue.claimPollS",
                "queue.admissionS",
                "queue.capacity",
                "queue.stockGate"
            ]
        );
        let mut report = Report::default();
        check_policy(&QueuePolicy { stock_gate: Some(0.1), ..QueuePolicy::default() }, &mut report);
        assert!(report.errors().is_empty());
    }
}
