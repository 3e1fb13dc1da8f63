//! What sellers and staff see of a room and change in it. Every change is an entry of the room's log, with who and why.

use anyhow::anyhow;
use axum::Json;
use axum::extract::State;
use common::auth::Caller;
use common::http::extract::{self, Path, Query};
use common::wire::id::{ProductId, Ticket, UserId};
use common::wire::list::Page;
use common::wire::operate::{Capacity, Hold, Message, Revoke, Why};
use common::wire::queue::Stats;
use common::wire::room::{CapacityView, DrawView, HoldView, Insider, MessageView, RevokedView, Waiter};
use common::wire::token::Role;
use garde::Validate;
use serde::Deserialize;

use super::http::{asker, follow, is_staff, known};
use super::store::{After, Operated};
use crate::app::App;
use crate::error::Error;

/// The share of the maximum that a capacity which follows the load begins with.
const START_PERCENT: u64 = 50;

/// A page of a line, or of all rooms.
#[derive(Debug, Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct LineQuery {
    /// How many, 1 to 500.
    #[garde(range(min = 1, max = 500))]
    #[serde(default = "limit_default")]
    limit: u32,
    /// `next` of the page before.
    #[garde(inner(custom(next_of(number))))]
    cursor: Option<String>,
}

/// A page of those who were called or are inside.
#[derive(Debug, Deserialize, Validate)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct InsideQuery {
    /// How many, 1 to 500.
    #[garde(range(min = 1, max = 500))]
    #[serde(default = "limit_default")]
    limit: u32,
    /// `next` of the page before.
    #[garde(inner(custom(next_of(after))))]
    cursor: Option<String>,
}

fn limit_default() -> u32 {
    100
}

fn next_of<T>(read: fn(&str) -> Option<T>) -> impl FnOnce(&str, &()) -> garde::Result {
    move |text, ()| match read(text) {
        Some(_) => Ok(()),
        None => Err(garde::Error::new("the `next` of an earlier page of this list")),
    }
}

/// The cursor of the line, a ticket, and of all rooms, a product.
fn number(text: &str) -> Option<i64> {
    text.parse().ok().filter(|number| *number > 0)
}

/// The cursor of those called and inside: `r` or `a`, moment and user.
fn after(text: &str) -> Option<After> {
    let mut parts = text.split('.');
    let is_ready = match parts.next()? {
        "r" => true,
        "a" => false,
        _ => return None,
    };
    let (score, user) = (parts.next()?.parse().ok()?, UserId(parts.next()?.parse().ok()?));
    parts.next().is_none().then_some(After { is_ready, score, user })
}

/// `GET /api/queue/{product}/waiting` → 200 with a page of the line, in its order.
pub(crate) async fn waiting(
    State(app): State<App>,
    Path(product): Path<ProductId>,
    caller: Caller,
    Query(query): Query<LineQuery>,
) -> Result<Json<Page<Waiter>>, Error> {
    let asker = asker(&caller, None)?;
    let from = query.cursor.as_deref().and_then(number).map_or(Ticket(0), Ticket);
    let page = known(&app, product, || app.store.waiting(product, &asker, (query.limit, from)));
    let (items, has_more) = done(page.await?)?;
    let next = items.last().filter(|_| has_more).map(|last| last.ticket.0.to_string());
    Ok(Json(Page { items, next }))
}

/// `GET /api/queue/{product}/admitted` → 200 with a page of those called, by when their turn runs out, and then of those
/// inside, by when their admission ends.
pub(crate) async fn admitted(
    State(app): State<App>,
    Path(product): Path<ProductId>,
    caller: Caller,
    Query(query): Query<InsideQuery>,
) -> Result<Json<Page<Insider>>, Error> {
    let asker = asker(&caller, None)?;
    let from = query.cursor.as_deref().and_then(after);
    let page = known(&app, product, || app.store.inside(product, &asker, (query.limit, from)));
    let (inside, has_more) = done(page.await?)?;
    let next = inside.last().filter(|_| has_more).map(|(_, After { is_ready, score, user })| {
        format!("{}.{score}.{user}", if *is_ready { 'r' } else { 'a' })
    });
    Ok(Json(Page { items: inside.into_iter().map(|(insider, _)| insider).collect(), next }))
}

/// `GET /api/queue/{product}/stats` → 200 with the room's live figures.
pub(crate) async fn stats(
    State(app): State<App>,
    Path(product): Path<ProductId>,
    caller: Caller,
) -> Result<Json<Stats>, Error> {
    // Services show it to those who may see it.
    let asker = (caller.role != Role::Service).then(|| asker(&caller, None)).transpose()?;
    let seller = known(&app, product, || app.store.seller(product)).await?;
    if asker.is_some_and(|asker| !asker.is_staff && seller != asker.user) {
        return done(Operated::Foreign);
    }
    follow(&app, product).await?;
    if let Some(room) = app.live.get(product) {
        room.caught_up(false).await;
    }
    let stats = app.live.stats(product).map(Json);
    stats.ok_or_else(|| Error::Unavailable(anyhow!("this instance has not read the room yet")))
}

/// `GET /api/queue` → 200 with the live figures of a page of rooms that have, or had, a line and are not closed.
pub(crate) async fn rooms(
    State(app): State<App>,
    caller: Caller,
    Query(query): Query<LineQuery>,
) -> Result<Json<Page<Stats>>, Error> {
    if !is_staff(&caller) {
        return Err(Error::Forbidden("only ADMIN and MANAGER see all rooms"));
    }
    let after = query.cursor.as_deref().and_then(number).unwrap_or(0);
    let mut products = app.store.rooms().await.map_err(Error::Unavailable)?;
    products.retain(|product| product.0 > after);
    products.sort_unstable();
    let limit = usize::try_from(query.limit).unwrap_or(usize::MAX);
    let Page { items: products, next } = Page::of(products, limit, ToString::to_string);
    // A room that this instance has not read yet, in the first moments after its start, is not shown.
    let items = products.into_iter().filter_map(|product| app.live.stats(product)).collect();
    Ok(Json(Page { items, next }))
}

/// `POST /api/queue/{product}/hold` → 200: nobody is let in any more, and those waiting are told why.
pub(crate) async fn hold(
    State(app): State<App>,
    Path(product): Path<ProductId>,
    caller: Caller,
    extract::Json(Hold { reason, why }): extract::Json<Hold>,
) -> Result<Json<HoldView>, Error> {
    let asker = asker(&caller, why)?;
    done(known(&app, product, || app.store.hold(product, &asker, reason.as_deref())).await?).map(Json)
}

/// `POST /api/queue/{product}/resume` → 200: admissions go on.
pub(crate) async fn resume(
    State(app): State<App>,
    Path(product): Path<ProductId>,
    caller: Caller,
    extract::Json(Why { why }): extract::Json<Why>,
) -> Result<Json<HoldView>, Error> {
    let asker = asker(&caller, why)?;
    done(known(&app, product, || app.store.resume(product, &asker)).await?).map(Json)
}

/// `POST /api/queue/{product}/message` → 200: everybody waiting reads it.
pub(crate) async fn message(
    State(app): State<App>,
    Path(product): Path<ProductId>,
    caller: Caller,
    extract::Json(Message { text, why }): extract::Json<Message>,
) -> Result<Json<MessageView>, Error> {
    let asker = asker(&caller, why)?;
    done(known(&app, product, || app.store.message(product, &asker, text.as_deref())).await?).map(Json)
}

/// `PUT /api/queue/{product}/capacity` → 200 with the capacity. Whoever is inside stays.
pub(crate) async fn capacity(
    State(app): State<App>,
    Path(product): Path<ProductId>,
    caller: Caller,
    extract::Json(Capacity { capacity, adaptive, why }): extract::Json<Capacity>,
) -> Result<Json<CapacityView>, Error> {
    let asker = asker(&caller, why)?;
    if adaptive.is_some() && app.config.load_urls.is_empty() {
        return Err(Error::NoLoad);
    }
    let start = adaptive.map(|adaptive| {
        let half = u64::from(adaptive.max) * START_PERCENT / 100;
        u32::try_from(half).unwrap_or(u32::MAX).clamp(adaptive.min, adaptive.max)
    });
    let wanted = CapacityView { capacity: capacity.or(start), adaptive };
    done(known(&app, product, || app.store.capacity(product, &asker, wanted)).await?).map(Json)
}

/// `POST /api/queue/{product}/revoke` → 200: these access tokens are void within a second.
pub(crate) async fn revoke(
    State(app): State<App>,
    Path(product): Path<ProductId>,
    caller: Caller,
    extract::Json(Revoke { user_id, why }): extract::Json<Revoke>,
) -> Result<Json<RevokedView>, Error> {
    let asker = asker(&caller, why)?;
    let revoked = done(known(&app, product, || app.store.revoke(product, &asker, user_id)).await?)?;
    revoked.map(Json).ok_or(Error::NotAdmitted)
}

/// `GET /api/queue/{product}/draw` → 200 with the commitment, and after the draw with what it was made of.
pub(crate) async fn draw(
    State(app): State<App>,
    Path(product): Path<ProductId>,
) -> Result<Json<DrawView>, Error> {
    known(&app, product, || app.store.draw(product)).await?.map(Json).ok_or(Error::NoDraw)
}

/// What was done, or why not.
pub(super) fn done<T>(operated: Operated<T>) -> Result<T, Error> {
    match operated {
        Operated::Done(view) => Ok(view),
        Operated::Foreign => Err(Error::Forbidden("the product belongs to another seller")),
        Operated::ByStaff => {
            Err(Error::Forbidden("an operator stopped or paused this room, and must start it"))
        }
        Operated::Closed => Err(Error::SaleClosed),
    }
}
