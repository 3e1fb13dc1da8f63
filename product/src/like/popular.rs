//! What is liked most.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use common::http::problem::Failure;
use common::wire::catalog::{Liked, PopularView};
use http::header;
use moka::future::Cache;

use crate::app::App;
use crate::error::Error;
use crate::search::http::summary;
use crate::search::store::{Look, find};
use crate::search::{Filter, Part, Sort};

/// The list is at most this old: whoever looks at it does not wait for the last like.
const KEPT: Duration = Duration::from_secs(5);
/// Products on it.
const SIZE: i64 = 20;

/// The list of the last five seconds. Clones share it.
#[derive(Debug, Clone)]
pub struct Popular(Cache<(), Bytes>);

impl Default for Popular {
    fn default() -> Self {
        Self(Cache::builder().time_to_live(KEPT).max_capacity(1).build())
    }
}

/// `GET /api/products/popular`: the 20 products that most shoppers like, and how many do.
///
/// # Errors
/// The database's.
pub async fn popular(State(app): State<App>) -> Result<Response, Failure> {
    let made = app.popular.0.try_get_with((), async {
        let list = list(&app).await?;
        Ok::<_, Failure>(Bytes::from(serde_json::to_vec(&list).expect("plain data always becomes JSON")))
    });
    let body = made.await.map_err(Arc::unwrap_or_clone)?;
    Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
}

async fn list(app: &App) -> Result<PopularView, Error> {
    let now = app.clock.now();
    let filter = Filter { sort: Sort::Popular, ..Filter::default() };
    let look = Look { filter: &filter, query: None, categories: None, now };
    let mut db = app.searches.acquire().await?;
    let found = find(&mut db, look, Part::Page { size: SIZE, offset: 0 }).await?;
    let liked = found.into_iter().filter(|found| found.value > 0);
    let items = liked.map(|found| Liked { likes: found.value, product: summary(found, now) });
    Ok(PopularView { items: items.collect() })
}
