//! The provider's messages. They carry no signature, so they are hints: what they are about is asked for, by the job
//! that asks about unknown outcomes too, and no more often: whoever invents hints at declined payments waits longer and
//! longer between two questions.

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use common::http::extract::{Path, unreadable};

use super::provider::{NAME, Provider as _};
use super::store;
use crate::app::App;
use crate::error::Error;

/// `POST /api/payments/webhooks/{provider}`: 200, also for a payment that is not ours and for a repeat.
///
/// # Errors
/// 400 `malformed-json` `validation-failed`, 404 `unknown-provider`.
pub async fn receive(
    State(app): State<App>,
    Path(provider): Path<String>,
    headers: HeaderMap,
    body: Result<Bytes, BytesRejection>,
) -> Result<StatusCode, Response> {
    if provider != NAME {
        return Err(Error::UnknownProvider.into_response());
    }
    let body = body.map_err(|rejection| unreadable(&rejection).into_response())?;
    let hint = app.provider.hint(&headers, &body).map_err(axum::response::IntoResponse::into_response)?;
    let mut tx = app.pg.begin().await.map_err(|error| Error::from(error).into_response())?;
    let taken = store::take_hint(&mut tx, &hint, app.clock.now()).await;
    let taken = taken.map_err(|error| Error::from(error).into_response())?;
    tx.commit().await.map_err(|error| Error::from(error).into_response())?;
    let result = if taken { "taken" } else { "passed over" };
    app.metrics.webhooks_total.with_label_values(&[result]).inc();
    Ok(StatusCode::OK)
}
