//! The error body of every answer outside 2xx: RFC 9457, `application/problem+json`.

use serde::{Deserialize, Serialize};

/// What a client sees of a failure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Problem {
    /// `/problems/<code>`: a name for the kind of failure.
    #[serde(rename = "type")]
    pub kind: String,
    /// The status line's reason.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What happened, for a person.
    pub detail: String,
    /// What happened, for a program: kebab-case, listed in docs/API.md.
    pub code: String,
    /// The request's id; the same stands in the services' logs.
    pub request_id: String,
    /// The fields that broke a rule.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<FieldError>,
    /// Where to join the queue that leads to what was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub queue: Option<String>,
}

/// One field of the request that broke a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct FieldError {
    /// Path of the field as sent: `lines[0].quantity`.
    pub field: String,
    /// The rule it broke.
    pub message: String,
}
