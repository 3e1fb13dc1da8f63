//! Passes that were taken back: all of a product up to its room's epoch, or single ones by their id.
//!
//! queue-server writes both to Redis: the number `pass-epoch:{<product>}`, which rises with every revocation of all
//! passes, and the set `pass-denied:{<product>}` of single rights. Whoever checks passes reads them here: at most once
//! per second and product, however many requests come. While Redis does not answer, the last known state counts; where
//! none is known, nothing is revoked.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use moka::future::Cache;
use tokio::sync::Mutex;
use tokio::time::Instant;
use uuid::Uuid;

use super::Refused;
use crate::redis::{Connections, Error};
use crate::wire::id::ProductId;
use crate::wire::token::Right;

/// How long a revocation may stay unseen.
const FRESH: Duration = Duration::from_secs(1);
/// A request waits at most this long for Redis; then the last known state counts.
const PATIENCE: Duration = Duration::from_millis(250);
/// Products remembered at most, some 200 bytes each.
const PRODUCTS_MAX: u64 = 10_000;

/// What was revoked. Clones share what was read.
#[derive(Debug, Clone)]
pub struct Revoked {
    redis: Connections,
    products: Cache<ProductId, Arc<Mutex<Known>>>,
}

/// What is known of a product.
#[derive(Debug, Default)]
struct Known {
    /// When the last try to read began.
    tried: Option<Instant>,
    void: Option<Void>,
}

/// A product's passes that count no longer.
#[derive(Debug)]
struct Void {
    /// Those of a lower epoch,
    epoch: i64,
    /// and these rights.
    denied: HashSet<Uuid>,
}

impl Revoked {
    /// Read through these connections.
    #[must_use]
    pub fn new(redis: Connections) -> Self {
        Self { redis, products: Cache::new(PRODUCTS_MAX) }
    }

    /// Whether a right still counts.
    ///
    /// # Errors
    /// [`Refused::Revoked`].
    pub async fn check(&self, right: &Right) -> Result<(), Refused> {
        let known = self.products.get_with(right.pid, async { Arc::default() }).await;
        // The first one reads; the rest wait for what it finds.
        let mut known = known.lock().await;
        if known.tried.is_none_or(|tried| tried.elapsed() >= FRESH) {
            let began = Instant::now();
            match self.read(right.pid, known.void.is_some()).await {
                Ok(void) => known.void = Some(void),
                Err(error) => tracing::warn!(%error, product = %right.pid, "revocations not read"),
            }
            // Not before: a request that was dropped while it read must not keep the next one from reading.
            known.tried = Some(began);
        }
        match &known.void {
            Some(void) if right.epoch < void.epoch || void.denied.contains(&right.jti) => {
                Err(Refused::Revoked)
            }
            _ => Ok(()),
        }
    }

    /// Reads a product's revocations. Where some state is known, a lost connection is not waited for; without one, as
    /// right after the start, it is.
    async fn read(&self, product: ProductId, is_known: bool) -> Result<Void, Error> {
        let (epoch, denied) = (format!("pass-epoch:{{{product}}}"), format!("pass-denied:{{{product}}}"));
        let (epoch, denied) = self.redis.number_and_words(&epoch, &denied, PATIENCE, is_known).await?;
        let denied = denied.iter().filter_map(|id| id.parse().ok()).collect();
        Ok(Void { epoch: epoch.unwrap_or(0), denied })
    }
}
