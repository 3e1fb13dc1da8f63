//! Sales that a batch sold out, or that have units again: a state of the sale that is to be told ([`crate::sale::turn`]).

use sqlx::PgConnection;

use super::rules::{Change, Counts, Effects};

/// Notes them, in the batch's own transaction. A new sale is none: its state is told with the product.
///
/// # Errors
/// The database's.
pub async fn write(tx: &mut PgConnection, effects: &Effects) -> Result<(), sqlx::Error> {
    let has = |counts: Counts| counts.available > 0;
    let turned = |change: &Change| !change.is_new && has(change.before) != has(change.after);
    let changes = effects.products.iter().filter(|(_, change)| turned(change));
    let products: Vec<i64> = changes.map(|(product, _)| product.0).collect();
    if !products.is_empty() {
        let rows = sqlx::query!("INSERT INTO stock_turn (product_id) SELECT unnest($1::bigint[])", &products);
        rows.execute(tx).await?;
    }
    Ok(())
}
