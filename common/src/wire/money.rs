//! Money: whole won, checked arithmetic, no floats.

use std::fmt;
use std::iter::Sum;

use serde::{Deserialize, Serialize};

/// An amount in whole won.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "pg", derive(sqlx::Type), sqlx(transparent))]
#[serde(transparent)]
pub struct Won(pub i64);

impl Won {
    /// The largest price of one unit, options included: 10 billion won. A full order of
    /// [`crate::wire::order::LINES_MAX`] lines of 100 units stays far below `i64::MAX`.
    pub const PRICE_MAX: Self = Self(10_000_000_000);

    /// The sum, or `None` where it does not fit.
    #[must_use]
    pub fn checked_add(self, other: Self) -> Option<Self> {
        self.0.checked_add(other.0).map(Self)
    }

    /// The price of `quantity` units, or `None` where it does not fit.
    #[must_use]
    pub fn checked_times(self, quantity: u32) -> Option<Self> {
        self.0.checked_mul(i64::from(quantity)).map(Self)
    }
}

impl fmt::Display for Won {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Sum for Won {
    /// Saturates: an overflow shows as the largest amount, never as a small or negative one.
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self(0), |total, amount| Self(total.0.saturating_add(amount.0)))
    }
}
