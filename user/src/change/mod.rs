//! What others must learn of: a login that has ended, an account that has changed.
//!
//! Whoever causes one writes it as a row of the same transaction, so that it is never lost; [`relay`] tells it to
//! Redis at once, and again until Redis has it, also after Redis was restarted and may have lost its last moments.

pub(crate) mod relay;
pub(crate) mod store;

use std::sync::Arc;

use common::wire::Time;
use common::wire::id::{SessionId, UserId};
use tokio::sync::Notify;

/// A row.
pub(crate) struct Change {
    pub(crate) change_id: i64,
    pub(crate) user_id: UserId,
    /// The login that has ended, or else the account itself has changed.
    pub(crate) session_id: Option<SessionId>,
    /// Whether the account's role has.
    pub(crate) of_role: bool,
    pub(crate) changed_at: Time,
}

/// Wakes this process's relay.
#[derive(Debug, Clone, Default)]
pub(crate) struct Changes(Arc<Notify>);

impl Changes {
    /// Changes were committed.
    pub(crate) fn now(&self) {
        self.0.notify_one();
    }
}
