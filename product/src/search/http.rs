//! `GET /api/products`.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use common::http::extract::Query;
use common::http::problem::Failure;
use common::wire::Time;
use common::wire::catalog::SearchView;
use common::wire::list::Page;
use common::wire::product::{ProductSummary, SaleState};
use http::header;
use moka::future::Cache;
use sqlx::PgConnection;

use super::rules::{self, Wish, Word, ask, cursor};
use super::store::{self, Found, Look, TOTAL_MAX};
use super::{Ask, Cursor, Filter, Part, Sort};
use crate::app::App;
use crate::error::Error;
use crate::{category, sale};

/// An answer is at most this old. At a sale's start everybody asks for the same first page.
const KEPT: Duration = Duration::from_secs(1);
/// Bytes of answers that are kept: some thousand pages.
const KEPT_MAX_BYTES: u64 = 32 << 20;

/// Answers of the last second, and those being made: who asks the same meanwhile waits for the same.
#[derive(Debug, Clone)]
pub struct Answers(Cache<Ask, Bytes>);

impl Default for Answers {
    fn default() -> Self {
        let weight = |_: &Ask, body: &Bytes| u32::try_from(body.len()).unwrap_or(u32::MAX);
        Self(Cache::builder().time_to_live(KEPT).weigher(weight).max_capacity(KEPT_MAX_BYTES).build())
    }
}

/// `GET /api/products?q=&companyId=&categoryCode=&priceMin=&priceMax=&state=&startsFrom=&startsTo=&sort=` with
/// `page=&size=` or `limit=&cursor=`: public summaries, at most a second old.
///
/// # Errors
/// `validation-failed`.
pub async fn list(State(app): State<App>, Query(wish): Query<Wish>) -> Result<Response, Failure> {
    let ask = ask(wish)?;
    let made = app.answers.0.try_get_with_by_ref(&ask, async {
        let answer = search(&app, &ask).await?;
        Ok::<_, Failure>(Bytes::from(serde_json::to_vec(&answer).expect("plain data always becomes JSON")))
    });
    let body = made.await.map_err(Arc::unwrap_or_clone)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

async fn search(app: &App, ask: &Ask) -> Result<SearchView, Error> {
    let (filter, now) = (&ask.filter, app.clock.now());
    let mut db = app.searches.acquire().await?;
    let words = match &filter.words {
        Some(text) => store::words(&mut db, text).await?,
        None => Vec::new(),
    };
    if is_void(filter, &words) {
        let total = matches!(ask.part, Part::Page { .. }).then_some(0);
        return Ok(answer(ask, Vec::new(), total, now));
    }
    let categories = match filter.category {
        Some(code) => Some(category::rules::subtree(code, &category::store::all(&mut db).await?)),
        None => None,
    };
    let query = (!words.is_empty()).then(|| rules::query(&words));
    let look = Look { filter, query: query.as_deref(), categories: categories.as_deref(), now };
    let found = look_for(&mut db, look, ask).await?;
    // Behind the last page there is nothing either, and yet the words are right.
    let is_first = matches!(ask.part, Part::Page { offset: 0, .. } | Part::Next { after: None, .. });
    let is_right = !found.items.is_empty() || (!is_first && store::count(&mut db, look).await? > 0);
    if words.is_empty() || is_right {
        return Ok(found);
    }
    let Some(other) = store::meant(&mut db, &words).await? else { return Ok(found) };
    let other = other.join(" ");
    let query = rules::query(&store::words(&mut db, &other).await?);
    let found = look_for(&mut db, Look { query: Some(&query), ..look }, ask).await?;
    Ok(SearchView { meant: Some(store::composed(&mut db, &other).await?), ..found })
}

/// Whether nothing can be found: words are asked for, and there is neither letter nor digit in them; or sales that have
/// begun among those that have not.
fn is_void(filter: &Filter, words: &[Word]) -> bool {
    let begun = filter.state.is_some_and(|state| state != SaleState::Scheduled);
    (words.is_empty() && filter.words.is_some()) || (filter.sort == Sort::OpeningSoon && begun)
}

async fn look_for(db: &mut PgConnection, look: Look<'_>, ask: &Ask) -> Result<SearchView, sqlx::Error> {
    let found = store::find(db, look, ask.part).await?;
    let total = match ask.part {
        // The first page holds them all.
        Part::Page { size, offset: 0 } if i64::try_from(found.len()).is_ok_and(|count| count < size) => {
            i64::try_from(found.len()).ok()
        }
        Part::Page { .. } => Some(store::count(db, look).await?),
        Part::Next { .. } => None,
    };
    Ok(answer(ask, found, total, look.now))
}

fn answer(ask: &Ask, mut found: Vec<Found>, total: Option<i64>, now: Time) -> SearchView {
    let mut next = None;
    if let Part::Next { limit, .. } = ask.part {
        let limit = usize::try_from(limit).unwrap_or_default();
        Page { items: found, next } = Page::of(found, limit, |last| go_on(ask.filter.sort, last));
    }
    SearchView {
        items: found.into_iter().map(|found| summary(found, now)).collect(),
        total: total.map(|total| total.min(TOTAL_MAX)),
        total_is_exact: total.map(|total| total <= TOTAL_MAX),
        next,
        meant: None,
    }
}

fn go_on(sort: Sort, last: &Found) -> String {
    cursor(sort, Cursor { value: last.value, product: last.product_id })
}

/// A product that was found, as everybody may see it.
pub(crate) fn summary(found: Found, now: Time) -> ProductSummary {
    ProductSummary {
        product_id: found.product_id,
        company_id: found.company_id,
        company_name: found.company_name,
        product_name: found.product_name,
        original_price: found.original_price,
        discounted_price: found.discounted_price,
        category_code: found.category_code,
        images: found.images,
        sale_start_time: found.sale_start_time,
        sale_end_time: found.sale_end_time,
        state: sale::rules::state(now, found.sale_start_time, found.sale_end_time, found.available),
    }
}
