//! Products whose room is not known yet are asked for at the product service: once, however many shoppers come at the
//! same moment.

use std::time::Duration;

use anyhow::anyhow;
use common::client::Client;
use common::wire::id::ProductId;
use common::wire::product::ProductSnapshot;
use moka::future::Cache;

use super::store::Store;
use crate::error::Error;

/// How long an answer counts: a product registered in the meantime is joinable after that.
const FRESH: Duration = Duration::from_secs(1);
/// Answers kept at most; invented ids push each other out.
const ANSWERS_MAX: u64 = 10_000;

/// The product service, as rooms see it. Clones share what was asked.
#[derive(Debug, Clone)]
pub(crate) struct Catalog {
    product: Client,
    store: Store,
    asked: Cache<ProductId, bool>,
}

impl Catalog {
    pub(crate) fn new(product: Client, store: Store) -> Self {
        let asked = Cache::builder().max_capacity(ANSWERS_MAX).time_to_live(FRESH).build();
        Self { product, store, asked }
    }

    /// Makes the product's room, or says that there is no such product.
    pub(crate) async fn learn(&self, product: ProductId) -> Result<(), Error> {
        let asked = self.asked.try_get_with(product, self.ask(product)).await;
        match asked.map_err(|cause| Error::Unavailable(anyhow!("{cause:#}")))? {
            true => Ok(()),
            false => Err(Error::UnknownProduct),
        }
    }

    async fn ask(&self, product: ProductId) -> anyhow::Result<bool> {
        // Ids begin with 1.
        if product.0 < 1 {
            return Ok(false);
        }
        let path = format!("/internal/products/{product}/snapshot");
        let Some(snapshot) = self.product.get::<ProductSnapshot>(&path).await? else { return Ok(false) };
        self.store.product(&snapshot).await?;
        Ok(true)
    }
}
