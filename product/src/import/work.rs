//! Turns batches into products until the stop.

use std::sync::Arc;
use std::time::Duration;

use common::clock::Clock;
use common::stop::Stop;
use common::wire::problem::FieldError;
use sqlx::PgConnection;
use sqlx::postgres::PgPool;
use tokio::sync::Notify;

use super::rules::{check, external_id};
use super::store::{self, Batch, Outcome};
use super::{Rejection, Row};
use crate::catalog::store::Stamp;
use crate::{company, image, search};

/// Batches at once in one process: two keep PostgreSQL busy while a third is being read.
pub const WORKERS: usize = 3;
/// Between two looks for batches that another process left.
const LOOK: Duration = Duration::from_millis(500);
/// After a failure.
const RETRY: Duration = Duration::from_secs(1);

/// Wakes this process's workers.
#[derive(Debug, Clone, Default)]
pub struct Bell(Arc<Notify>);

impl Bell {
    /// There is something to do.
    pub fn ring(&self) {
        self.0.notify_waiters();
    }

    /// Waits for it, `pause` at most.
    pub async fn wait(&self, pause: Duration) {
        tokio::time::timeout(pause, self.0.notified()).await.ok();
    }
}

/// One worker.
pub async fn run(pool: PgPool, clock: Clock, bell: Bell, stop: Stop) {
    while !stop.is_stopped() {
        match step(&pool, &clock).await {
            Ok(true) => {}
            Ok(false) => tokio::select! { () = bell.wait(LOOK) => {}, () = stop.stopped() => {} },
            Err(error) => {
                tracing::warn!(%error, "a batch is not imported yet");
                stop.pause(RETRY).await;
            }
        }
    }
}

/// Deals with one batch; returns false where none waits.
async fn step(pool: &PgPool, clock: &Clock) -> Result<bool, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let Some(batch) = store::take(&mut tx).await? else { return Ok(false) };
    let stamp = Stamp { by: batch.by, at: clock.now() };
    let outcome = deal(&mut tx, &batch, stamp).await?;
    store::finish(&mut tx, &batch, &outcome, stamp.at).await?;
    tx.commit().await?;
    Ok(true)
}

async fn deal(db: &mut PgConnection, batch: &Batch, stamp: Stamp) -> Result<Outcome, sqlx::Error> {
    let rows: Vec<Row> =
        serde_json::from_slice(&batch.items).map_err(|error| sqlx::Error::Decode(error.into()))?;
    let mut outcome = Outcome::default();
    let is_there = company::store::hold(db, batch.company).await?.is_some();
    let codes = rows.iter().filter_map(|row| i32::try_from(row.get("categoryCode")?.as_i64()?).ok());
    let codes = store::hold_categories(db, &codes.collect::<Vec<_>>()).await?;
    let keys = rows.iter().filter_map(|row| row.get("images")?.as_array()).flatten();
    let keys: Vec<_> = keys.filter_map(|key| Some(key.as_str()?.to_owned())).collect();
    let images = image::store::keep(db, &keys, stamp.at).await?;
    let mut good = Vec::with_capacity(rows.len());
    for (number, row) in (batch.first_row..).zip(rows) {
        let external_id = external_id(&row);
        let checked = if is_there { check(row, batch.company, &codes, stamp.at) } else { Err(withdrawn()) };
        let checked = checked.and_then(|row| {
            let unknown = image::store::unknown(&row.new.fields.images, &images);
            if unknown.is_empty() { Ok(row) } else { Err(unknown) }
        });
        match checked {
            Ok(row) => good.push(row),
            Err(errors) => outcome.rejections.push(Rejection { row: number, external_id, errors }),
        }
    }
    if !good.is_empty() {
        let products = store::products(db, batch.company, &good, stamp).await?;
        search::store::learn(db, &products).await?;
        outcome.stored = products.len();
        outcome.known = good.len() - products.len();
    }
    Ok(outcome)
}

fn withdrawn() -> Vec<FieldError> {
    vec![FieldError { field: "companyId".to_owned(), message: "was withdrawn meanwhile".to_owned() }]
}
