//! Asks the provider about refunds whose outcome is unknown, and makes those that the service owes. Every replica runs
//! it; refunds are leased.

use std::time::Duration;

use common::stop::Stop;
use futures::future::join_all;

use super::{Refund, settle, store};
use crate::app::App;
use crate::payment::provider::{Provider as _, Returned};

/// Between two looks.
const TICK: Duration = Duration::from_millis(500);
/// Refunds that are asked about at once: few enough that a slow provider does not take all connections.
const BATCH: i64 = 16;
/// A refund that is not made for longer needs a person, in minutes.
const ALARM_MIN: i64 = 15;

/// Resolves refunds until the stop.
pub async fn run(app: App, stop: Stop) {
    while stop.pause(TICK).await {
        match store::claim_open(&app.pg, app.clock.now(), BATCH).await {
            Ok(open) => drop(join_all(open.iter().map(|refund| resolve(&app, refund))).await),
            Err(error) => tracing::warn!(%error, "open refunds not looked at; trying again"),
        }
    }
}

async fn resolve(app: &App, refund: &Refund) {
    if app.clock.now() - refund.created_at > chrono::Duration::minutes(ALARM_MIN) {
        tracing::error!(order.id = %refund.order, refund.id = %refund.id, "money is owed for too long");
    }
    let settled = match app.provider.find_refund(refund).await {
        // Nobody has made it: the first call never arrived. The same key makes a second arrival harmless.
        Returned::Open => settle::carry_out(app, refund).await,
        returned => settle::settle(app, refund, &returned).await,
    };
    if let Err(error) = settled {
        let cause = format!("{:#}", anyhow::Error::new(error));
        tracing::warn!(cause, refund.id = %refund.id, "refund not settled; trying again");
    }
}
