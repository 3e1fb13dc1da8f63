//! A product's new version, on its way: the terms to the stock stage, the snapshot to everybody.
//!
//! Both are rows of the transaction that makes the version, under the product's row lock: their order in each topic is
//! the order of the versions, and of the states told between them. Of a draft nobody hears.

use common::outbox::Letters;
use common::wire::Time;
use common::wire::event::StockCommand;
use sqlx::PgConnection;

use crate::app::SOURCE;
use crate::catalog::Product;

/// Writes both to the outbox.
///
/// # Errors
/// The database's.
pub async fn announce(tx: &mut PgConnection, product: &Product, now: Time) -> Result<(), sqlx::Error> {
    if product.fields.draft {
        return Ok(());
    }
    let (terms, snapshot) = (StockCommand::Terms(product.terms()), product.snapshot());
    Letters::new(SOURCE, now).with(&[terms]).with(&[snapshot]).put(tx).await
}
