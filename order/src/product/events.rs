//! Products as the product service tells of them.

use std::sync::Arc;

use common::kafka::consumer::{Received, Source, consume};
use common::stop::Stop;
use common::wire::product::ProductSnapshot;

use super::store;
use crate::app::App;

/// Consumer group.
pub const GROUP: &str = "order-products";

/// Keeps snapshots until the stop.
pub async fn run(app: App, source: Source, stop: Stop) {
    let apply = |records: Arc<[Received<ProductSnapshot>]>| {
        let app = app.clone();
        async move { apply(&app, &records).await }
    };
    consume(source, stop, apply).await;
}

/// Keeps a batch of snapshots.
///
/// # Errors
/// The database's.
pub async fn apply(app: &App, records: &[Received<ProductSnapshot>]) -> anyhow::Result<()> {
    let snapshots: Vec<ProductSnapshot> = records.iter().map(|record| record.event.clone()).collect();
    store::keep(&app.pg, &snapshots, app.clock.now()).await?;
    app.known.forget(&snapshots).await;
    Ok(())
}
