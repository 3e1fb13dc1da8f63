//! Checking the fields of a body: every rule that is broken is reported, each with its field as the client spelled it.

use std::ops::RangeInclusive;

use common::wire::problem::FieldError;

use crate::error::Error;

/// What a body breaks.
#[derive(Debug, Default)]
pub struct Report(Vec<FieldError>);

impl Report {
    /// Notes that `field` breaks a rule, unless `holds`.
    pub fn require(&mut self, holds: bool, field: impl Into<String>, rule: impl Into<String>) {
        if !holds {
            self.0.push(FieldError { field: field.into(), message: rule.into() });
        }
    }

    /// Text of that many characters; not blank where it is required, and without control characters, which
    /// PostgreSQL (NUL) and logs cannot hold.
    pub fn text(&mut self, field: impl Into<String>, value: &str, length: RangeInclusive<usize>) {
        let field = field.into();
        let characters = value.chars().count();
        let fits = length.contains(&characters) && (*length.start() == 0 || !value.trim().is_empty());
        let rule = format!("{} to {} characters", length.start(), length.end());
        self.require(fits, field.clone(), rule);
        let plain = |letter: char| !letter.is_control() || matches!(letter, '\n' | '\r' | '\t');
        self.require(value.chars().all(plain), field, "no control characters");
    }

    /// A whole number in a range.
    pub fn number(&mut self, field: impl Into<String>, value: i64, range: RangeInclusive<i64>) {
        let rule = format!("{} to {}", range.start(), range.end());
        self.require(range.contains(&value), field, rule);
    }

    /// Nothing, or everything that was noted.
    ///
    /// # Errors
    /// [`Error::Invalid`] with the fields.
    pub fn verdict(self) -> Result<(), Error> {
        if self.0.is_empty() { Ok(()) } else { Err(Error::Invalid(self.0)) }
    }

    /// What was noted.
    #[must_use]
    pub fn errors(self) -> Vec<FieldError> {
        self.0
    }
}
