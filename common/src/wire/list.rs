//! Parts of lists.

use serde::{Deserialize, Serialize};

/// A part of live data, which goes on after a cursor.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "{T}Page"))]
pub struct Page<T, C = String> {
    /// In the list's order.
    pub items: Vec<T>,
    /// `cursor` of the next page, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<C>,
}

/// One page of a list that has numbered ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema), schemars(rename = "{T}Listing"))]
pub struct Listing<T> {
    /// The page.
    pub items: Vec<T>,
    /// Items on all pages.
    pub total: i64,
}
