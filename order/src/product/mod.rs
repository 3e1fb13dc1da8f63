//! The order service's own copy of the products: prices, options, limits and sale windows at the moment of an order.
//!
//! - [`events`]: fills it from `product.events.v1`.
//! - [`store`]: its rows; a newer version never gives way to an older one.
//! - [`find`]: products of an order; one that the log has not told of yet is asked for at the product service.
//! - [`Known`]: those that orders asked for just now.

pub mod events;
pub mod store;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use common::wire::id::ProductId;
use common::wire::product::ProductSnapshot;

use crate::app::App;
use crate::error::Error;

/// In a rush all orders are for the same few products: they are read from the table this often, not for every order.
/// Another replica may have newer facts meanwhile. That is harmless: the stock decides price, limit and window anew.
const FRESH: Duration = Duration::from_millis(200);
/// Products kept at most.
const KNOWN_MAX: usize = 1_000;

/// Products read just now. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Known(Arc<Mutex<Read>>);

/// Products, and when each was read.
type Read = HashMap<ProductId, (Instant, Arc<ProductSnapshot>)>;

/// Products by id.
pub type Products = HashMap<ProductId, Arc<ProductSnapshot>>;

impl Known {
    fn lock(&self) -> MutexGuard<'_, Read> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fresh(&self, ids: &[ProductId]) -> Products {
        let known = self.lock();
        let fresh = ids.iter().filter_map(|id| known.get(id).filter(|(read, _)| read.elapsed() < FRESH));
        fresh.map(|(_, product)| (product.product_id, Arc::clone(product))).collect()
    }

    fn learn(&self, read: Instant, products: &Products) {
        let mut known = self.lock();
        if known.len() >= KNOWN_MAX {
            known.clear();
        }
        known.extend(products.iter().map(|(id, product)| (*id, (read, Arc::clone(product)))));
    }

    /// They changed.
    fn forget(&self, changed: &[ProductSnapshot]) {
        let mut known = self.lock();
        for product in changed {
            known.remove(&product.product_id);
        }
    }
}

/// The products' newest known facts.
///
/// # Errors
/// [`Error::UnknownProduct`]; [`Error::Unavailable`] when a product is missing here and cannot be asked for.
pub async fn find(app: &App, ids: &[ProductId]) -> Result<Products, Error> {
    let mut products = app.known.fresh(ids);
    let missing: Vec<ProductId> = ids.iter().copied().filter(|id| !products.contains_key(id)).collect();
    if missing.is_empty() {
        return Ok(products);
    }
    let read = Instant::now();
    let mut found: Products = store::find(&app.pg, &missing)
        .await?
        .into_iter()
        .map(|(id, product)| (id, Arc::new(product)))
        .collect();
    for id in missing {
        if let Entry::Vacant(unknown) = found.entry(id) {
            let snapshot = ask(app, id).await?;
            store::keep(&app.pg, std::slice::from_ref(&snapshot), app.clock.now()).await?;
            unknown.insert(Arc::new(snapshot));
        }
    }
    app.known.learn(read, &found);
    products.extend(found);
    Ok(products)
}

async fn ask(app: &App, id: ProductId) -> Result<ProductSnapshot, Error> {
    let answer = app.products.get(&format!("/internal/products/{id}/snapshot")).await;
    answer.map_err(|cause| Error::Unavailable("product-unavailable", cause))?.ok_or(Error::UnknownProduct(id))
}
