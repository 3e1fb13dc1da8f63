//! Logins that have ended and roles that have changed, known to everybody who verifies tokens.
//!
//! The user service writes them to a stream in Redis ([`crate::wire::denied`]). Every process follows the stream and
//! keeps what it says in memory, so that a request costs a look at two tables and no question to Redis. While Redis
//! does not answer, what is known counts; a process that knows nothing yet denies nothing: tokens end by themselves
//! within 15 minutes.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::Refused;
use crate::wire::denied::{Denial, Denied};
use crate::wire::id::{SessionId, UserId};
use crate::wire::token::Role;

/// What is denied. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct List(Arc<RwLock<Tables>>);

/// Each entry with the second in which it goes.
#[derive(Debug, Default)]
struct Tables {
    logins: HashMap<SessionId, i64>,
    /// Of accounts whose role has changed.
    roles: HashMap<UserId, Changed>,
}

/// The role that counts.
#[derive(Debug, Clone, Copy)]
struct Changed {
    role: Role,
    version: i64,
    until: i64,
}

impl List {
    /// Whether a token of this account, role and login counts.
    pub(super) fn check(&self, user: UserId, role: Role, sid: SessionId) -> Result<(), Refused> {
        let tables = self.0.read().unwrap_or_else(PoisonError::into_inner);
        if tables.logins.contains_key(&sid) {
            return Err(Refused::LoggedOut);
        }
        match tables.roles.get(&user) {
            Some(now) if now.role != role => Err(Refused::RoleChanged),
            _ => Ok(()),
        }
    }

    /// Adds entries, and drops those that have ended by `now_s`.
    #[cfg_attr(not(feature = "redis"), expect(dead_code, reason = "only the stream's follower learns"))]
    fn learn(&self, denials: impl IntoIterator<Item = Denial>, now_s: i64) {
        let mut tables = self.0.write().unwrap_or_else(PoisonError::into_inner);
        for Denial { what, until } in denials {
            match what {
                Denied::Login(sid) => drop(tables.logins.insert(sid, until)),
                Denied::OtherRoles(user, role, version) => {
                    let changed = Changed { role, version, until };
                    let held = tables.roles.entry(user).or_insert(changed);
                    // Replicas of the user service tell of changes at once, and not in their order.
                    if held.version <= version {
                        *held = changed;
                    }
                }
            }
        }
        tables.logins.retain(|_, until| now_s < *until);
        tables.roles.retain(|_, changed| now_s < changed.until);
    }
}

#[cfg(feature = "redis")]
pub(super) mod follow {
    //! The stream into the list.

    use std::time::Duration;

    use super::{Denial, List};
    use crate::clock::Clock;
    use crate::redis::{Connections, Error};
    use crate::stop::Stop;
    use crate::wire::denied::DENIED;

    /// How long a denial may stay unseen once it is written.
    const EVERY: Duration = Duration::from_millis(500);
    /// Entries read at once.
    const PAGE: u64 = 1_000;

    /// Follows the stream until the stop.
    pub(in crate::auth) async fn run(list: List, redis: Connections, clock: Clock, stop: Stop) {
        let (mut from, mut is_known) = ("-".to_owned(), true);
        loop {
            let read = tokio::select! {
                read = look(&list, &redis, &clock, &mut from) => read,
                // Without a connection, a look may take seconds.
                () = stop.stopped() => return,
            };
            if let Err(error) = &read
                && is_known
            {
                tracing::warn!(%error, "logins that ended are not read: what is known of them counts");
            }
            is_known = read.is_ok();
            if !stop.pause(EVERY).await {
                return;
            }
        }
    }

    async fn look(list: &List, redis: &Connections, clock: &Clock, from: &mut String) -> Result<(), Error> {
        loop {
            let page = redis.entries(DENIED, from, PAGE).await?;
            let is_last = (page.len() as u64) < PAGE;
            if let Some((id, _)) = page.last() {
                *from = format!("({id}");
            }
            list.learn(page.iter().filter_map(|(_, fields)| Denial::read(fields)), clock.now_s());
            if is_last {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ended_login_and_an_old_role_are_denied_and_nothing_else_is() {
        let (list, ended, other) = (List::default(), SessionId::new(), SessionId::new());
        let denial = |what, until| Denial { what, until };
        list.learn(
            [
                denial(Denied::Login(ended), 1_000),
                denial(Denied::OtherRoles(UserId(7), Role::Manager, 2), 1_000),
                denial(Denied::OtherRoles(UserId(7), Role::Seller, 3), 1_000),
                denial(Denied::OtherRoles(UserId(7), Role::Customer, 1), 1_000),
            ],
            0,
        );
        assert_eq!(list.check(UserId(1), Role::Customer, ended), Err(Refused::LoggedOut));
        assert_eq!(list.check(UserId(1), Role::Customer, other), Ok(()));
        assert_eq!(list.check(UserId(7), Role::Customer, other), Err(Refused::RoleChanged));
        assert_eq!(list.check(UserId(7), Role::Seller, other), Ok(()));
        list.learn([], 999);
        assert_eq!(list.check(UserId(1), Role::Customer, ended), Err(Refused::LoggedOut));
        list.learn([], 1_000);
        assert_eq!(list.check(UserId(1), Role::Customer, ended), Ok(()));
        assert_eq!(list.check(UserId(7), Role::Customer, other), Ok(()));
        assert!(list.0.read().unwrap().logins.is_empty(), "what has ended takes no room");
    }
}
