//! Counts the people of each waiting room from its log.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use common::kafka::consumer::{Received, Source, consume};
use common::stop::Stop;
use common::wire::event::{QUEUE_EVENTS, QueueSteps};
use common::wire::queue::{Step, StepKind};
use sqlx::postgres::PgPool;

use super::People;
use super::store::{self, StepId};
use crate::metrics::Metrics;

/// The consumer group, without the deployment's prefix.
pub const GROUP: &str = "product-figures";
/// How long steps may wait at the broker for others: a seller's figures are up to a second old anyway.
pub const PATIENCE: Duration = Duration::from_millis(250);

/// Counts until the stop.
pub async fn run(source: Source, pool: PgPool, metrics: Metrics, stop: Stop) {
    let lag = source.lag.clone();
    let apply = move |records: Arc<[Received<QueueSteps>]>| {
        metrics.consumer_lag.with_label_values(&[QUEUE_EVENTS.name]).set(lag.get());
        let pool = pool.clone();
        async move { apply(&pool, &records).await }
    };
    consume(source, stop, apply).await;
}

async fn apply(pool: &PgPool, records: &[Received<QueueSteps>]) -> anyhow::Result<()> {
    let mut tx = pool.begin().await?;
    for Received { event, .. } in records {
        let span = (id(&event.first)?, id(&event.last)?);
        store::count(&mut tx, event.product_id, span, people(&event.steps)).await?;
    }
    Ok(tx.commit().await?)
}

/// `<ms>-<number>`.
fn id(text: &str) -> anyhow::Result<StepId> {
    let (ms, number) = text.split_once('-').with_context(|| format!("{text} is no step"))?;
    Ok((ms.parse()?, number.parse()?))
}

fn people(steps: &[Step]) -> People {
    let count = |kind| steps.iter().filter(|step| step.step == kind).count().try_into().unwrap_or(i64::MAX);
    People {
        joined: count(StepKind::Joined),
        let_in: count(StepKind::Admitted),
        ordered: count(StepKind::Completed),
    }
}
