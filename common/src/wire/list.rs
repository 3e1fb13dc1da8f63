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

impl<T, C> Page<T, C> {
    /// The first `limit` of these rows; where there are more, the next page begins after the last of them. Whoever reads
    /// one row more than a page holds learns so whether there is a next one.
    #[must_use]
    pub fn of(mut rows: Vec<T>, limit: usize, cursor: impl FnOnce(&T) -> C) -> Self {
        let has_more = rows.len() > limit;
        rows.truncate(limit);
        Self { next: rows.last().filter(|_| has_more).map(cursor), items: rows }
    }
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
