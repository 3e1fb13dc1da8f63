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

/// Writes both of these products to the outbox.
///
/// # Errors
/// The database's.
pub async fn announce<'a>(
    tx: &mut PgConnection,
    products: impl IntoIterator<Item = &'a Product>,
    now: Time,
) -> Result<(), sqlx::Error> {
    let heard_of = products.into_iter().filter(|product| !product.fields.draft);
    let (terms, snapshots): (Vec<_>, Vec<_>) =
        heard_of.map(|product| (StockCommand::Terms(product.terms()), product.snapshot())).unzip();
    Letters::new(SOURCE, now).with(&terms).with(&snapshots).put(tx).await
}
