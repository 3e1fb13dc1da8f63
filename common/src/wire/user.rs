//! Bodies of the user service.

use serde::{Deserialize, Serialize};

use super::Time;
use super::id::{SessionId, UserId};
use super::token::Role;

/// Answer to a sign-up, and `GET /api/users/me`. Never holds a password or its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct UserView {
    /// The account.
    pub user_id: UserId,
    /// What one logs in with.
    pub login_id: String,
    /// The person's name.
    pub username: String,
    /// The name others see.
    pub nickname: String,
    /// As given.
    pub phone_number: String,
    /// Where orders go when they name no other address.
    pub shipping_address: String,
    /// What the account may do.
    pub role: Role,
    /// When it was made.
    pub created_at: Time,
    /// When it was last changed.
    pub updated_at: Time,
}

/// Answer to a login.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct LoginView {
    /// Identity JWT, for `Authorization: Bearer`.
    pub access_token: String,
    /// When the access token ends.
    pub expires_at: Time,
    /// Opaque; gives a new pair once.
    pub refresh_token: String,
    /// The account.
    pub user_id: UserId,
    /// Its role.
    pub role: Role,
}

/// A login, as its owner sees it among the account's.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct SessionView {
    /// Names it.
    pub sid: SessionId,
    /// When it began.
    pub created_at: Time,
    /// When it was last refreshed.
    pub used_at: Time,
    /// When it ends unless it is used.
    pub expires_at: Time,
    /// What the client called itself, at most 200 characters.
    pub user_agent: String,
    /// Whether it is the login that asks.
    pub current: bool,
}

/// An account, as an ADMIN sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct AccountView {
    /// What its owner sees.
    #[serde(flatten)]
    pub profile: UserView,
    /// Who made it: a user id, or `system`.
    pub created_by: String,
    /// Who changed it last.
    pub updated_by: String,
    /// When it was deleted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_at: Option<Time>,
    /// Who deleted it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deleted_by: Option<String>,
}
