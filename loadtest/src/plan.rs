//! Who comes when, and behaves how: pure, from one seed, so that a run can be repeated.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng as _, SeedableRng as _};

/// Sends the same order twice with one key.
const TWICE_SHARE: f64 = 0.05;
/// Registers again while waiting.
const REJOIN_SHARE: f64 = 0.03;
/// Is declined by the card company once.
const DECLINE_SHARE: f64 = 0.02;

/// What decides the plans.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Crowd {
    /// How many come.
    pub(crate) shoppers: usize,
    /// Within how much time.
    pub(crate) arrival: Duration,
    /// Units that one may want at most.
    pub(crate) limit: u32,
    /// Share of those with a reserved order who pay it.
    pub(crate) pay_share: f64,
    /// Decides everything that is left to chance.
    pub(crate) seed: u64,
}

/// What one shopper will do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Plan {
    /// Comes this long after the start.
    pub(crate) arrival: Duration,
    /// Wants this many units.
    pub(crate) quantity: u32,
    /// Picks among the options.
    pub(crate) taste: u32,
    /// Sends the same order twice.
    pub(crate) twice: bool,
    /// Registers again while waiting, and so moves to the end.
    pub(crate) rejoins: bool,
    /// Tries a card that is declined before one that is not.
    pub(crate) declined: bool,
    /// Pays; otherwise cancels the reserved order.
    pub(crate) pays: bool,
    /// Seeds the pauses between tries.
    pub(crate) seed: u64,
}

impl Crowd {
    /// The plans in the order of arrival. Arrivals do not depend on answers (open loop): independent moments
    /// spread evenly over the time, as people who do not know each other come.
    pub(crate) fn plans(&self) -> Vec<Plan> {
        let mut dice = StdRng::seed_from_u64(self.seed);
        let mut plans: Vec<Plan> = (0..self.shoppers)
            .map(|_| Plan {
                arrival: self.arrival.mul_f64(dice.random::<f64>()),
                quantity: dice.random_range(1..=self.limit.max(1)),
                taste: dice.random(),
                twice: dice.random_bool(TWICE_SHARE),
                rejoins: dice.random_bool(REJOIN_SHARE),
                declined: dice.random_bool(DECLINE_SHARE),
                pays: dice.random_bool(self.pay_share),
                seed: dice.random(),
            })
            .collect();
        plans.sort_by_key(|plan| plan.arrival);
        plans
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn crowd(seed: u64) -> Crowd {
        Crowd { shoppers: 2_000, arrival: Duration::from_secs(3), limit: 3, pay_share: 1.0, seed }
    }

    #[test]
    fn one_seed_gives_one_schedule() {
        assert_eq!(crowd(7).plans(), crowd(7).plans());
        assert_ne!(crowd(7).plans(), crowd(8).plans());
    }

    #[test]
    fn every_third_of_the_time_brings_about_a_third_of_the_crowd() {
        let plans = crowd(1).plans();
        for second in 0..3 {
            let within = plans.iter().filter(|plan| plan.arrival.as_secs() == second).count();
            assert!((550..=780).contains(&within), "second {second}: {within}");
        }
    }

    #[test]
    fn misbehaviour_has_its_share() {
        let plans = crowd(1).plans();
        let share = |is: fn(&Plan) -> bool| plans.iter().filter(|plan| is(plan)).count();
        assert!((60..=140).contains(&share(|plan| plan.twice)));
        assert!((30..=95).contains(&share(|plan| plan.rejoins)));
        assert!((15..=70).contains(&share(|plan| plan.declined)));
        assert_eq!(share(|plan| plan.pays), 2_000);
    }

    proptest! {
        #[test]
        fn arrivals_stay_in_order_and_in_time(seed: u64, shoppers in 0_usize..300, ms in 0_u64..10_000) {
            let arrival = Duration::from_millis(ms);
            let plans = Crowd { shoppers, arrival, limit: 2, pay_share: 0.5, seed }.plans();
            prop_assert_eq!(plans.len(), shoppers);
            prop_assert!(plans.is_sorted_by_key(|plan| plan.arrival));
            prop_assert!(plans.iter().all(|plan| plan.arrival <= arrival && (1..=2).contains(&plan.quantity)));
        }
    }
}
