//! Parts of lists of live data, the newest first, by `?limit=&cursor=`.

use common::wire::list::Page;
use garde::Validate;
use serde::Deserialize;

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

impl Asked {
    /// How many rows to read: one more than asked for tells whether there is a next page.
    pub(crate) fn rows(&self) -> i64 {
        self.limit + 1
    }

    /// The page with what was read of these rows.
    pub(crate) fn page<T>(&self, rows: Vec<T>, cursor: impl Fn(&T) -> i64) -> Page<T, i64> {
        Page::of(rows, usize::try_from(self.limit).unwrap_or(usize::MAX), cursor)
    }
}
