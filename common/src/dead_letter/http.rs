//! `/api/admin/dead-letters`: ADMIN lists letters, looks at one, sends it again.
//!
//! Each service serves its own letters. One of them answers for another one too, so that there is one list: it asks the
//! other one in the ADMIN's name.

use axum::extract::{FromRef, State};
use axum::routing::{get, post};
use axum::{Json as Body, Router};
use garde::Validate;
use http::{Method, StatusCode};
use serde::Deserialize;
use sqlx::postgres::PgPool;
use uuid::Uuid;

use super::store::{self, Wanted};
use crate::auth::{Caller, Verifier};
use crate::client::{Client, Refused};
use crate::clock::Clock;
use crate::http::extract::{Path, Query};
use crate::http::problem::Failure;
use crate::outbox::Nudge;
use crate::pg::is_passing;
use crate::wire::dead_letter::{DeadLetter, DeadLetters};
use crate::wire::token::Role;

/// Where letters are.
const PATH: &str = "/api/admin/dead-letters";
const TOO_LARGE: &str = "dead-letter-too-large";

/// What the routes need.
#[derive(Debug, Clone)]
pub struct Desk {
    /// The service's database.
    pub pg: PgPool,
    /// Where time comes from.
    pub clock: Clock,
    /// Who is calling.
    pub verifier: Verifier,
    /// Wakes the outbox's relay.
    pub nudge: Nudge,
    /// A service whose letters are answered for too.
    pub other: Option<Client>,
}

impl FromRef<Desk> for Verifier {
    fn from_ref(desk: &Desk) -> Self {
        desk.verifier.clone()
    }
}

/// The routes; all are for ADMIN.
pub fn routes(desk: Desk) -> Router {
    Router::new()
        .route(PATH, get(list))
        .route("/api/admin/dead-letters/{id}", get(show))
        .route("/api/admin/dead-letters/{id}/redrive", post(redrive))
        .with_state(desk)
}

#[derive(Debug, Deserialize, Validate)]
struct ListQuery {
    /// How many, 1 to 100.
    #[garde(range(min = 1, max = 100))]
    #[serde(default = "limit_default")]
    limit: i64,
    /// `next` of the page before.
    #[garde(skip)]
    cursor: Option<Uuid>,
    /// Only those that were sent again, or were not.
    #[garde(skip)]
    redriven: Option<bool>,
}

fn limit_default() -> i64 {
    20
}

async fn list(
    State(desk): State<Desk>,
    caller: Caller,
    Query(query): Query<ListQuery>,
) -> Result<Body<DeadLetters>, Failure> {
    must_be_admin(&caller)?;
    let ListQuery { limit, cursor, redriven } = query;
    // One more than asked for tells whether there is a next page.
    let wanted = Wanted { before: cursor, redriven, max: limit + 1 };
    let mut items = store::list(&desk.pg, wanted).await.map_err(failed)?;
    let mut more = false;
    if let Some(other) = &desk.other {
        let mut path = format!("{PATH}?limit={limit}");
        path.extend(cursor.map(|cursor| format!("&cursor={cursor}")));
        path.extend(redriven.map(|redriven| format!("&redriven={redriven}")));
        let page = other.ask::<DeadLetters>(Method::GET, &path, &caller).await.map_err(away)?;
        let page = page.ok_or_else(|| away(anyhow::anyhow!("{path}: no such route")))?;
        more = page.next.is_some();
        items.extend(page.items);
        items.sort_unstable_by_key(|letter| std::cmp::Reverse(letter.letter_id));
    }
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    more |= items.len() > limit;
    items.truncate(limit);
    let next = if more { items.last().map(|letter| letter.letter_id) } else { None };
    Ok(Body(DeadLetters { items, next }))
}

async fn show(
    State(desk): State<Desk>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<Body<DeadLetter>, Failure> {
    must_be_admin(&caller)?;
    let own = store::one(&desk.pg, id).await.map_err(failed)?;
    own_or_other(&desk, own, (Method::GET, format!("{PATH}/{id}")), &caller).await
}

async fn redrive(
    State(desk): State<Desk>,
    caller: Caller,
    Path(id): Path<Uuid>,
) -> Result<Body<DeadLetter>, Failure> {
    must_be_admin(&caller)?;
    let by = caller.user.to_string();
    let own = store::redrive(&desk.pg, id, &by, desk.clock.now()).await.map_err(failed)?;
    if own.as_ref().is_some_and(|letter| letter.redriven_at.is_none()) {
        return Err(too_large());
    }
    desk.nudge.now();
    own_or_other(&desk, own, (Method::POST, format!("{PATH}/{id}/redrive")), &caller).await
}

async fn own_or_other(
    desk: &Desk,
    own: Option<DeadLetter>,
    (method, path): (Method, String),
    caller: &Caller,
) -> Result<Body<DeadLetter>, Failure> {
    let found = match (own, &desk.other) {
        (None, Some(other)) => other.ask(method, &path, caller).await.map_err(away)?,
        (own, _) => own,
    };
    let unknown =
        || Failure::new(StatusCode::NOT_FOUND, "unknown-dead-letter", "there is no such dead letter");
    found.map(Body).ok_or_else(unknown)
}

fn must_be_admin(caller: &Caller) -> Result<(), Failure> {
    match caller.role {
        Role::Admin => Ok(()),
        _ => Err(Failure::forbidden("this account may not do that")),
    }
}

fn failed(error: sqlx::Error) -> Failure {
    if is_passing(&error) {
        return Failure::unavailable("database-unavailable", 1, Some(error.to_string()));
    }
    Failure::internal(&anyhow::Error::new(error).context("database"))
}

fn too_large() -> Failure {
    let why = format!("key and body are more than {} bytes: no topic takes that", store::REDRIVE_MAX);
    Failure::new(StatusCode::UNPROCESSABLE_ENTITY, TOO_LARGE, why)
}

/// What the other service did not answer. A list without its letters would look complete.
fn away(cause: anyhow::Error) -> Failure {
    if cause.downcast_ref::<Refused>().is_some_and(|refused| refused.code == TOO_LARGE) {
        return too_large();
    }
    Failure::unavailable("dead-letters-unavailable", 1, Some(format!("{cause:#}")))
}
