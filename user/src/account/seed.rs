//! Accounts that no sign-up makes: one of each role with a published password, and shoppers for load.
//!
//! | login id | password | role |
//! |---|---|---|
//! | `admin` | `astraphe-admin-1` | ADMIN |
//! | `manager` | `astraphe-manager-1` | MANAGER |
//! | `seller` | `astraphe-seller-1` | SELLER |
//! | `shopper` | `astraphe-shopper-1` | CUSTOMER |
//!
//! The passwords are for development: whoever seeds another database changes them before it opens.

use std::collections::BTreeMap;

use anyhow::ensure;
use common::clock::Clock;
use common::wire::id::UserId;
use common::wire::token::Role;
use serde::Serialize;
use sqlx::PgPool;

use super::{NewAccount, password, store};
use crate::error::Error;

/// Load shoppers at most: their login ids have six digits.
pub const SHOPPERS_MAX: i64 = 999_999;
/// The id before the first load shopper's. Far above the ids that sign-ups draw, so that the load shoppers' ids stay
/// contiguous when more are made later.
const SHOPPER_BASE: i64 = 1_000_000_000;

const ACCOUNTS: [(&str, &str, Role); 4] = [
    ("admin", "astraphe-admin-1", Role::Admin),
    ("manager", "astraphe-manager-1", Role::Manager),
    ("seller", "astraphe-seller-1", Role::Seller),
    ("shopper", "astraphe-shopper-1", Role::Customer),
];

/// What is there after a seed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Seeded {
    /// By login id.
    pub accounts: BTreeMap<&'static str, Account>,
    /// The load shoppers.
    pub shoppers: Shoppers,
}

/// An account that one can log in to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Account {
    /// What to log in with.
    pub login_id: &'static str,
    /// As published.
    pub password: &'static str,
    /// The account.
    pub user_id: UserId,
}

/// Load shoppers: the accounts `first_user_id`, `first_user_id + 1`, ….
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Shoppers {
    /// `s000001`.
    pub first_user_id: UserId,
    /// How many.
    pub count: u32,
}

/// Makes what is missing; changes nothing that is there.
///
/// # Errors
/// When the database fails, or somebody signed up with one of the login ids before.
pub async fn run(pg: &PgPool, shoppers: u32) -> anyhow::Result<Seeded> {
    let mut accounts = BTreeMap::new();
    for (login_id, password, role) in ACCOUNTS {
        let user_id = account(pg, login_id, password, role).await?;
        accounts.insert(login_id, Account { login_id, password, user_id });
    }
    let count = i32::try_from(shoppers)?;
    store::insert_shoppers(pg, SHOPPER_BASE, count, Clock::system().now()).await?;
    let there = store::count_shoppers(pg, SHOPPER_BASE, i64::from(shoppers)).await?;
    ensure!(
        there == i64::from(shoppers),
        "{} of the load shoppers' login ids belong to other accounts",
        i64::from(shoppers) - there
    );
    let first_user_id = UserId(SHOPPER_BASE + 1);
    Ok(Seeded { accounts, shoppers: Shoppers { first_user_id, count: shoppers } })
}

async fn account(pg: &PgPool, login_id: &str, password: &str, role: Role) -> anyhow::Result<UserId> {
    if let Some(there) = store::by_login_id(pg, login_id).await? {
        return same_role(login_id, role, there);
    }
    let account = NewAccount {
        login_id: login_id.into(),
        password_hash: password::hash(password)?,
        username: login_id.into(),
        nickname: login_id.into(),
        phone_number: "02-0000-0000".into(),
        shipping_address: "Sejong-daero 110, Seoul".into(),
        role,
    };
    match store::insert(pg, &account, Some("system"), Clock::system().now()).await {
        Ok(view) => Ok(view.user_id),
        // Another seed was faster, or the account was deleted.
        Err(Error::LoginIdTaken) => match store::by_login_id(pg, login_id).await? {
            Some(there) => same_role(login_id, role, there),
            None => anyhow::bail!("the account {login_id} was deleted"),
        },
        Err(error) => Err(error.into()),
    }
}

/// Whoever signed up as `admin` first must not be handed out as the administrator.
fn same_role(login_id: &str, role: Role, (user, its): (UserId, Role)) -> anyhow::Result<UserId> {
    ensure!(its == role, "the account {login_id} exists with another role: {its:?}");
    Ok(user)
}
