//! A product's new version, on its way: the terms to the stock stage, the snapshot to everybody.
//!
//! Both are rows of the transaction that makes the version, under the product's row lock: their order in each topic is
//! the order of the versions.

use common::outbox;
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
    outbox::put(tx, SOURCE, &[StockCommand::Terms(product.terms())], now).await?;
    outbox::put(tx, SOURCE, &[product.snapshot()], now).await
}
