//! The box as a stream of server-sent events.
//!
//! One query per replica, four times a second, tells which of those who watch got something, whoever put it there.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::response::sse::Event;
use common::auth::Caller;
use common::http::live::{self, RETRY, Watch};
use common::http::problem::Failure;
use common::stop::Stop;
use common::wire::id::UserId;
use common::wire::notice::NoticeView;
use serde::Serialize;

use super::store;
use crate::app::App;
use crate::error::Error;

/// Between two looks.
const LOOK: Duration = Duration::from_millis(250);
/// Notices that a stream reads at once.
const BATCH: i64 = 100;

/// Who watches their box; its number is the id of its newest notice.
pub(crate) type Watchers = live::Watchers<UserId>;

/// Tells those who watch of what came, until the stop.
pub(crate) async fn run(app: App, stop: Stop) {
    let mut seen = None;
    while stop.pause(LOOK).await {
        match look(&app, seen).await {
            Ok(head) => seen = Some(head),
            Err(error) => tracing::debug!(%error, "boxes not looked at; trying again"),
        }
    }
}

/// Tells what came after `seen`; returns up to where that is.
async fn look(app: &App, seen: Option<i64>) -> Result<i64, sqlx::Error> {
    // First the end, then who watches: whoever begins to watch in between has read everything up to the end.
    let head = store::head(&app.pg).await?;
    let users: Vec<i64> = app.watchers.things().into_iter().map(|user| user.0).collect();
    if let Some(seen) = seen.filter(|seen| *seen < head && !users.is_empty()) {
        app.watchers.tell(store::newest(&app.pg, &users, seen, head).await?);
    }
    Ok(head)
}

/// `GET /api/notifications/live`: the caller's box. Event `notice` for every new one; its `id` is the notice's. Without
/// `Last-Event-ID` first the event `box`, with it first what came since. Event `reconnect` before the service ends it.
///
/// # Errors
/// 400 `invalid-last-event-id`, 429 `too-many-streams`, 503 `overloaded`.
pub(crate) async fn live(
    State(app): State<App>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Failure> {
    let known = live::last_event_id(&headers)?;
    // Watching before reading: what comes in between is seen.
    let watch = app.watchers.watch(caller.user, caller.user)?;
    let summary = store::summary(&app.pg, caller.user).await.map_err(Error::from)?;
    let newest = summary.newest.unwrap_or(0);
    let first = match known {
        // An id may be too high when the database is an older copy of itself.
        Some(_) => Event::default().comment("").retry(RETRY),
        None => event("box", newest, &summary).retry(RETRY),
    };
    let told = known.map_or(newest, |known| known.min(newest));
    let stream = Told { app, watch, told, first: Some(first), unsent: VecDeque::new(), over: false };
    let events = futures::stream::unfold(stream, async |mut stream: Told| {
        let event = stream.next().await?;
        Some((Ok::<_, Infallible>(event), stream))
    });
    Ok(live::answer(events))
}

fn event(kind: &str, id: i64, body: &impl Serialize) -> Event {
    let body = serde_json::to_string(body).expect("plain data always becomes JSON");
    // Nothing has been told yet: a client that comes again without an id begins anew.
    let event = Event::default().event(kind).data(body);
    if id > 0 { event.id(id.to_string()) } else { event }
}

/// One stream.
struct Told {
    app: App,
    watch: Watch<UserId>,
    told: i64,
    first: Option<Event>,
    unsent: VecDeque<NoticeView>,
    over: bool,
}

impl Told {
    async fn next(&mut self) -> Option<Event> {
        if self.over {
            return None;
        }
        if let Some(first) = self.first.take() {
            return Some(first);
        }
        loop {
            if let Some(notice) = self.unsent.pop_front() {
                self.told = notice.notice_id;
                return Some(event("notice", notice.notice_id, &notice));
            }
            match store::after(&self.app.pg, self.watch.user(), self.told, BATCH).await {
                Ok(notices) => self.unsent.extend(notices),
                Err(_) => break,
            }
            if self.unsent.is_empty() && !self.watch.changed().await {
                break;
            }
        }
        self.over = true;
        Some(live::reconnect())
    }
}
