//! What shoppers, sellers and staff ask of a room.

use std::sync::atomic::Ordering;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use common::auth::Caller;
use common::http::extract::{self, IdempotencyKey, Path, Query};
use common::wire::id::ProductId;
use common::wire::operate::{Admissions, Timetable, Why};
use common::wire::queue::{AdmissionsView, Place, ScheduleView, TokenView};
use common::wire::token::{Jwks, Role};

use super::operate::done;
use super::store::{Asker, Claimed, Event, Joined, Joiner, Left, Standing, Status};
use super::{rules, tick, token};
use crate::app::App;
use crate::error::Error;

/// People called by one script: more would keep Redis from everybody else for too long.
pub(super) const CALLED_MAX: u32 = 1_000;

/// `POST /api/queue/{product}` → 200 with the place, in every state: the queue handler. A repeat with a known
/// `Idempotency-Key` has no effect.
pub(crate) async fn join(
    State(app): State<App>,
    Path(product): Path<ProductId>,
    caller: Caller,
    key: Option<IdempotencyKey>,
) -> Result<Json<Place>, Error> {
    person(&caller)?;
    let key = key.map(|IdempotencyKey(key)| rules::key_hash(&key));
    attend(&app, product).await?;
    let person = Joiner { user: caller.user, key };
    let joined = known(&app, product, || app.joins.join(product, person)).await?;
    match joined {
        Joined::Closed => Err(Error::SaleClosed),
        Joined::AtLimit => Err(Error::PurchaseLimitReached),
        Joined::Place(standing, event) => {
            if event.is_some() {
                app.metrics.joins_total.inc();
            }
            if event == Some(Event::Straight) {
                app.metrics.admissions_total.with_label_values(&["straight"]).inc();
            }
            view(&app, product, &caller, &standing).map(Json)
        }
    }
}

/// `DELETE /api/queue/{product}` → 204, also when repeated.
pub(crate) async fn leave(
    State(app): State<App>,
    Path(product): Path<ProductId>,
    caller: Caller,
) -> Result<StatusCode, Error> {
    person(&caller)?;
    match known(&app, product, || app.store.leave(product, caller.user)).await? {
        Left::Gone | Left::Nothing => Ok(StatusCode::NO_CONTENT),
        Left::Inside => Err(Error::AlreadyAdmitted),
    }
}

/// `POST /api/queue/{product}/token` → 200 with the access token; again, with the same right.
pub(crate) async fn token(
    State(app): State<App>,
    Path(product): Path<ProductId>,
    caller: Caller,
) -> Result<Json<TokenView>, Error> {
    person(&caller)?;
    match known(&app, product, || app.store.claim(product, caller.user)).await? {
        Claimed::NotReady => Err(Error::NotReady),
        Claimed::Admitted { admission, now } => {
            Ok(Json(token::issue(&app.passes, product, &admission, &caller, now)?))
        }
    }
}

/// `POST /api/queue/{product}/admissions` → 200 with how many were let in by hand.
pub(crate) async fn admit(
    State(app): State<App>,
    Path(product): Path<ProductId>,
    caller: Caller,
    extract::Json(Admissions { count, why }): extract::Json<Admissions>,
) -> Result<Json<AdmissionsView>, Error> {
    if !is_staff(&caller) {
        return Err(Error::Forbidden("only ADMIN and MANAGER let shoppers in by hand"));
    }
    let asker = asker(&caller, why)?;
    let mut admitted = 0;
    while admitted < count {
        let most = CALLED_MAX.min(count - admitted);
        let called = match known(&app, product, || app.store.hand(product, &asker, most)).await {
            Ok(called) => called,
            // Those called before the store went away are in: an error would have them let in twice.
            Err(Error::Unavailable(_)) if admitted > 0 => break,
            Err(error) => return Err(error),
        };
        admitted += called;
        app.metrics.admissions_total.with_label_values(&["hand"]).inc_by(called.into());
        if called < most {
            break;
        }
    }
    Ok(Json(AdmissionsView { requested: count, admitted }))
}

/// `PUT /api/queue/{product}/schedule` → 200 with the timetable, started or changed.
pub(crate) async fn start(
    State(app): State<App>,
    Path(product): Path<ProductId>,
    caller: Caller,
    extract::Json(wanted): extract::Json<Timetable>,
) -> Result<Json<ScheduleView>, Error> {
    let (asker, grid) = (asker(&caller, wanted.why)?, (wanted.count, wanted.interval_s));
    let starts_at = wanted.starts_at.map(|at| at.timestamp_millis());
    done(known(&app, product, || app.store.start(product, &asker, grid, starts_at)).await?).map(Json)
}

/// `DELETE /api/queue/{product}/schedule?why=` → 200 with the timetable, stopped.
pub(crate) async fn stop(
    State(app): State<App>,
    Path(product): Path<ProductId>,
    caller: Caller,
    Query(Why { why }): Query<Why>,
) -> Result<Json<ScheduleView>, Error> {
    let asker = asker(&caller, why)?;
    done(known(&app, product, || app.store.stop(product, &asker)).await?).map(Json)
}

/// `GET /.well-known/jwks.json` → the keys that sign access tokens.
pub(crate) async fn keys(State(app): State<App>) -> Json<Jwks> {
    Json(app.passes.jwks())
}

/// Takes a step; where the room is not known yet, asks for its product once and takes the step again.
pub(crate) async fn known<T, F>(app: &App, product: ProductId, step: impl Fn() -> F) -> Result<T, Error>
where
    F: Future<Output = anyhow::Result<Option<T>>>,
{
    if let Some(answer) = step().await.map_err(Error::Unavailable)? {
        return Ok(answer);
    }
    app.catalog.learn(product).await?;
    step().await.map_err(Error::Unavailable)?.ok_or(Error::UnknownProduct)
}

/// Sees to it that a room is ticked, before it gets its first ticket.
async fn attend(app: &App, product: ProductId) -> Result<(), Error> {
    if app.live.get(product).is_some_and(|room| !room.is_closed.load(Ordering::Relaxed)) {
        return Ok(());
    }
    let room = known(app, product, || app.store.room(product)).await?;
    // What is closed was taken off the list, and gets no tickets.
    if room.status != Status::Closed {
        app.store.enlist(product).await.map_err(Error::Unavailable)?;
        tick::attend(app, product);
    }
    Ok(())
}

/// Sees to it that a room is followed here, closed or not.
pub(crate) async fn follow(app: &App, product: ProductId) -> Result<(), Error> {
    attend(app, product).await?;
    tick::attend(app, product);
    Ok(())
}

/// A place as told, with the token of those admitted.
pub(crate) fn view(
    app: &App,
    product: ProductId,
    caller: &Caller,
    standing: &Standing,
) -> Result<Place, Error> {
    let mut place = rules::place(product, caller.user, standing, &app.live.outlook(product));
    if let Some(admission) = &standing.admission {
        let TokenView { token, expires_at } =
            token::issue(&app.passes, product, admission, caller, standing.now)?;
        (place.token, place.expires_at) = (Some(token), Some(expires_at));
    }
    Ok(place)
}

/// Services have no place in a line.
pub(crate) fn person(caller: &Caller) -> Result<(), Error> {
    match caller.role {
        Role::Service => Err(Error::Forbidden("only people wait")),
        Role::Customer | Role::Seller | Role::Manager | Role::Admin => Ok(()),
    }
}

pub(super) fn is_staff(caller: &Caller) -> bool {
    matches!(caller.role, Role::Admin | Role::Manager)
}

/// Whether a seller is the product's owner is for the room to say.
pub(super) fn asker(caller: &Caller, why: Option<String>) -> Result<Asker, Error> {
    match caller.role {
        Role::Admin | Role::Manager | Role::Seller => {
            Ok(Asker { user: caller.user, is_staff: is_staff(caller), why })
        }
        Role::Customer | Role::Service => {
            Err(Error::Forbidden("only the owner of the product, ADMIN and MANAGER may do that"))
        }
    }
}
