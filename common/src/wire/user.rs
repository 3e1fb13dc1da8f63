//! Bodies of the user service.

use serde::{Deserialize, Serialize};

use super::Time;
use super::id::UserId;
use super::token::Role;

/// Answer to a sign-up, and `GET /api/users/me`. Never holds a password or its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
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
