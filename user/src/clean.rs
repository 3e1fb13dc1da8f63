//! Removes what has ended, and takes their owners out of accounts that were deleted long enough ago. Every replica
//! does; rows that another one has removed are not there any more.

use std::time::Duration;

use common::stop::Stop;

use crate::account::store as accounts;
use crate::app::App;
use crate::attempt::store as attempts;
use crate::change::relay::MATTERS;
use crate::change::store as changes;
use crate::error::Error;
use crate::session::store as sessions;

/// Rows of one kind removed at once: short enough that nobody waits for their locks.
const BATCH: i64 = 1_000;
/// An address or a browser is familiar for so long after a login from there was first seen.
const FAMILIAR: Duration = Duration::from_secs(90 * 86_400);

/// Cleans, again and again until the stop.
pub(crate) async fn run(app: App, stop: Stop) {
    while stop.pause(app.clean_every).await {
        if let Err(error) = clean(&app, &stop).await {
            tracing::warn!(
                error = format!("{:#}", anyhow::Error::from(error)),
                "not cleaned; tried again later"
            );
        }
    }
}

async fn clean(app: &App, stop: &Stop) -> Result<(), Error> {
    let (pg, now) = (&app.pg, app.clock.now());
    let mut is_more = true;
    while is_more && !stop.is_stopped() {
        let done = [
            ("sessions", sessions::forget(pg, now, BATCH).await?),
            ("attempts", attempts::forget(pg, now, now - FAMILIAR, BATCH).await?),
            ("changes", changes::forget(pg, now - MATTERS, BATCH).await?),
            ("accounts", accounts::anonymise(pg, now - app.anonymise_after, now, BATCH).await?),
        ];
        for (what, count) in done {
            app.metrics.cleaned_total.with_label_values(&[what]).inc_by(count);
        }
        is_more = done.iter().any(|(_, count)| *count >= BATCH.unsigned_abs());
    }
    Ok(())
}
