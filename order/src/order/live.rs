//! Orders as they change, for those who watch them: server-sent events.
//!
//! What this process changes it tells its watchers at the commit. What another replica changed is found by one query
//! for all watched orders, four times a second. Not by LISTEN/NOTIFY: a commit that notifies waits for a lock of the
//! whole server, on the path of every order, for the few that somebody watches. Not by reading `order.events.v1`: every
//! replica would read everybody's events for its own watchers' sake, and restart where it cannot know what they missed.
//! An event is the whole order, so one that is overtaken is never missed.

use std::convert::Infallible;
use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::IntoResponse;
use axum::response::sse::Event;
use common::auth::Caller;
use common::http::extract::Path;
use common::http::live::{self, RETRY, Watch};
use common::http::problem::Failure;
use common::stop::Stop;
use common::wire::id::{OrderId, UserId};
use common::wire::order::OrderView;
use common::wire::token::Role;
use uuid::Uuid;

use super::{Step, view};
use crate::app::App;
use crate::error::Error;

/// Between two looks at what other replicas changed.
const LOOK: Duration = Duration::from_millis(250);

/// Who watches which order; its number is that of the last transition known here.
pub type Watchers = live::Watchers<OrderId>;

/// Transitions were committed.
pub fn tell(watchers: &Watchers, steps: &[Step]) {
    watchers.tell(steps.iter().map(|step| (step.event.order_id, step.event.seq)));
}

/// Finds what other replicas changed, until the stop.
pub async fn run(app: App, stop: Stop) {
    while stop.pause(LOOK).await {
        let orders: Vec<Uuid> = app.watchers.things().into_iter().map(|id| id.0).collect();
        if orders.is_empty() {
            continue;
        }
        match look(&app, &orders).await {
            Ok(seqs) => app.watchers.tell(seqs),
            Err(error) => tracing::debug!(%error, "watched orders not looked at; trying again"),
        }
    }
}

async fn look(app: &App, orders: &[Uuid]) -> Result<Vec<(OrderId, i64)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT order_id AS "id: OrderId", seq FROM orders WHERE order_id = ANY($1)"#,
        orders,
    )
    .fetch_all(&app.pg)
    .await?;
    Ok(rows.into_iter().map(|row| (row.id, row.seq)).collect())
}

/// `GET /api/orders/{id}/live`: for the order's owner and ADMIN. Event `order` with the order, at once and after every
/// transition; its `id` is the transition's number. `Last-Event-ID` spares the order that the client has. Event
/// `reconnect` before the service ends the stream.
///
/// # Errors
/// 400 `invalid-last-event-id`, 403 `forbidden`, 404 `unknown-order`, 429 `too-many-streams`, 503 `overloaded`.
pub async fn live(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<OrderId>,
    headers: HeaderMap,
) -> Result<impl IntoResponse, Failure> {
    let known = live::last_event_id(&headers)?;
    // Watching before reading: what changes in between is seen.
    let watch = app.watchers.watch(id, caller.user)?;
    let (owner, seq, view) = numbered(&app, id).await?.ok_or(Error::UnknownOrder)?;
    if owner != caller.user && caller.role != Role::Admin {
        return Err(Error::Forbidden.into());
    }
    let first = (known != Some(seq)).then(|| event(seq, &view).retry(RETRY));
    let stream = Told { app, id, watch, told: seq, first, over: false };
    let events = futures::stream::unfold(stream, async |mut stream: Told| {
        let event = stream.next().await?;
        Some((Ok::<_, Infallible>(event), stream))
    });
    Ok(live::answer(events))
}

async fn numbered(app: &App, id: OrderId) -> Result<Option<(UserId, i64, OrderView)>, Error> {
    let mut connection = app.pg.acquire().await?;
    Ok(view::numbered(&mut connection, id).await?)
}

fn event(seq: i64, view: &OrderView) -> Event {
    let body = serde_json::to_string(view).expect("plain data always becomes JSON");
    Event::default().event("order").id(seq.to_string()).data(body)
}

/// One stream.
struct Told {
    app: App,
    id: OrderId,
    watch: Watch<OrderId>,
    told: i64,
    first: Option<Event>,
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
        while self.watch.changed().await {
            match numbered(&self.app, self.id).await {
                Ok(Some((_, seq, view))) if seq > self.told => {
                    self.told = seq;
                    return Some(event(seq, &view));
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => break,
            }
        }
        self.over = true;
        Some(live::reconnect())
    }
}
