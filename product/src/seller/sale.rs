//! A sale as it runs, put together at most once a second however many look.

use std::sync::Arc;
use std::time::Duration;

use common::client::Client;
use common::http::problem::Failure;
use common::wire::Time;
use common::wire::id::ProductId;
use common::wire::queue::Stats;
use moka::future::Cache;
use sqlx::postgres::PgPool;

use super::{SaleView, store};
use crate::error::Error;

/// Figures are at most this old.
const KEPT: Duration = Duration::from_secs(1);
/// Sales that are looked at.
const SALES_MAX: u64 = 1_000;

/// Figures of the last second. Clones share them.
#[derive(Debug, Clone)]
pub struct Sales {
    kept: Cache<ProductId, Arc<SaleView>>,
    rooms: Client,
}

impl Sales {
    /// Sales whose rooms `rooms` knows.
    #[must_use]
    pub fn new(rooms: Client) -> Self {
        Self { kept: Cache::builder().time_to_live(KEPT).max_capacity(SALES_MAX).build(), rooms }
    }

    /// The figures of a sale.
    ///
    /// # Errors
    /// `unknown-product`; the database's.
    pub async fn get(&self, pg: &PgPool, product: ProductId, now: Time) -> Result<Arc<SaleView>, Failure> {
        self.kept.try_get_with(product, self.look(pg, product, now)).await.map_err(Arc::unwrap_or_clone)
    }

    async fn look(&self, pg: &PgPool, product: ProductId, now: Time) -> Result<Arc<SaleView>, Failure> {
        let room = self.rooms.get::<Stats>(&format!("/api/queue/{product}/stats")).await;
        let room = room.unwrap_or_else(|error| {
            tracing::debug!(error = format!("{error:#}"), product.id = %product, "the room does not answer");
            None
        });
        let mut db = pg.acquire().await.map_err(Error::from)?;
        let figures = store::figures(&mut db, product, now).await.map_err(Error::from)?;
        let store::Figures { state, units, people } = figures.ok_or(Error::UnknownProduct)?;
        Ok(Arc::new(SaleView {
            product_id: product,
            state,
            units,
            joined: people.joined,
            let_in: people.let_in,
            conversion: (people.let_in > 0).then(|| people.ordered as f64 / people.let_in as f64),
            waiting: room.as_ref().map(|room| room.waiting),
            inside: room.as_ref().map(|room| room.admitted),
        }))
    }
}
