//! Companies: what a seller sells as.

pub mod http;
pub mod store;

use garde::Validate;
use serde::Deserialize;

use crate::error::Error;
use crate::field::Report;

/// What a seller says of a company. A change replaces all of it.
#[derive(Debug, Clone, Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[garde(allow_unvalidated)]
pub struct Wish {
    /// 1 to 20 characters.
    pub company_name: String,
    /// At most 1,000 characters.
    #[serde(default)]
    pub description: String,
    /// At most 255 characters.
    #[serde(default)]
    pub address: String,
}

impl Wish {
    /// Checks the fields.
    ///
    /// # Errors
    /// [`Error::Invalid`].
    pub fn check(&self) -> Result<(), Error> {
        let mut report = Report::default();
        report.text("companyName", &self.company_name, 1..=20);
        report.text("description", &self.description, 0..=1_000);
        report.text("address", &self.address, 0..=255);
        report.verdict()
    }
}
