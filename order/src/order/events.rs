//! The stock's decisions come in.

use std::collections::HashMap;
use std::sync::Arc;

use common::kafka::consumer::{Received, Source, consume};
use common::stop::Stop;
use common::wire::event::{Outcome, Refusal, StockDecided};
use common::wire::id::{OrderId, ProductId};
use common::wire::order::OrderState;

use super::rules::{self, Told};
use super::{Step, store};
use crate::app::App;
use crate::refund;

/// Consumer group.
pub const GROUP: &str = "order-decisions";
/// Answers of one transaction at most, so that no transaction holds locks for long.
const ANSWERS_MAX: usize = 2_000;

/// Takes decisions until the stop.
pub async fn run(app: App, source: Source, stop: Stop) {
    let apply = |records: Arc<[Received<StockDecided>]>| {
        let app = app.clone();
        async move { apply(&app, &records).await }
    };
    consume(source, stop, apply).await;
}

/// Takes a batch of decisions. Giving it again changes nothing.
///
/// # Errors
/// The database's.
pub async fn apply(app: &App, records: &[Received<StockDecided>]) -> anyhow::Result<()> {
    let told: Vec<Told> = records.iter().flat_map(|record| answers(&record.event)).collect();
    // Of each product the last word counts.
    let left: HashMap<ProductId, i64> =
        records.iter().map(|record| (record.event.product_id, record.event.available)).collect();
    for part in told.chunks(ANSWERS_MAX) {
        take(app, part, &left).await?;
    }
    for (product, available) in left {
        app.sold_out.told(product, available, None);
    }
    Ok(())
}

fn answers(record: &StockDecided) -> impl Iterator<Item = Told> {
    record.decisions.iter().map(|decision| Told {
        order: decision.order_id,
        product: record.product_id,
        attempt: decision.attempt,
        refused: match decision.result {
            Outcome::Reserved => None,
            // Every refusal has its reason; the commonest stands in for one that a newer stock stage might add.
            Outcome::Rejected => Some(decision.reason.unwrap_or(Refusal::SoldOut)),
        },
    })
}

/// Orders that were paid late and whose units are gone: their money goes back.
pub fn to_refund(steps: &[Step]) -> Vec<OrderId> {
    let refunds = steps.iter().filter(|step| step.to == OrderState::RefundPending);
    refunds.map(|step| step.event.order_id).collect()
}

async fn take(app: &App, told: &[Told], left: &HashMap<ProductId, i64>) -> anyhow::Result<()> {
    let now = app.clock.now();
    let until = now + chrono::Duration::seconds(app.config.hold_s.into());
    let mut ids: Vec<OrderId> = told.iter().map(|told| told.order).collect();
    ids.sort_unstable();
    ids.dedup();
    let mut tx = app.by_key.begin().await?;
    let mut orders = store::lock(&mut tx, &ids).await?;
    for Told { product, order, .. } in told {
        if let (Some(available), Some(order)) = (left.get(product), orders.get(order)) {
            app.sold_out.told(*product, *available, Some(order.created_at.min(now)));
        }
    }
    let decided = rules::decide(&mut orders, told, until, now);
    store::mark_held(&mut tx, &decided.held).await?;
    store::advance(&mut tx, &decided.steps, now).await?;
    store::tell(&mut tx, &decided.strays, &[], now).await?;
    refund::owe_orders(&mut tx, &to_refund(&decided.steps), now).await?;
    tx.commit().await?;
    if !decided.strays.is_empty() {
        tracing::info!(units = decided.strays.len(), "reservations that no order waits for were released");
    }
    app.sold_out.returned(&decided.strays, app.clock.now());
    app.committed(&decided.steps);
    Ok(())
}
