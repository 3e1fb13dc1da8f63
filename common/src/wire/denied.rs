//! Identity tokens that count no longer although their time is not over: what the user service tells everybody who
//! verifies them.
//!
//! Each is an entry of one Redis stream. Entries go once the tokens they speak of have ended by themselves.

use std::collections::HashMap;

use super::id::{SessionId, UserId};
use super::token::Role;

/// Key of the stream. The user service writes it, the gateway and the services read it.
pub const DENIED: &str = "denied:logins";

/// An entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denial {
    /// Whose tokens.
    pub what: Denied,
    /// When the last of them has ended, in seconds since 1970.
    pub until: i64,
}

/// Which tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// Those of a login that has ended.
    Login(SessionId),
    /// Those of an account that name another role than its present one, as of this version of the account.
    OtherRoles(UserId, Role, i64),
}

impl Denial {
    /// The entry's fields.
    #[must_use]
    pub fn fields(&self) -> Vec<(&'static str, String)> {
        let mut fields = match self.what {
            Denied::Login(sid) => vec![("sid", sid.to_string())],
            Denied::OtherRoles(user, role, version) => {
                vec![
                    ("user", user.to_string()),
                    ("role", name(role).into()),
                    ("version", version.to_string()),
                ]
            }
        };
        fields.push(("until", self.until.to_string()));
        fields
    }

    /// Reads an entry; `None` where it is none that this version knows.
    #[must_use]
    pub fn read(fields: &HashMap<String, String>) -> Option<Self> {
        let until = fields.get("until")?.parse().ok()?;
        let what = match fields.get("sid") {
            Some(sid) => Denied::Login(sid.parse().ok()?),
            None => Denied::OtherRoles(
                fields.get("user")?.parse().ok()?,
                role(fields.get("role")?)?,
                fields.get("version")?.parse().ok()?,
            ),
        };
        Some(Self { what, until })
    }
}

const ROLES: [(Role, &str); 4] = [
    (Role::Customer, "CUSTOMER"),
    (Role::Seller, "SELLER"),
    (Role::Manager, "MANAGER"),
    (Role::Admin, "ADMIN"),
];

/// No person has the role of a service; it would deny every token there is.
fn name(role: Role) -> &'static str {
    ROLES.iter().find(|(one, _)| *one == role).map_or("SERVICE", |(_, name)| name)
}

fn role(name: &str) -> Option<Role> {
    ROLES.iter().find(|(_, one)| *one == name).map(|(role, _)| *role)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(denial: Denial) -> HashMap<String, String> {
        denial.fields().into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    #[test]
    fn what_is_written_is_read() {
        let login = Denied::Login(SessionId::new());
        for what in [login, Denied::OtherRoles(UserId(7), Role::Seller, 3)] {
            let denial = Denial { what, until: 1_800_000_900 };
            assert_eq!(Denial::read(&sent(denial)), Some(denial));
        }
    }

    #[test]
    fn what_is_no_denial_denies_nothing() {
        let good = sent(Denial { what: Denied::OtherRoles(UserId(7), Role::Seller, 3), until: 9 });
        for (field, value) in
            [("until", "soon"), ("user", "x"), ("role", "SERVICE"), ("version", ""), ("sid", "7")]
        {
            let mut fields = good.clone();
            fields.insert(field.into(), value.into());
            assert_eq!(Denial::read(&fields), None, "{field} {value}");
        }
        assert_eq!(Denial::read(&HashMap::new()), None);
    }
}
