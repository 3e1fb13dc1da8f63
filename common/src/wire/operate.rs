//! What sellers and staff ask of a waiting room.

use chrono::Datelike as _;
use garde::Validate;
use serde::{Deserialize, Deserializer};

use super::Time;
use super::id::UserId;
use super::room::Adaptive;

/// How many to let in by hand.
#[derive(Debug, Deserialize, Validate)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Admissions {
    /// 1 to 100,000.
    #[garde(range(min = 1, max = 100_000))]
    pub count: u32,
    /// For the log, at most 200 characters.
    #[garde(inner(custom(line::<200>)))]
    pub why: Option<String>,
}

/// A timetable as wanted.
#[derive(Debug, Deserialize, Validate)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Timetable {
    /// Admissions per interval, 1 to 100,000.
    #[garde(range(min = 1, max = 100_000))]
    pub count: u32,
    /// Length of an interval in seconds, 1 to 3,600.
    #[garde(range(min = 1, max = 3_600))]
    pub interval_s: u32,
    /// When the first interval begins; without it, at the next boundary of the running timetable.
    #[garde(custom(within_reason))]
    pub starts_at: Option<Time>,
    /// For the log, at most 200 characters.
    #[garde(inner(custom(line::<200>)))]
    pub why: Option<String>,
}

/// Why somebody does what is asked; for the log.
#[derive(Debug, Deserialize, Validate)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Why {
    /// At most 200 characters.
    #[garde(inner(custom(line::<200>)))]
    pub why: Option<String>,
}

/// A pause.
#[derive(Debug, Deserialize, Validate)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hold {
    /// What those waiting are told, at most 200 characters.
    #[garde(inner(custom(line::<200>)))]
    pub reason: Option<String>,
    /// For the log, at most 200 characters.
    #[garde(inner(custom(line::<200>)))]
    pub why: Option<String>,
}

/// Something to tell everybody waiting.
#[derive(Debug, Deserialize, Validate)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("required" = ["text"])))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Message {
    /// At most 500 characters; `null` for nothing more.
    #[garde(inner(custom(line::<500>)))]
    #[serde(deserialize_with = "given")]
    pub text: Option<String>,
    /// For the log, at most 200 characters.
    #[garde(inner(custom(line::<200>)))]
    pub why: Option<String>,
}

/// A capacity as wanted.
#[derive(Debug, Deserialize, Validate)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(extend("required" = ["capacity"])))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Capacity {
    /// From 1 on; `null` for no limit, or to begin with half of `adaptive.max`.
    #[garde(range(min = 1), custom(within(&self.adaptive)))]
    #[serde(deserialize_with = "given")]
    pub capacity: Option<u32>,
    /// To let it follow the load.
    #[garde(inner(custom(sensible)))]
    pub adaptive: Option<Adaptive>,
    /// For the log, at most 200 characters.
    #[garde(inner(custom(line::<200>)))]
    pub why: Option<String>,
}

/// Whose tokens to take back.
#[derive(Debug, Deserialize, Validate)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Revoke {
    /// Absent for everybody's.
    #[garde(skip)]
    pub user_id: Option<UserId>,
    /// For the log, at most 200 characters.
    #[garde(inner(custom(line::<200>)))]
    pub why: Option<String>,
}

fn within_reason(starts_at: &Option<Time>, (): &()) -> garde::Result {
    let years = 2000..=2100;
    match starts_at {
        Some(at) if !years.contains(&at.year()) => {
            Err(garde::Error::new("a moment between the years 2000 and 2100"))
        }
        _ => Ok(()),
    }
}

/// `null` is a value; a missing field is a mistake.
fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(from: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(from)
}

/// A line of text for people.
fn line<const MAX: usize>(text: &str, (): &()) -> garde::Result {
    if text.trim().is_empty() || text.chars().count() > MAX || text.chars().any(char::is_control) {
        let rule = format!("1 to {MAX} characters, not only blanks, no control characters");
        return Err(garde::Error::new(rule));
    }
    Ok(())
}

fn sensible(wanted: &Adaptive, (): &()) -> garde::Result {
    let Adaptive { min, max, p95_ms, error_share, lag_max } = *wanted;
    for (is_kept, rule) in [
        (min >= 1 && min <= max, "min from 1 to max"),
        ((1..=10_000).contains(&p95_ms), "p95Ms from 1 to 10000"),
        ((0.0..=1.0).contains(&error_share), "errorShare from 0 to 1"),
        (lag_max <= 1_000_000_000, "lagMax from 0 to 1000000000"),
    ] {
        if !is_kept {
            return Err(garde::Error::new(rule));
        }
    }
    Ok(())
}

/// What a capacity begins with must be one that it may have.
fn within(adaptive: &Option<Adaptive>) -> impl FnOnce(&Option<u32>, &()) -> garde::Result {
    let bounds = adaptive.map_or(0..=u32::MAX, |adaptive| adaptive.min..=adaptive.max);
    move |capacity, ()| match capacity {
        Some(capacity) if !bounds.contains(capacity) => {
            Err(garde::Error::new("from adaptive.min to adaptive.max"))
        }
        _ => Ok(()),
    }
}
