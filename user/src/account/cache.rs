//! Profiles in Redis, shared by all replicas, so that what one changes none of them reads as it was.
//!
//! A copy carries the version of its row, and only a newer one takes its place ([`put.lua`](../lua/put.lua)): whoever
//! changes an account puts the new copy before the answer goes out, and a reader that read the row before the change
//! comes too late with the old one. Where Redis does not answer, the database does; the relay of changes
//! ([`crate::change`]) puts afterwards what could not be put at once.

use std::time::Duration;

use common::redis::{Connections, Script, Value};
use common::wire::id::UserId;
use common::wire::user::UserView;
use tokio::time::timeout;

use super::Account;
use crate::error::Error;
use crate::metrics::Metrics;

/// How long a copy is kept, in seconds.
const TTL_S: i64 = 60 * 60;
/// The database answers in a few milliseconds: what takes longer here is no help.
const PATIENCE: Duration = Duration::from_millis(100);

/// The copies. Clones share the connections.
#[derive(Debug, Clone)]
pub(crate) struct Profiles {
    redis: Connections,
    put: Script,
    metrics: Metrics,
}

impl Profiles {
    /// Kept through these connections.
    pub(crate) fn new(redis: Connections, metrics: Metrics) -> Self {
        Self { redis, put: Script::new(include_str!("lua/put.lua")), metrics }
    }

    /// The copy of a profile, where there is one that can be read.
    ///
    /// # Errors
    /// [`Error::UnknownUser`] when the account was deleted.
    pub(crate) async fn get(&self, user: UserId) -> Result<Option<UserView>, Error> {
        let found = self.read(user).await;
        let result = match &found {
            Some(Some(_)) => "hit",
            Some(None) => "miss",
            None => "unavailable",
        };
        self.metrics.profile_reads_total.with_label_values(&[result]).inc();
        match found.flatten() {
            Some(text) if text.is_empty() => Err(Error::UnknownUser),
            // What is no profile of this account, whoever put it there, is nobody's.
            Some(text) => {
                Ok(serde_json::from_str::<UserView>(&text).ok().filter(|view| view.user_id == user))
            }
            None => Ok(None),
        }
    }

    async fn read(&self, user: UserId) -> Option<Option<String>> {
        if !self.redis.is_connected() {
            return None;
        }
        timeout(PATIENCE, self.redis.hash_field(&key(user), "view")).await.ok()?.ok()
    }

    /// Keeps a copy; where that fails, the relay does it later.
    pub(crate) async fn put(&self, account: &Account) {
        if self.redis.is_connected() {
            // A put that comes too late is as good: its version tells.
            drop(timeout(PATIENCE, self.try_put(account)).await);
        }
    }

    /// Keeps a copy.
    ///
    /// # Errors
    /// When Redis fails.
    pub(crate) async fn try_put(&self, account: &Account) -> anyhow::Result<()> {
        let view = match account.deleted_at {
            None => serde_json::to_string(&UserView::from(account))?,
            Some(_) => String::new(),
        };
        let args = vec![Value::from(account.version), view.into(), TTL_S.into()];
        let _: i64 = self.put.run(&self.redis, vec![key(account.user_id)], args).await?;
        Ok(())
    }
}

fn key(user: UserId) -> String {
    format!("profile:{user}")
}
