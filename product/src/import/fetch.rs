//! Fetches pages until the stop: `{"items": […], "next": "…"}`, where `next` is the next page's address, or absent.

use std::time::Duration;

use common::clock::Clock;
use common::stop::Stop;
use serde::Deserialize;
use sqlx::postgres::PgPool;

use super::remote::{Hosts, Refused};
use super::store::{self, Waiting};
use super::work::Bell;
use super::{ROWS_MAX, Row};

/// Between two looks for pages that another process left.
const LOOK: Duration = Duration::from_millis(500);
/// Pauses after each failure of one page; after the last one the import fails.
const PAUSES: [Duration; 2] = [Duration::from_millis(500), Duration::from_secs(2)];

#[derive(Debug, Deserialize)]
struct Page {
    items: Vec<Row>,
    next: Option<String>,
}

/// The one fetcher of this process.
pub async fn run(pool: PgPool, clock: Clock, hosts: Hosts, bell: Bell, stop: Stop) {
    while !stop.is_stopped() {
        match step(&pool, &clock, &hosts, &stop).await {
            Ok(true) => bell.ring(),
            Ok(false) => tokio::select! { () = bell.wait(LOOK) => {}, () = stop.stopped() => {} },
            Err(error) => {
                tracing::warn!(%error, "a page is not imported yet");
                stop.pause(LOOK).await;
            }
        }
    }
}

/// Fetches one page; returns false where none waits.
async fn step(pool: &PgPool, clock: &Clock, hosts: &Hosts, stop: &Stop) -> Result<bool, sqlx::Error> {
    let mut tx = pool.begin().await?;
    let Some(waiting) = store::take_page(&mut tx).await? else { return Ok(false) };
    let page = tokio::select! {
        page = page(hosts, &waiting) => page,
        () = stop.stopped() => return Ok(false),
    };
    match page {
        Ok(page) => {
            store::add(&mut tx, waiting.import, waiting.read, &page.items).await?;
            store::turn_page(&mut tx, waiting.import, Ok(page.next.as_deref()), clock.now()).await?;
        }
        Err(why) => {
            tracing::info!(import = %waiting.import, why, "an import failed");
            store::turn_page(&mut tx, waiting.import, Err(&why), clock.now()).await?;
        }
    }
    tx.commit().await?;
    Ok(true)
}

async fn page(hosts: &Hosts, waiting: &Waiting) -> Result<Page, String> {
    let mut pauses = PAUSES.into_iter();
    let body = loop {
        match hosts.read(&waiting.url).await {
            Ok(body) => break body,
            Err(Refused::ForGood(why)) => return Err(why),
            Err(Refused::ForNow(why)) => match pauses.next() {
                Some(pause) => tokio::time::sleep(pause).await,
                None => return Err(why),
            },
        }
    };
    let mut page: Page =
        serde_json::from_slice(&body).map_err(|error| format!("a page of another form: {error}"))?;
    let read = usize::try_from(waiting.read).unwrap_or(usize::MAX);
    if read.saturating_add(page.items.len()) > ROWS_MAX {
        return Err(format!("at most {ROWS_MAX} rows"));
    }
    if let Some(next) = page.next.take() {
        if page.items.is_empty() {
            return Err("an empty page with another behind it".to_owned());
        }
        let base = hosts.check(&waiting.url)?;
        let next = base.join(&next).map_err(|error| format!("next is no address: {error}"))?;
        page.next = Some(hosts.check(next.as_str())?.into());
    }
    Ok(page)
}
