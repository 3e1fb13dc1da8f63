//! What may be asked of a search. Pure.

use std::ops::RangeInclusive;

use common::wire::Time;
use common::wire::id::{CompanyId, ProductId};
use common::wire::money::Won;
use common::wire::product::SaleState;
use garde::Validate;
use serde::Deserialize;

use super::{Ask, Cursor, Filter, Part, Sort};
use crate::error::Error;
use crate::field::Report;
use crate::page::Page;

/// Characters of all words together.
const WORDS_LEN: RangeInclusive<usize> = 0..=50;
/// Words at most: each is one more look into the index.
pub const WORDS_MAX: usize = 8;
/// Known words that a query names for the beginning of one.
pub const KNOWN_MAX: usize = 32;
/// Pages end here, in items: each costs reading all before it. A cursor goes on without end.
const PAGES_END: i64 = 10_000;
/// Items of one answer at most.
const LIMIT_MAX: i64 = 100;
/// Items of an answer when none is asked for.
const LIMIT: i64 = 20;

/// The query string of a search.
#[derive(Debug, Clone, Default, Deserialize, Validate)]
#[serde(rename_all = "camelCase")]
#[garde(allow_unvalidated)]
pub struct Wish {
    q: Option<String>,
    company_id: Option<CompanyId>,
    category_code: Option<i32>,
    price_min: Option<i64>,
    price_max: Option<i64>,
    state: Option<SaleState>,
    starts_from: Option<Time>,
    starts_to: Option<Time>,
    sort: Option<String>,
    page: Option<i64>,
    size: Option<i64>,
    limit: Option<i64>,
    cursor: Option<String>,
}

/// Checks a search.
///
/// # Errors
/// [`Error::Invalid`] with every field that breaks a rule.
pub fn ask(wish: Wish) -> Result<Ask, Error> {
    let mut report = Report::default();
    let words = wish.q.as_deref().map(str::trim).filter(|words| !words.is_empty());
    report.text("q", words.unwrap_or_default(), WORDS_LEN);
    let many = words.unwrap_or_default().split_whitespace().count() > WORDS_MAX;
    report.require(!many, "q", format!("at most {WORDS_MAX} words"));
    for (field, price) in [("priceMin", wish.price_min), ("priceMax", wish.price_max)] {
        report.number(field, price.unwrap_or_default(), 0..=Won::PRICE_MAX.0);
    }
    let crossed = wish.price_min.zip(wish.price_max).is_some_and(|(min, max)| min > max);
    report.require(!crossed, "priceMax", "is at least priceMin");
    let crossed = wish.starts_from.zip(wish.starts_to).is_some_and(|(from, to)| from >= to);
    report.require(!crossed, "startsTo", "is after startsFrom");
    report.require(wish.state != Some(SaleState::Draft), "state", "scheduled, onSale, soldOut or ended");
    let sort = sort(wish.sort.as_deref(), &mut report);
    let part = part(&wish, sort, &mut report);
    let filter = Filter {
        words: words.map(str::to_lowercase),
        company: wish.company_id,
        category: wish.category_code,
        price_min: wish.price_min,
        price_max: wish.price_max,
        state: wish.state,
        starts_from: wish.starts_from,
        starts_to: wish.starts_to,
        sort,
    };
    report.verdict()?;
    Ok(Ask { filter, part })
}

fn sort(name: Option<&str>, report: &mut Report) -> Sort {
    let Some(name) = name else { return Sort::default() };
    let known = Sort::ALL.into_iter().find(|sort| sort.as_str() == name);
    let all = Sort::ALL.map(Sort::as_str).join(", ");
    report.require(known.is_some(), "sort", format!("one of {all}"));
    known.unwrap_or_default()
}

fn part(wish: &Wish, sort: Sort, report: &mut Report) -> Part {
    if wish.limit.is_none() && wish.cursor.is_none() {
        let page = Page::read(wish.page, wish.size, report);
        let reached = page.offset().saturating_add(page.limit());
        report.require(
            reached <= PAGES_END,
            "page",
            format!("pages end after {PAGES_END} items; use cursor"),
        );
        return Part::Page { size: page.limit(), offset: page.offset() };
    }
    let paged = wish.page.is_some() || wish.size.is_some();
    report.require(!paged, "page", "not together with limit and cursor");
    let limit = wish.limit.unwrap_or(LIMIT);
    report.number("limit", limit, 1..=LIMIT_MAX);
    let after = wish.cursor.as_deref().map(|text| read_cursor(text, sort));
    report.require(after != Some(None), "cursor", "as `next` of an answer in the same order gave it");
    Part::Next { limit, after: after.flatten() }
}

/// Where the next answer begins, as text: it counts in the same order alone.
#[must_use]
pub fn cursor(sort: Sort, at: Cursor) -> String {
    format!("{}.{}.{}", sort.as_str(), at.value, at.product)
}

fn read_cursor(text: &str, sort: Sort) -> Option<Cursor> {
    let (value, product) = text.strip_prefix(sort.as_str())?.strip_prefix('.')?.split_once('.')?;
    Some(Cursor { value: value.parse().ok()?, product: ProductId(product.parse().ok()?) })
}

/// A word that is searched for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// As the index has words.
    pub asked: String,
    /// The known ones that begin with it, one more than [`KNOWN_MAX`] at most.
    pub known: Vec<String>,
}

/// The query that finds every name in which each of these begins a word. It names the known words: their lists are read
/// only where they meet. That of a beginning is gathered as a whole: for model numbers, which are not known, and have
/// short lists; and for one or two letters, which so many words begin with that the walk along an order meets them soon.
/// They hold letters and digits alone, so nothing in them has a meaning of its own in a query.
#[must_use]
pub fn query(words: &[Word]) -> String {
    let one = |Word { asked, known }: &Word| {
        let is_known = !known.is_empty() && known.len() <= KNOWN_MAX;
        if !is_known || asked.bytes().any(|byte| byte.is_ascii_digit()) {
            return format!("'{asked}':*");
        }
        let known: Vec<_> = known.iter().map(|word| format!("'{word}'")).collect();
        format!("({})", known.join(" | "))
    };
    words.iter().map(one).collect::<Vec<_>>().join(" & ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(spoil: impl FnOnce(&mut Wish)) -> String {
        let mut wish = Wish::default();
        spoil(&mut wish);
        match ask(wish) {
            Err(Error::Invalid(errors)) => errors[0].field.clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_broken_rule_names_its_field() {
        assert_eq!(broken(|w| w.q = Some("a".repeat(51))), "q");
        assert_eq!(broken(|w| w.q = Some("a b c d e f g h i".into())), "q");
        assert_eq!(broken(|w| w.q = Some("a\0".into())), "q");
        assert_eq!(broken(|w| w.price_min = Some(-1)), "priceMin");
        assert_eq!(broken(|w| w.price_max = Some(i64::MAX)), "priceMax");
        assert_eq!(broken(|w| (w.price_min, w.price_max) = (Some(2), Some(1))), "priceMax");
        assert_eq!(broken(|w| w.state = Some(SaleState::Draft)), "state");
        assert_eq!(broken(|w| w.sort = Some("name".into())), "sort");
        assert_eq!(broken(|w| w.page = Some(0)), "page");
        assert_eq!(broken(|w| (w.page, w.size) = (Some(101), Some(100))), "page");
        assert_eq!(broken(|w| (w.page, w.limit) = (Some(1), Some(10))), "page");
        assert_eq!(broken(|w| w.limit = Some(101)), "limit");
        for cursor in ["", "newest", "newest.1", "newest.1.x", "updated.1.2", "newest.99999999999999999999.1"]
        {
            assert_eq!(broken(|w| w.cursor = Some(cursor.into())), "cursor", "{cursor}");
        }
    }

    #[test]
    fn a_cursor_is_read_as_it_was_given() {
        for sort in Sort::ALL {
            let at = Cursor { value: -7, product: ProductId(9) };
            assert_eq!(read_cursor(&cursor(sort, at), sort), Some(at));
        }
    }

    #[test]
    fn known_words_are_named_and_others_asked_for_by_their_beginning() {
        let word = |asked: &str, known: &[&str]| Word {
            asked: asked.into(),
            known: known.iter().map(|word| (*word).to_owned()).collect(),
        };
        assert_eq!(query(&[word("lam", &["lamp", "lamps"])]), "('lamp' | 'lamps')");
        assert_eq!(query(&[word("red", &["red"]), word("x1", &[])]), "('red') & 'x1':*");
        assert_eq!(query(&[word("a", &["b"; KNOWN_MAX + 1])]), "'a':*");
        assert_eq!(query(&[word("unheard", &[])]), "'unheard':*");
    }
}
