//! The order service's own copy of the products: prices, options, limits and sale windows at the moment of an order.
//!
//! - [`events`]: fills it from `product.events.v1`.
//! - [`store`]: its rows; a newer version never gives way to an older one.
//! - [`find`]: products of an order; one that the log has not told of yet is asked for at the product service.

pub mod events;
pub mod store;

use std::collections::HashMap;

use common::wire::id::ProductId;
use common::wire::product::ProductSnapshot;

use crate::app::App;
use crate::error::Error;

/// The products' newest known facts.
///
/// # Errors
/// [`Error::UnknownProduct`]; [`Error::Unavailable`] when a product is missing here and cannot be asked for.
pub async fn find(app: &App, ids: &[ProductId]) -> Result<HashMap<ProductId, ProductSnapshot>, Error> {
    let mut products = store::find(&app.pg, ids).await?;
    for id in ids {
        if !products.contains_key(id) {
            let snapshot = ask(app, *id).await?;
            store::keep(&app.pg, std::slice::from_ref(&snapshot), app.clock.now()).await?;
            products.insert(*id, snapshot);
        }
    }
    Ok(products)
}

async fn ask(app: &App, id: ProductId) -> Result<ProductSnapshot, Error> {
    let answer = app.products.get(&format!("/internal/products/{id}/snapshot")).await;
    answer.map_err(|cause| Error::Unavailable("product-unavailable", cause))?.ok_or(Error::UnknownProduct(id))
}
