//! Lists by page: `?page=&size=`, answered with `items` and `total`.

use crate::field::Report;

/// Items of one page when none is asked for.
const SIZE: i64 = 20;
/// Items of one page at most.
const SIZE_MAX: i64 = 100;
/// Pages further back are not served: each costs reading all before it.
const PAGE_MAX: i64 = 10_000;

/// Which page.
#[derive(Debug, Clone, Copy)]
pub struct Page {
    number: i64,
    size: i64,
}

impl Page {
    /// The page asked for: `page` from 1, `size` 1 to 100.
    pub fn read(page: Option<i64>, size: Option<i64>, report: &mut Report) -> Self {
        let (number, size) = (page.unwrap_or(1), size.unwrap_or(SIZE));
        report.number("page", number, 1..=PAGE_MAX);
        report.number("size", size, 1..=SIZE_MAX);
        Self { number, size }
    }

    /// Items on the page.
    #[must_use]
    pub fn limit(self) -> i64 {
        self.size
    }

    /// Items before the page.
    #[must_use]
    pub fn offset(self) -> i64 {
        (self.number - 1) * self.size
    }
}
