//! Accounts: a sign-up in, a [`UserView`] out.
//!
//! Roles above SELLER are never an account's own to choose: [`seed`] makes the first ADMIN, and an ADMIN the others.
//! `http` is for the account's owner, `admin` for an ADMIN; `cache` keeps profiles in Redis.

pub(crate) mod admin;
pub(crate) mod cache;
pub(crate) mod http;
pub(crate) mod password;
pub mod seed;
pub(crate) mod store;

use common::wire::Time;
use common::wire::id::UserId;
use common::wire::token::Role;
use common::wire::user::{AccountView, UserView};

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
