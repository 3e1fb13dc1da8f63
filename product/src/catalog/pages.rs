//! Product pages of the last second. At a sale's start everybody reads one product: the database is asked once, and who
//! asks meanwhile waits for the same answer.
//!
//! A page is dropped when its product changes, in every process: the change's transaction notifies them
//! ([`changed`], [`listen`]). Its stock figure is as old as the page. Where the sale stands is computed for each request.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use common::http::problem::Failure;
use common::stop::Stop;
use common::wire::Time;
use common::wire::id::ProductId;
use common::wire::product::SaleState;
use moka::future::Cache;
use serde::Serialize;
use sqlx::PgConnection;
use sqlx::postgres::{PgListener, PgPool};

use super::{Product, store};
use crate::error::Error;

/// A stock figure is at most a second old; the rest is for the query.
pub const KEPT: Duration = Duration::from_millis(900);
/// Pages that are kept: some 4 KiB each.
const PAGES_MAX: u64 = 10_000;
/// Channel of the changes.
const CHANGES: &str = "product_changed";
/// After a failure of the listening connection.
const RETRY: Duration = Duration::from_millis(500);

/// A product with its two bodies, as they are while its sale stands where it stood.
#[derive(Debug)]
pub struct Page {
    /// The product.
    pub product: Product,
    state: SaleState,
    summary: Bytes,
    view: Bytes,
}

impl Page {
    fn new(product: Product, now: Time) -> Self {
        let (summary, view) = (json(&product.summary(now)), json(&product.view(now)));
        Self { state: product.state(now), summary, view, product }
    }

    /// What everybody may see, as JSON.
    #[must_use]
    pub fn summary(&self, now: Time) -> Bytes {
        if self.product.state(now) == self.state {
            self.summary.clone()
        } else {
            json(&self.product.summary(now))
        }
    }

    /// The product page, as JSON.
    #[must_use]
    pub fn view(&self, now: Time) -> Bytes {
        if self.product.state(now) == self.state { self.view.clone() } else { json(&self.product.view(now)) }
    }
}

fn json(body: &impl Serialize) -> Bytes {
    serde_json::to_vec(body).expect("plain data always becomes JSON").into()
}

/// The pages of this process. Clones share them.
#[derive(Debug, Clone)]
pub struct Pages(Cache<ProductId, Arc<Page>>);

impl Pages {
    /// None yet; each will be `kept` so long.
    #[must_use]
    pub fn new(kept: Duration) -> Self {
        Self(Cache::builder().time_to_live(kept).max_capacity(PAGES_MAX).build())
    }

    /// The page of a product that was not withdrawn.
    ///
    /// # Errors
    /// `unknown-product`; the database's.
    pub async fn get(&self, pg: &PgPool, product: ProductId, now: Time) -> Result<Arc<Page>, Failure> {
        let read = async {
            let mut db = pg.acquire().await.map_err(Error::from)?;
            let found = store::find(&mut db, product).await.map_err(Error::from)?;
            let found = found.filter(|product| product.deleted_at.is_none()).ok_or(Error::UnknownProduct)?;
            Ok::<_, Failure>(Arc::new(Page::new(found, now)))
        };
        self.0.try_get_with(product, read).await.map_err(Arc::unwrap_or_clone)
    }

    /// Drops the page of a product that this process has changed.
    pub async fn drop(&self, product: ProductId) {
        self.0.invalidate(&product).await;
    }
}

/// Tells every process of a product's change, when the transaction is committed.
///
/// # Errors
/// The database's.
pub async fn changed(tx: &mut PgConnection, product: ProductId) -> Result<(), sqlx::Error> {
    sqlx::query!("SELECT pg_notify($1, $2)", CHANGES, product.to_string()).execute(tx).await?;
    Ok(())
}

/// Drops the pages of products that any process changes, until the stop. While the connection is gone nothing is heard:
/// pages are dropped all when it is back, and are none older than they may be meanwhile.
pub async fn listen(pool: PgPool, pages: Pages, stop: Stop) {
    while !stop.is_stopped() {
        let ended = tokio::select! {
            ended = hear(&pool, &pages) => ended,
            () = stop.stopped() => return,
        };
        if let Err(error) = ended {
            tracing::warn!(%error, "changes of products are not heard");
        }
        stop.pause(RETRY).await;
    }
}

async fn hear(pool: &PgPool, pages: &Pages) -> Result<(), sqlx::Error> {
    let mut listener = PgListener::connect_with(pool).await?;
    listener.listen(CHANGES).await?;
    pages.0.invalidate_all();
    while let Some(change) = listener.try_recv().await? {
        if let Ok(product) = change.payload().parse() {
            pages.drop(product).await;
        }
    }
    Ok(())
}
