//! What every handler and job works with.

use std::ops::Deref;
use std::sync::Arc;

use axum::extract::FromRef;
use common::auth::Verifier;
use common::auth::revoked::Revoked;
use common::client::Client;
use common::clock::Clock;
use common::outbox::Nudge;
use sqlx::PgPool;

use crate::config::Config;
use crate::metrics::Metrics;
use crate::order::live::{self, Watchers};
use crate::order::place::Placer;
use crate::order::sold_out::SoldOut;
use crate::order::{Step, rules};
use crate::payment::provider::toss::Toss;
use crate::product::Known;

/// What every handler and job is given. Clones share the service's parts.
#[derive(Debug, Clone)]
pub struct App(Arc<Parts>);

impl App {
    /// Shares the parts from now on.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }
}

impl Deref for App {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// The service's parts.
#[derive(Debug)]
pub struct Parts {
    /// The service's database.
    pub pg: PgPool,
    /// The same, for what every order goes through: it finds its rows by their keys.
    pub by_key: PgPool,
    /// The time.
    pub clock: Clock,
    /// Who is calling.
    pub verifier: Verifier,
    /// Which access tokens count no longer.
    pub revoked: Revoked,
    /// The product service.
    pub products: Client,
    /// Products read just now.
    pub known: Known,
    /// The payment provider.
    pub provider: Toss,
    /// Wakes the outbox's relay.
    pub nudge: Nudge,
    /// Places orders.
    pub placer: Placer,
    /// Products that have no free unit.
    pub sold_out: SoldOut,
    /// Who watches which order.
    pub watchers: Watchers,
    /// Figures.
    pub metrics: Metrics,
    /// Settings.
    pub config: Config,
}

impl Parts {
    /// Steps were committed: their events can go out, and the figures may count them.
    pub fn committed(&self, steps: &[Step]) {
        self.nudge.now();
        live::tell(&self.watchers, steps);
        for step in steps {
            self.sold_out.returned(&step.commands, self.clock.now());
            self.metrics.transitions_total.with_label_values(&[rules::name(step.to)]).inc();
            if let Some(waited) = step.stock_wait {
                self.metrics.stock_wait_seconds.observe(waited.as_seconds_f64().max(0.0));
            }
        }
    }
}

impl FromRef<App> for Verifier {
    fn from_ref(app: &App) -> Self {
        app.verifier.clone()
    }
}
