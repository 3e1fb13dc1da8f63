//! A row as a product. Pure.

use common::wire::Time;
use common::wire::id::CompanyId;
use common::wire::problem::FieldError;
use serde_json::Value;

use super::Row;
use crate::catalog::Wish;
use crate::catalog::rules::{Registration, registration};
use crate::error::Error;
use crate::field::Report;

/// A row that keeps every rule of a registration.
#[derive(Debug, Clone)]
pub struct Checked {
    /// What its seller calls it.
    pub external_id: String,
    /// The product.
    pub new: Registration,
}

/// What a row calls itself, where it says so in a way that can be stored.
#[must_use]
pub fn external_id(row: &Row) -> Option<String> {
    match row.get("externalId")? {
        Value::String(text) => Some(text.replace('\0', "").chars().take(100).collect()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// Checks a row for `company` among the categories of these codes.
///
/// # Errors
/// Every rule that it breaks, with its field.
pub fn check(row: Row, company: CompanyId, codes: &[i32], now: Time) -> Result<Checked, Vec<FieldError>> {
    let one = |field: &str, rule: String| vec![FieldError { field: field.to_owned(), message: rule }];
    let called = external_id(&row).unwrap_or_default();
    let mut report = Report::default();
    report.text("externalId", &called, 1..=100);
    report.require(!row.contains_key("companyId"), "companyId", "is the import's");
    let errors = report.errors();
    if !errors.is_empty() {
        return Err(errors);
    }
    let fields = row.into_iter().filter(|(name, _)| name != "externalId").collect();
    let wish: Result<Wish, _> = serde_path_to_error::deserialize(Value::Object(fields));
    let mut wish = wish.map_err(|error| {
        let path = error.path().to_string();
        one(if path == "." { "body" } else { &path }, error.into_inner().to_string())
    })?;
    wish.company_id = Some(company);
    let new = registration(wish, now).map_err(|error| match error {
        Error::Invalid(errors) => errors,
        other => one("body", other.to_string()),
    })?;
    if !codes.contains(&new.fields.category_code) {
        return Err(one("categoryCode", "there is no such category".to_owned()));
    }
    Ok(Checked { external_id: called, new })
}
