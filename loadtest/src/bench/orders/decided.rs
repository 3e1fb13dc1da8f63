//! When orders were decided, by the order service's own tables.

use std::time::Duration;

use anyhow::ensure;
use common::wire::id::ProductId;
use sqlx::postgres::{PgPool, PgPoolOptions};
use tokio::time::Instant;

use crate::stack::Stack;

/// Deciding the last orders takes at most this long.
const PATIENCE: Duration = Duration::from_secs(60);
const LOOK: Duration = Duration::from_millis(20);

/// A look at the order service's database.
pub(super) struct Orders(PgPool);

/// From accepted to decided.
#[derive(Debug, Clone, Copy)]
pub(super) struct Waits {
    pub(super) orders: i64,
    /// Of them those that nobody paid in time, which is work beside the new ones.
    pub(super) expired: i64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
}

impl Orders {
    pub(super) async fn open(stack: &Stack) -> anyhow::Result<Self> {
        Ok(Self(PgPoolOptions::new().max_connections(1).connect(stack.database("order")?).await?))
    }

    /// Waits until no order waits for the stock, and its events were sent.
    pub(super) async fn settled(&self) -> anyhow::Result<()> {
        let until = Instant::now() + PATIENCE;
        loop {
            // Both are short: an index of the orders that wait, and a table that is emptied.
            let (waiting, unsent): (i64, i64) = sqlx::query_as(
                "SELECT (SELECT count(*) FROM orders WHERE state = 'received'),
                        (SELECT coalesce(sum(records), 0)::bigint FROM outbox)",
            )
            .fetch_one(&self.0)
            .await?;
            if waiting == 0 && unsent == 0 {
                return Ok(());
            }
            ensure!(Instant::now() < until, "{waiting} orders undecided, {unsent} events not sent");
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Times from placed to decided of a product's orders, by the service's clock: the second transition of an order
    /// is its decision.
    pub(super) async fn waits(&self, product: ProductId) -> anyhow::Result<Waits> {
        let (orders, expired, p50_ms, p99_ms): (i64, i64, Option<f64>, Option<f64>) = sqlx::query_as(
            "SELECT count(*), count(*) FILTER (WHERE o.state = 'expired'),
                    1000 * percentile_cont(0.5) WITHIN GROUP (ORDER BY extract(epoch FROM t.at - o.created_at)),
                    1000 * percentile_cont(0.99) WITHIN GROUP (ORDER BY extract(epoch FROM t.at - o.created_at))
             FROM order_hold h JOIN orders o USING (order_id) JOIN order_transition t USING (order_id)
             WHERE h.product_id = $1 AND t.seq = 2",
        )
        .bind(product.0)
        .fetch_one(&self.0)
        .await?;
        Ok(Waits { orders, expired, p50_ms: p50_ms.unwrap_or(0.0), p99_ms: p99_ms.unwrap_or(0.0) })
    }
}
