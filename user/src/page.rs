//! Parts of lists: of live data the newest first by `?limit=&cursor=`, answered with `items` and `next`; of accounts and
//! logins by page, with `items` and `total`.

use garde::Validate;
use serde::{Deserialize, Serialize};

/// Which part of a list.
#[derive(Debug, Deserialize, Validate)]
pub(crate) struct Asked {
    /// How many, 1 to 100.
    #[garde(range(min = 1, max = 100))]
    #[serde(default = "limit_default")]
    limit: i64,
    /// `next` of the page before.
    #[garde(skip)]
    pub(crate) cursor: Option<i64>,
}

fn limit_default() -> i64 {
    20
}

/// A part of a list.
#[derive(Debug, Serialize)]
pub(crate) struct Page<T> {
    items: Vec<T>,
    /// Cursor of the next page, when there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<i64>,
}

impl Asked {
    /// How many rows to read: one more than asked for tells whether there is a next page.
    pub(crate) fn rows(&self) -> i64 {
        self.limit + 1
    }

    /// The page with what was read of these rows.
    pub(crate) fn page<T>(&self, mut items: Vec<T>, cursor: impl Fn(&T) -> i64) -> Page<T> {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let more = items.len() > limit;
        items.truncate(limit);
        Page { next: items.last().filter(|_| more).map(cursor), items }
    }
}

/// One page of a list.
#[derive(Debug, Serialize)]
pub(crate) struct Listing<T> {
    /// The page.
    pub(crate) items: Vec<T>,
    /// Items on all pages.
    pub(crate) total: i64,
}
