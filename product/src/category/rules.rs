//! What a category may be called, and where it may hang. Pure.

use common::wire::product::CategoryView;

use super::Wish;
use crate::error::Error;
use crate::field::Report;

/// Levels of the tree at most: what menus can show.
const DEPTH_MAX: usize = 5;
/// Categories at most: the whole tree is one answer, and one look of a search.
pub const COUNT_MAX: usize = 1_000;

/// Checks a category of this code that is to be as wished, among those that there are.
///
/// # Errors
/// [`Error::Invalid`]; [`Error::UnknownCategory`] for the parent.
pub fn check(wish: &Wish, code: i32, tree: &[CategoryView]) -> Result<(), Error> {
    let mut report = Report::default();
    report.number("categoryCode", code.into(), 1..=999_999_999);
    report.text("categoryName", &wish.category_name, 1..=20);
    let is_new = tree.iter().all(|other| other.category_code != code);
    report.require(
        !is_new || tree.len() < COUNT_MAX,
        "categoryCode",
        format!("at most {COUNT_MAX} categories"),
    );
    let Some(parent) = wish.parent_code else { return report.verdict() };
    if tree.iter().all(|other| other.category_code != parent) {
        return Err(Error::UnknownCategory);
    }
    let below = subtree(code, tree);
    report.require(!below.contains(&parent), "parentCode", "is not the category itself, nor one below it");
    let height = below.iter().map(|under| depth(*under, tree)).max().unwrap_or(1) - depth(code, tree) + 1;
    let fits = depth(parent, tree) + height <= DEPTH_MAX;
    report.require(fits, "parentCode", format!("the tree has at most {DEPTH_MAX} levels"));
    report.verdict()
}

/// A category and all below it.
#[must_use]
pub fn subtree(code: i32, tree: &[CategoryView]) -> Vec<i32> {
    let mut found = vec![code];
    let mut next = 0;
    while let Some(parent) = found.get(next).copied() {
        found.extend(tree.iter().filter(|one| one.parent_code == Some(parent)).map(|one| one.category_code));
        next += 1;
    }
    found
}

/// Its level, 1 at the top; 0 where it does not exist.
fn depth(code: i32, tree: &[CategoryView]) -> usize {
    let parent = |code| tree.iter().find(|one| one.category_code == code);
    std::iter::successors(parent(code), |one| one.parent_code.and_then(parent)).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 1 ─ 2 ─ 3 ─ 4, and 9 ─ 8.
    fn tree() -> Vec<CategoryView> {
        let one = |category_code, parent_code| CategoryView {
            category_code,
            category_name: format!("c{category_code}"),
            parent_code,
        };
        vec![one(1, None), one(2, Some(1)), one(3, Some(2)), one(4, Some(3)), one(9, None), one(8, Some(9))]
    }

    fn wish(parent_code: Option<i32>) -> Wish {
        Wish { category_code: None, category_name: "lamps".into(), parent_code }
    }

    #[test]
    fn a_search_finds_all_below() {
        assert_eq!(subtree(1, &tree()), [1, 2, 3, 4]);
        assert_eq!(subtree(8, &tree()), [8]);
        assert_eq!(subtree(77, &tree()), [77]);
    }

    #[test]
    fn no_cycle_closes_and_no_branch_grows_too_long() {
        let refused = |code, parent| match check(&wish(Some(parent)), code, &tree()) {
            Err(Error::Invalid(errors)) => errors[0].field.clone(),
            other => panic!("{code} below {parent}: {other:?}"),
        };
        for (code, parent) in [(1, 1), (1, 4), (2, 3)] {
            assert_eq!(refused(code, parent), "parentCode");
        }
        // 9 has a level below it: under 4 it would be the sixth.
        assert_eq!(refused(9, 4), "parentCode");
        for (code, parent) in [(9, 3), (8, 4), (7, 4), (4, 1)] {
            assert!(check(&wish(Some(parent)), code, &tree()).is_ok(), "{code} below {parent}");
        }
        assert!(check(&wish(None), 2, &tree()).is_ok());
        assert!(matches!(check(&wish(Some(77)), 2, &tree()), Err(Error::UnknownCategory)));
    }
}
