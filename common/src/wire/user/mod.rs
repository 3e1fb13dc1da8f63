//! Bodies of the user service; [`rules`]: what their fields may hold.

pub mod rules;

use garde::Validate;
use serde::{Deserialize, Serialize};

use super::Time;
use super::id::{SessionId, UserId};
use super::token::Role;

/// `POST /api/auth/signup`.
///
/// A missing field counts as an empty one: it is then named beside all others that break a rule.
#[derive(Default, Deserialize, Validate)]
#[cfg_attr(
    feature = "schema",
    derive(schemars::JsonSchema),
    schemars(extend("required" = ["loginId", "password", "username", "nickname", "phoneNumber", "shippingAddress", "role"]))
)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
pub struct SignUp {
    /// 4 to 10 of a-z and 0-9, of nobody else.
    #[garde(custom(rules::login_id))]
    pub login_id: String,
    /// 8 to 64 printable ASCII characters with at least one letter and one digit.
    #[garde(custom(rules::password))]
    pub password: String,
    /// The person's name, 1 to 20 characters.
    #[garde(custom(rules::text::<20>))]
    pub username: String,
    /// The name others see, 1 to 20 characters.
    #[garde(custom(rules::text::<20>))]
    pub nickname: String,
    /// 7 to 20 digits, + and -.
    #[garde(custom(rules::phone_number))]
    pub phone_number: String,
    /// Where orders go when they name no other address, 1 to 255 characters.
    #[garde(custom(rules::text::<255>))]
    pub shipping_address: String,
    /// What the account will do.
    #[garde(custom(rules::role))]
    pub role: Option<OpenRole>,
}

/// The roles that anyone may take. There is no value for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "UPPERCASE")]
pub enum OpenRole {
    /// Buys.
    Customer,
    /// Sells.
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

/// `POST /api/auth/login`. What no account can have is refused like any wrong pair; only the length is limited here.
#[derive(Deserialize, Validate)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LogIn {
    /// The account's.
    #[garde(length(bytes, max = 256))]
    pub login_id: String,
    /// The account's.
    #[garde(length(bytes, max = 256))]
    pub password: String,
}

/// `POST /api/auth/refresh` and `/logout`. Browsers send none: they have the cookie.
#[derive(Deserialize, Validate)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Bearer {
    /// Of the answer to the login, or to the last refresh.
    #[garde(length(bytes, max = 256))]
    pub refresh_token: String,
}

/// `POST /api/auth/password`.
#[derive(Deserialize, Validate)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewPassword {
    /// The one to now.
    #[garde(length(bytes, max = 256))]
    pub current_password: String,
    /// 8 to 64 printable ASCII characters with at least one letter and one digit.
    #[garde(custom(rules::password))]
    pub new_password: String,
}

/// `PATCH /api/users/me`: what is absent stays.
#[derive(Debug, Default, Deserialize, Validate)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProfileChange {
    /// 1 to 20 characters.
    #[garde(inner(custom(rules::text::<20>)))]
    pub username: Option<String>,
    /// 1 to 20 characters.
    #[garde(inner(custom(rules::text::<20>)))]
    pub nickname: Option<String>,
    /// 7 to 20 digits, + and -.
    #[garde(inner(custom(rules::phone_number)))]
    pub phone_number: Option<String>,
    /// 1 to 255 characters.
    #[garde(inner(custom(rules::text::<255>)))]
    pub shipping_address: Option<String>,
}

/// `PATCH /api/users/{id}`: the same and the role.
#[derive(Debug, Default, Deserialize, Validate)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AccountChange {
    /// 1 to 20 characters.
    #[garde(inner(custom(rules::text::<20>)))]
    pub username: Option<String>,
    /// 1 to 20 characters.
    #[garde(inner(custom(rules::text::<20>)))]
    pub nickname: Option<String>,
    /// 7 to 20 digits, + and -.
    #[garde(inner(custom(rules::phone_number)))]
    pub phone_number: Option<String>,
    /// 1 to 255 characters.
    #[garde(inner(custom(rules::text::<255>)))]
    pub shipping_address: Option<String>,
    /// What the account may do.
    #[garde(inner(custom(rules::person)))]
    pub role: Option<Role>,
}

impl From<ProfileChange> for AccountChange {
    fn from(change: ProfileChange) -> Self {
        let ProfileChange { username, nickname, phone_number, shipping_address } = change;
        Self { username, nickname, phone_number, shipping_address, role: None }
    }
}

impl AccountChange {
    /// Whether it changes nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Self { username, nickname, phone_number, shipping_address, role } = self;
        [username, nickname, phone_number, shipping_address].into_iter().all(Option::is_none)
            && role.is_none()
    }
}

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
