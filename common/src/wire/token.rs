//! Claims of the three credentials: identity, access token (pass), and the gateway's assertion inside.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::id::{ProductId, SessionId, Ticket, UserId};

/// Issuer of identity tokens: the user service.
pub const IDENTITY_ISSUER: &str = "astraphe-user";
/// Issuer of access tokens: queue-server.
pub const PASS_ISSUER: &str = "astraphe-queue";
/// Issuer of the assertion inside: the gateway, and services that call each other.
pub const ASSERTION_ISSUER: &str = "astraphe-gateway";
/// Audience of identity and access tokens.
pub const AUDIENCE: &str = "astraphe";
/// Audience of the assertion inside.
pub const INSIDE_AUDIENCE: &str = "astraphe-inside";
/// `typ` of an identity token.
pub const IDENTITY_TYPE: &str = "at+jwt";
/// `typ` of an access token.
pub const PASS_TYPE: &str = "pass+jwt";
/// `typ` of the assertion inside.
pub const ASSERTION_TYPE: &str = "inside+jwt";
/// Header of the assertion inside. The gateway removes it from what comes in.
pub const ASSERTION_HEADER: &str = "x-identity";
/// Header of access tokens; may be repeated for several products.
pub const PASS_HEADER: &str = "x-access-token";
/// The assertion lives at most this long, in seconds.
pub const ASSERTION_TTL_S: i64 = 60;
/// Clocks of two machines may differ by this, in seconds. A pass ends this much before its admission.
pub const LEEWAY_S: i64 = 5;

/// What an account may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "pg", derive(sqlx::Type), sqlx(type_name = "text", rename_all = "UPPERCASE"))]
#[serde(rename_all = "UPPERCASE")]
pub enum Role {
    /// Buys.
    Customer,
    /// Sells, and buys.
    Seller,
    /// Runs waiting rooms.
    Manager,
    /// May do everything.
    Admin,
    /// Another service; never given to a person, never accepted from outside.
    Service,
}

/// Claims of an identity token. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// [`IDENTITY_ISSUER`].
    pub iss: String,
    /// [`AUDIENCE`].
    pub aud: String,
    /// The account; a string on the wire, as RFC 7519 wants it.
    #[serde(with = "as_text")]
    pub sub: UserId,
    /// Its role.
    pub role: Role,
    /// The login.
    pub sid: SessionId,
    /// Made at.
    pub iat: i64,
    /// Not before.
    pub nbf: i64,
    /// Ends at.
    pub exp: i64,
}

/// Claims of an access token: the right to see and order one product. Times are seconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pass {
    /// [`PASS_ISSUER`].
    pub iss: String,
    /// [`AUDIENCE`].
    pub aud: String,
    /// The account; a string on the wire.
    #[serde(with = "as_text")]
    pub sub: UserId,
    /// The product.
    pub pid: ProductId,
    /// The ticket; one order each.
    pub tkt: Ticket,
    /// The login it is bound to.
    pub sid: SessionId,
    /// The room's epoch; an older one than the room's is void.
    pub epoch: i64,
    /// The right's id; stays the same when the pass is issued again.
    pub jti: Uuid,
    /// Made at.
    pub iat: i64,
    /// Not before.
    pub nbf: i64,
    /// Ends at: the end of the admission less [`LEEWAY_S`].
    pub exp: i64,
}

/// What the gateway verified of a request, signed for the services behind it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Assertion {
    /// [`ASSERTION_ISSUER`].
    pub iss: String,
    /// [`INSIDE_AUDIENCE`].
    pub aud: String,
    /// The account; a string on the wire.
    #[serde(with = "as_text")]
    pub sub: UserId,
    /// Its role; [`Role::Service`] when a service calls on its own behalf.
    pub role: Role,
    /// The login.
    pub sid: SessionId,
    /// Products this login may see and order now.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub passes: Vec<Right>,
    /// When the login's token ends: how long a stream that this request starts may last.
    pub until: i64,
    /// Made at.
    pub iat: i64,
    /// Ends at: at most [`ASSERTION_TTL_S`] after `iat`, never later than the earliest pass.
    pub exp: i64,
}

/// The part of a verified pass that the services need.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Right {
    /// The product.
    pub pid: ProductId,
    /// The ticket.
    pub tkt: Ticket,
    /// The right's id.
    pub jti: Uuid,
    /// The room's epoch at issue.
    pub epoch: i64,
    /// Ends at, seconds since 1970.
    pub exp: i64,
}

impl From<&Pass> for Right {
    fn from(pass: &Pass) -> Self {
        Self { pid: pass.pid, tkt: pass.tkt, jti: pass.jti, epoch: pass.epoch, exp: pass.exp }
    }
}

/// A signing key as published in a JWKS: RFC 8037, Ed25519 only.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Jwk {
    /// `OKP`.
    pub kty: String,
    /// `Ed25519`.
    pub crv: String,
    /// Public key, base64url.
    pub x: String,
    /// RFC 7638 thumbprint.
    pub kid: String,
    /// `EdDSA`.
    pub alg: String,
    /// `sig`.
    #[serde(rename = "use")]
    pub usage: String,
}

/// A set of public keys.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct Jwks {
    /// The keys.
    pub keys: Vec<Jwk>,
}

mod as_text {
    use serde::{Deserialize, Deserializer, Serializer};

    use crate::wire::id::UserId;

    pub(super) fn serialize<S: Serializer>(id: &UserId, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(id)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<UserId, D::Error> {
        String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
    }
}
