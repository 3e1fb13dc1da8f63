//! Rules, and the cases that break them.

use std::collections::HashSet;
use std::fmt::{Display, Write as _};

use serde::Serialize;

/// Broken cases that are shown per rule.
const EXAMPLES: usize = 5;

/// One rule, and how often it was broken.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Check {
    /// Where it was looked.
    pub(crate) area: &'static str,
    /// What must hold.
    pub(crate) rule: &'static str,
    /// How often it does not.
    pub(crate) broken: usize,
    /// Some of the cases.
    pub(crate) examples: Vec<String>,
    /// All of them.
    #[serde(skip)]
    cases: Vec<String>,
}

impl Check {
    /// A rule with the cases that break it.
    pub(crate) fn new<T: Display>(
        area: &'static str,
        rule: &'static str,
        broken: impl IntoIterator<Item = T>,
    ) -> Self {
        let cases: Vec<String> = broken.into_iter().map(|case| case.to_string()).collect();
        let examples = cases.iter().take(EXAMPLES).cloned().collect();
        Self { area, rule, broken: cases.len(), examples, cases }
    }

    /// A rule that holds or not as a whole.
    pub(crate) fn one(area: &'static str, rule: &'static str, holds: bool, found: impl Display) -> Self {
        Self::new(area, rule, (!holds).then_some(found))
    }
}

/// What is broken at both of two looks in the same way: what was only on its way has arrived by the second one.
pub(crate) fn lasting(first: Vec<Check>, second: &[Check]) -> Vec<Check> {
    let still = |check: Check| {
        let later = second.iter().find(|later| (later.area, later.rule) == (check.area, check.rule));
        let later: HashSet<&str> =
            later.iter().flat_map(|check| check.cases.iter().map(String::as_str)).collect();
        Check::new(check.area, check.rule, check.cases.iter().filter(|case| later.contains(case.as_str())))
    };
    first.into_iter().map(still).collect()
}

/// The broken rules with examples, for people; nothing where all hold.
pub(crate) fn write_broken(out: &mut String, checks: &[Check]) -> std::fmt::Result {
    for check in checks.iter().filter(|check| check.broken > 0) {
        writeln!(out, "BROKEN {:<7} {}: {} times", check.area, check.rule, check.broken)?;
        for example in &check.examples {
            writeln!(out, "         {example}")?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stays_broken_counts_while_the_shop_runs() {
        let check = |cases: &[&str]| Check::new("orders", "every order is decided", cases);
        let kept = lasting(vec![check(&["a", "b", "c"])], &[check(&["b", "d"])]);
        assert_eq!((kept[0].broken, kept[0].examples.as_slice()), (1, ["b".to_owned()].as_slice()));
        let gone = lasting(vec![check(&["a"])], &[check(&[])]);
        assert_eq!(gone[0].broken, 0);
    }
}
