//! Pictures that no product refers to go: their sellers never saved the product, or changed it.

use std::time::Duration;

use chrono::TimeDelta;
use common::stop::Stop;
use common::wire::Time;

use super::{Key, store};
use crate::app::App;

/// A picture stays so long after somebody last wanted it.
const KEPT: TimeDelta = TimeDelta::days(1);
/// Between two looks.
const LOOK: Duration = Duration::from_secs(5);
/// Pictures of one look.
const BATCH: i64 = 100;

/// Removes pictures until the stop. Every replica runs it.
pub async fn run(app: App, stop: Stop) {
    while stop.pause(LOOK).await {
        if let Err(error) = collect(&app).await {
            tracing::warn!(error = format!("{error:#}"), "pictures not removed; trying again");
        }
    }
}

/// Removes those whose time is over; returns how many.
///
/// # Errors
/// The stores'.
pub async fn collect(app: &App) -> anyhow::Result<usize> {
    let before = app.clock.now() - KEPT;
    let condemned = store::condemn(&app.pg, before, BATCH).await?;
    let mut removed = 0;
    for key in condemned.iter().filter_map(|key| Key::parse(key)) {
        removed += usize::from(remove(app, &key, before).await?);
    }
    Ok(removed)
}

async fn remove(app: &App, key: &Key, before: Time) -> anyhow::Result<bool> {
    let mut tx = app.pg.begin().await?;
    if !store::hold(&mut tx, key.as_str(), before).await? {
        return Ok(false);
    }
    app.images.objects.delete(key).await?;
    store::forget(&mut tx, key.as_str()).await?;
    tx.commit().await?;
    Ok(true)
}
