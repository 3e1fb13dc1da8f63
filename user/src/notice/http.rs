//! The box, page by page.

use axum::extract::State;
use common::auth::Caller;
use common::http::extract::{Json, Query};
use common::http::problem::Failure;
use common::wire::notice::{BoxView, MarkRead, Notices};

use super::store;
use crate::app::App;
use crate::error::Error;
use crate::page::Asked;

/// `GET /api/notifications`: the caller's notices, the newest first.
pub(crate) async fn list(
    State(app): State<App>,
    caller: Caller,
    Query(asked): Query<Asked>,
) -> Result<axum::Json<Notices>, Error> {
    let notices = store::before(&app.pg, caller.user, asked.cursor, asked.rows()).await?;
    let page = asked.page(notices, |notice| notice.notice_id);
    let unread = store::summary(&app.pg, caller.user).await?.unread;
    Ok(axum::Json(Notices { page, unread }))
}

/// `POST /api/notifications/read` `{upTo}` → 200 with the box as a whole; what is read stays read.
pub(crate) async fn read(
    State(app): State<App>,
    caller: Caller,
    Json(read): Json<MarkRead>,
) -> Result<axum::Json<BoxView>, Failure> {
    if !store::mark_read(&app.pg, caller.user, read.up_to).await.map_err(Error::from)? {
        return Err(Failure::field("upTo", "the id of a notice in your box"));
    }
    Ok(axum::Json(store::summary(&app.pg, caller.user).await.map_err(Error::from)?))
}
