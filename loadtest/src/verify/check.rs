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
    cases: Vec<Case>,
}

/// A case that breaks a rule.
#[derive(Debug, Clone)]
struct Case {
    /// What it is about: the same at every look, whatever the figures are by then.
    about: String,
    text: String,
}

impl Check {
    /// A rule with the cases that break it.
    pub(crate) fn new<T: Display>(
        area: &'static str,
        rule: &'static str,
        broken: impl IntoIterator<Item = T>,
    ) -> Self {
        Self::about(area, rule, broken.into_iter().map(|case| (case.to_string(), case)))
    }

    /// The same with what each case is about, where its text changes while the shop sells.
    pub(crate) fn about<T: Display>(
        area: &'static str,
        rule: &'static str,
        broken: impl IntoIterator<Item = (String, T)>,
    ) -> Self {
        let case = |(about, text): (String, T)| Case { about, text: text.to_string() };
        Self::of(area, rule, broken.into_iter().map(case).collect())
    }

    fn of(area: &'static str, rule: &'static str, cases: Vec<Case>) -> Self {
        let examples = cases.iter().take(EXAMPLES).map(|case| case.text.clone()).collect();
        Self { area, rule, broken: cases.len(), examples, cases }
    }

    /// A rule that holds or not as a whole.
    pub(crate) fn one(area: &'static str, rule: &'static str, holds: bool, found: impl Display) -> Self {
        Self::new(area, rule, (!holds).then_some(found))
    }
}

/// What is broken at both of two looks, about the same: what was only on its way has arrived by the second one.
pub(crate) fn lasting(first: &[Check], second: Vec<Check>) -> Vec<Check> {
    let still = |check: Check| {
        let earlier = first.iter().filter(|earlier| (earlier.area, earlier.rule) == (check.area, check.rule));
        let earlier: HashSet<&str> =
            earlier.flat_map(|check| check.cases.iter().map(|case| case.about.as_str())).collect();
        let cases = check.cases.into_iter().filter(|case| earlier.contains(case.about.as_str()));
        Check::of(check.area, check.rule, cases.collect())
    };
    second.into_iter().map(still).collect()
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
        let kept = lasting(&[check(&["a", "b", "c"])], vec![check(&["b", "d"])]);
        assert_eq!((kept[0].broken, kept[0].examples.as_slice()), (1, ["b".to_owned()].as_slice()));
        let gone = lasting(&[check(&["a"])], vec![check(&[])]);
        assert_eq!(gone[0].broken, 0);
        let sold =
            |n| Check::about("stock", "the ledger adds up", [("product 1".to_owned(), format!("sold {n}"))]);
        let moved = lasting(&[sold(1)], vec![sold(2)]);
        assert_eq!((moved[0].broken, moved[0].examples.as_slice()), (1, ["sold 2".to_owned()].as_slice()));
    }
}
