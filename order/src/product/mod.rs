//! The order service's own copy of the products: prices, options, limits and sale windows at the moment of an order.
//!
//! - [`events`]: fills it from `product.events.v1`.
//! - [`store`]: its rows; a newer version never gives way to an older one.
//! - [`find`]: products of an order; one that the log has not told of yet is asked for at the product service.
//! - [`Known`]: those that orders asked for just now.

pub mod events;
pub mod store;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use common::wire::id::ProductId;
use common::wire::product::ProductSnapshot;
use moka::future::Cache;

use crate::app::App;
use crate::error::Error;

/// In a rush all orders are for the same few products: they are read from the table this often, not for every order,
/// and by one of those that need them at the same time: a slow table never keeps more than one connection busy with
/// a product, and leaves the others to the orders. Another replica may have newer facts meanwhile. That is harmless:
/// the stock decides price, limit and window anew.
const FRESH: Duration = Duration::from_millis(200);
/// Products kept at most.
const KNOWN_MAX: u64 = 1_000;

/// Products read just now. Clones share them.
#[derive(Debug, Clone)]
pub struct Known(Cache<ProductId, Arc<ProductSnapshot>>);

/// Products by id.
pub type Products = HashMap<ProductId, Arc<ProductSnapshot>>;

impl Default for Known {
    fn default() -> Self {
        Self(Cache::builder().max_capacity(KNOWN_MAX).time_to_live(FRESH).build())
    }
}

impl Known {
    /// They changed.
    async fn forget(&self, changed: &[ProductSnapshot]) {
        for product in changed {
            self.0.invalidate(&product.product_id).await;
        }
    }
}

/// The products' newest known facts.
///
/// # Errors
/// [`Error::UnknownProduct`]; [`Error::Unavailable`] when a product is missing here and cannot be asked for.
pub async fn find(app: &App, ids: &[ProductId]) -> Result<Products, Error> {
    let mut products = Products::with_capacity(ids.len());
    for &id in ids {
        let product = app.known.0.try_get_with(id, read(app, id)).await;
        products.insert(id, product.map_err(|failed| Error::of_another(&failed))?);
    }
    Ok(products)
}

async fn read(app: &App, id: ProductId) -> Result<Arc<ProductSnapshot>, Error> {
    if let Some(product) = store::find(&app.pg, id).await? {
        return Ok(Arc::new(product));
    }
    let snapshot = ask(app, id).await?;
    store::keep(&app.pg, std::slice::from_ref(&snapshot), app.clock.now()).await?;
    Ok(Arc::new(snapshot))
}

async fn ask(app: &App, id: ProductId) -> Result<ProductSnapshot, Error> {
    let answer = app.products.get(&format!("/internal/products/{id}/snapshot")).await;
    answer.map_err(|cause| Error::Unavailable("product-unavailable", cause))?.ok_or(Error::UnknownProduct(id))
}
