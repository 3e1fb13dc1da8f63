//! Accounts: a sign-up in, a [`UserView`] out.
//!
//! Roles above SELLER are never an account's own to choose: [`seed`] makes the first ADMIN, and an ADMIN the others.
//! `http` is for the account's owner, `admin` for an ADMIN; `cache` keeps profiles in Redis.

pub(crate) mod admin;
pub(crate) mod cache;
pub(crate) mod http;
pub(crate) mod password;
mod rules;
pub mod seed;
pub(crate) mod store;

pub(crate) use rules::{is_login_id, password as password_rule};

use common::wire::Time;
use common::wire::id::UserId;
use common::wire::token::Role;
use common::wire::user::{AccountView, UserView};
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

/// Body of `PATCH /api/users/me`: what is absent stays.
#[derive(Debug, Default, Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct ProfileChange {
    #[garde(inner(custom(rules::text::<20>)))]
    pub(crate) username: Option<String>,
    #[garde(inner(custom(rules::text::<20>)))]
    pub(crate) nickname: Option<String>,
    #[garde(inner(custom(rules::phone_number)))]
    pub(crate) phone_number: Option<String>,
    #[garde(inner(custom(rules::text::<255>)))]
    pub(crate) shipping_address: Option<String>,
}

/// Body of `PATCH /api/users/{id}`: the same and the role.
#[derive(Debug, Default, Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct AccountChange {
    #[garde(inner(custom(rules::text::<20>)))]
    pub(crate) username: Option<String>,
    #[garde(inner(custom(rules::text::<20>)))]
    pub(crate) nickname: Option<String>,
    #[garde(inner(custom(rules::phone_number)))]
    pub(crate) phone_number: Option<String>,
    #[garde(inner(custom(rules::text::<255>)))]
    pub(crate) shipping_address: Option<String>,
    #[garde(inner(custom(rules::person)))]
    pub(crate) role: Option<Role>,
}

impl From<ProfileChange> for AccountChange {
    fn from(change: ProfileChange) -> Self {
        let ProfileChange { username, nickname, phone_number, shipping_address } = change;
        Self { username, nickname, phone_number, shipping_address, role: None }
    }
}

impl AccountChange {
    /// Whether it changes nothing.
    pub(crate) fn is_empty(&self) -> bool {
        let Self { username, nickname, phone_number, shipping_address, role } = self;
        [username, nickname, phone_number, shipping_address].into_iter().all(Option::is_none)
            && role.is_none()
    }
}

/// An account as it is stored.
#[derive(Debug)]
pub(crate) struct Account {
    pub(crate) user_id: UserId,
    pub(crate) login_id: String,
    pub(crate) username: String,
    pub(crate) nickname: String,
    pub(crate) phone_number: String,
    pub(crate) shipping_address: String,
    pub(crate) role: Role,
    pub(crate) version: i64,
    pub(crate) created_at: Time,
    pub(crate) created_by: String,
    pub(crate) updated_at: Time,
    pub(crate) updated_by: String,
    pub(crate) deleted_at: Option<Time>,
    pub(crate) deleted_by: Option<String>,
}

impl From<&Account> for UserView {
    fn from(account: &Account) -> Self {
        Self {
            user_id: account.user_id,
            login_id: account.login_id.clone(),
            username: account.username.clone(),
            nickname: account.nickname.clone(),
            phone_number: account.phone_number.clone(),
            shipping_address: account.shipping_address.clone(),
            role: account.role,
            created_at: account.created_at,
            updated_at: account.updated_at,
        }
    }
}

impl From<Account> for AccountView {
    fn from(account: Account) -> Self {
        Self {
            profile: UserView::from(&account),
            created_by: account.created_by,
            updated_by: account.updated_by,
            deleted_at: account.deleted_at,
            deleted_by: account.deleted_by,
        }
    }
}
