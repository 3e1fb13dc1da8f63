//! Companies: what a seller sells as.

pub mod http;
pub mod store;

pub use common::wire::catalog::CompanyWish as Wish;

use crate::error::Error;
use crate::field::Report;

/// Checks the fields.
///
/// # Errors
/// [`Error::Invalid`].
fn check(wish: &Wish) -> Result<(), Error> {
    let mut report = Report::default();
    report.text("companyName", &wish.company_name, 1..=20);
    report.text("description", &wish.description, 0..=1_000);
    report.text("address", &wish.address, 0..=255);
    report.verdict()
}
