//! Dead letters as operators read them.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::Time;

/// A record that nobody could use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct DeadLetter {
    /// Its id: `UUIDv7`, so that later letters sort later, whichever service keeps them.
    pub letter_id: Uuid,
    /// The topic that it was read from, without the deployment's prefix.
    pub topic: String,
    /// The partition there.
    pub partition: i32,
    /// Its place in the partition.
    pub offset: i64,
    /// Its key.
    pub key: String,
    /// Why nobody could use it.
    pub reason: String,
    /// Length of its body in bytes.
    pub size: i64,
    /// When it was put aside.
    pub created_at: Time,
    /// When it was sent again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redriven_at: Option<Time>,
    /// By whom: a user id, or the name given on the command line.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub redriven_by: Option<String>,
    /// The original bytes in base64; not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// The same as text, where they are UTF-8; not in lists.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// A page of them, the newest first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub struct DeadLetters {
    /// The letters.
    pub items: Vec<DeadLetter>,
    /// Cursor of the next page, when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Uuid>,
}
