//! Accounts: a sign-up in, a [`UserView`](common::wire::user::UserView) out.
//!
//! Roles above SELLER are never a client's to choose: [`seed`] makes those accounts.

pub(crate) mod http;
pub(crate) mod password;
mod rules;
pub mod seed;
pub(crate) mod store;

pub(crate) use rules::is_login_id;

use common::wire::token::Role;
use garde::Validate;
use serde::Deserialize;

/// Body of `POST /api/auth/signup`.
///
/// A missing field counts as an empty one: it is then named beside all others that break a rule.
#[derive(Default, Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub(crate) struct SignUp {
    #[garde(custom(rules::login_id))]
    pub(crate) login_id: String,
    #[garde(custom(rules::password))]
    pub(crate) password: String,
    #[garde(custom(rules::text::<20>))]
    pub(crate) username: String,
    #[garde(custom(rules::text::<20>))]
    pub(crate) nickname: String,
    #[garde(custom(rules::phone_number))]
    pub(crate) phone_number: String,
    #[garde(custom(rules::text::<255>))]
    pub(crate) shipping_address: String,
    #[garde(custom(rules::role))]
    pub(crate) role: Option<OpenRole>,
}

/// The roles that anyone may take. There is no value for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum OpenRole {
    Customer,
    Seller,
}

impl From<OpenRole> for Role {
    fn from(role: OpenRole) -> Self {
        match role {
            OpenRole::Customer => Self::Customer,
            OpenRole::Seller => Self::Seller,
        }
    }
}

/// An account that is to be stored.
pub(crate) struct NewAccount {
    pub(crate) login_id: String,
    pub(crate) password_hash: String,
    pub(crate) username: String,
    pub(crate) nickname: String,
    pub(crate) phone_number: String,
    pub(crate) shipping_address: String,
    pub(crate) role: Role,
}
