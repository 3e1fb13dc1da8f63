//! A shopper's place: asked for, and live.

use axum::Json;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use common::auth::Caller;
use common::http::extract::Path;
use common::kafka::chain::StreamId;
use common::wire::id::{ProductId, UserId};
use common::wire::queue::{Place, WaitReason};

use super::room::Heard;
use crate::app::App;
use crate::error::Error;
use crate::room::http::{follow, known, person, view};

/// `GET /api/queue/{product}` → 200 with the place, which this never changes. Whoever waits is answered from memory, as
/// of a look at the room that began after the question; whoever asks before `nextPollAt` waits for the room's own. While
/// the store does not answer, it is the last look, and says so.
pub(crate) async fn show(
    State(app): State<App>,
    Path(product): Path<ProductId>,
    caller: Caller,
) -> Result<Json<Place>, Error> {
    person(&caller)?;
    if let Some(place) = remembered(&app, product, caller.user).await {
        return Ok(Json(place));
    }
    match known(&app, product, || app.store.place(product, caller.user)).await {
        Ok(standing) => view(&app, product, &caller, &standing).map(Json),
        // The store did not answer in time, and the room's own look may be about to find that out.
        Err(error @ Error::Unavailable(_)) => last_known(&app, product, caller.user).map(Json).ok_or(error),
        Err(error) => Err(error),
    }
}

/// The place in memory while the store does not answer.
fn last_known(app: &App, product: ProductId, user: UserId) -> Option<Place> {
    let place = app.live.get(product)?.poll(user)?;
    let reason = Some(WaitReason::RoomUnavailable);
    Some(Place { reason, eta_low_s: None, eta_high_s: None, ..place })
}

async fn remembered(app: &App, product: ProductId, user: UserId) -> Option<Place> {
    let room = app.live.get(product)?;
    let is_early = {
        let view = room.view();
        view.ticket(user)?;
        view.is_early(user)
    };
    if !room.caught_up(is_early).await && !room.view().is_lost() {
        // The store itself knows better than a memory that does not keep up.
        return None;
    }
    room.poll(user)
}

/// `GET /api/queue/{product}/live` → 200 with an event stream: `place` whenever the place changes, and why the stream
/// ends, if it does. 400 `invalid-last-event-id`.
pub(crate) async fn live(
    State(app): State<App>,
    Path(product): Path<ProductId>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Error> {
    person(&caller)?;
    let known = last_event(&headers)?;
    let user = caller.user;
    let events = loop {
        follow(&app, product).await?;
        if let Some(events) = app.live.sit_down(product, caller.clone(), known) {
            break events;
        }
    };
    let room = std::sync::Arc::clone(&events.room);
    room.caught_up(false).await;
    if let Some(ticket) = room.view().ticket(user) {
        room.hear(ticket, Heard::Live);
    }
    room.touch([user]);
    let mut response = Body::new(events).into_response();
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Proxies that collect answers would hold events back.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

/// Up to where the listener knows the room.
fn last_event(headers: &HeaderMap) -> Result<StreamId, Error> {
    let Some(value) = headers.get("last-event-id").filter(|value| !value.is_empty()) else {
        return Ok(StreamId::default());
    };
    let id = value.to_str().ok().and_then(StreamId::parse);
    id.ok_or(Error::InvalidLastEventId)
}
