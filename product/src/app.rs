//! What every handler has.

use axum::extract::FromRef;
use common::auth::{Caller, Verifier};
use common::clock::Clock;
use common::outbox::Nudge;
use common::wire::id::UserId;
use common::wire::token::Role;
use sqlx::postgres::PgPool;

use crate::catalog::pages::Pages;
use crate::error::Error;
use crate::image::http::Images;
use crate::import::remote::Hosts;
use crate::import::work::Bell;
use crate::like::counts::Counts;
use crate::like::popular::Popular;
use crate::search::http::Answers;
use crate::seller::live::Watchers;
use crate::seller::sale::Sales;

/// The service's `ce_source`.
pub const SOURCE: &str = "product";

/// The state of the HTTP side. Clones share everything.
#[derive(Debug, Clone)]
pub struct App {
    /// Connections for requests.
    pub pg: PgPool,
    /// Connections for searches: their plans are made anew for each.
    pub searches: PgPool,
    /// What was searched for in the last second.
    pub answers: Answers,
    /// Product pages of the last second.
    pub pages: Pages,
    /// Pictures.
    pub images: Images,
    /// Who likes what.
    pub likes: Counts,
    /// What is liked most.
    pub popular: Popular,
    /// Wakes this process's importers.
    pub imports: Bell,
    /// What imports may read.
    pub import_hosts: Hosts,
    /// Figures of sales of the last second.
    pub sales: Sales,
    /// Who watches sales.
    pub watchers: Watchers,
    /// Who is calling.
    pub verifier: Verifier,
    /// Where time comes from.
    pub clock: Clock,
    /// Wakes the outbox relay after a commit.
    pub nudge: Nudge,
}

impl FromRef<App> for Verifier {
    fn from_ref(app: &App) -> Self {
        app.verifier.clone()
    }
}

/// Refuses callers that do not sell.
///
/// # Errors
/// [`Error::Forbidden`].
pub fn must_sell(caller: &Caller) -> Result<(), Error> {
    if matches!(caller.role, Role::Seller | Role::Admin) { Ok(()) } else { Err(Error::Forbidden) }
}

/// Whether the caller may act for `owner`: the seller itself, or an ADMIN.
#[must_use]
pub fn acts_for(caller: &Caller, owner: UserId) -> bool {
    caller.role == Role::Admin || (caller.role == Role::Seller && caller.user == owner)
}

/// Refuses callers that may not act for `owner`.
///
/// # Errors
/// [`Error::Forbidden`].
pub fn must_act_for(caller: &Caller, owner: UserId) -> Result<(), Error> {
    if acts_for(caller, owner) { Ok(()) } else { Err(Error::Forbidden) }
}
