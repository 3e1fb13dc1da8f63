//! Who may pay when, and how long to wait between questions to the provider. Pure.

use std::time::Duration;

use common::wire::Time;
use common::wire::order::OrderState;

use crate::error::Error;
use crate::order::rules::Trigger;

/// Pauses before the first questions about an unknown outcome, in seconds.
const PAUSES_S: [u64; 5] = [1, 2, 5, 15, 60];
/// Pause before every further question, in seconds.
const PAUSE_MAX_S: u64 = 300;

/// Whether an order in this state can be paid now.
///
/// # Errors
/// [`Error::Expired`], [`Error::NotPayable`].
pub fn payable(state: OrderState, expires_at: Option<Time>, now: Time) -> Result<(), Error> {
    match state {
        OrderState::Reserved if expires_at.is_some_and(|at| at > now) => Ok(()),
        OrderState::Reserved | OrderState::Expired => Err(Error::Expired),
        _ => Err(Error::NotPayable),
    }
}

/// Whether an order in this state waits for the payment that turns out to be approved.
pub fn awaits_approval(state: OrderState, reviving: bool) -> bool {
    state == OrderState::Paying && !reviving
}

/// What becomes of an order in this state when a payment is approved that it does not wait for; nothing where the money
/// has to go back. `alone`: no other attempt pays the order, or has paid it.
pub fn paid_late(state: OrderState, alone: bool) -> &'static [Trigger] {
    match state {
        _ if !alone => &[],
        OrderState::Reserved => &[Trigger::PaymentStarted, Trigger::Approved],
        OrderState::Expired | OrderState::Cancelled | OrderState::Failed => &[Trigger::PaidLate],
        _ => &[],
    }
}

/// How long to wait before the provider is asked again, after `checks` questions.
pub fn pause(checks: u32) -> Duration {
    let listed = usize::try_from(checks).ok().and_then(|index| PAUSES_S.get(index));
    Duration::from_secs(listed.copied().unwrap_or(PAUSE_MAX_S))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_reserved_orders_are_paid_and_only_in_time() {
        let now = Time::from_timestamp(1_800_000_000, 0).unwrap();
        let second = chrono::Duration::seconds(1);
        assert!(payable(OrderState::Reserved, Some(now + second), now).is_ok());
        for over in [Some(now), Some(now - second), None] {
            assert!(matches!(payable(OrderState::Reserved, over, now), Err(Error::Expired)));
        }
        let late = payable(OrderState::Expired, Some(now + second), now);
        assert!(matches!(late, Err(Error::Expired)));
        for state in [OrderState::Received, OrderState::Paying, OrderState::Paid, OrderState::Cancelled] {
            assert!(matches!(payable(state, Some(now + second), now), Err(Error::NotPayable)));
        }
    }

    #[test]
    fn pauses_grow_to_five_minutes() {
        let pauses: Vec<u64> = (0..7).map(|checks| pause(checks).as_secs()).collect();
        assert_eq!(pauses, [1, 2, 5, 15, 60, 300, 300]);
    }
}
