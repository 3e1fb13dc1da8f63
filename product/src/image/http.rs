//! Uploading pictures and serving them.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use common::auth::Caller;
use common::http::extract::{Path, Query, unreadable};
use common::http::problem::Failure;
use common::pool::Pool;
use common::wire::product::ImageView;
use garde::Validate;
use http::{StatusCode, header};
use moka::future::Cache;
use serde::Deserialize;

use super::objects::Objects;
use super::picture::{self, Size};
use super::{Key, store};
use crate::app::{App, must_sell};
use crate::error::Error;

/// Bytes of pictures kept in memory: at a sale's start everybody asks for the same few.
const CACHE_BYTES: u64 = 64 << 20;
/// A picture that is not asked for leaves the memory.
const CACHE_IDLE: Duration = Duration::from_secs(600);

/// What the handlers of pictures work with. Clones share it.
#[derive(Debug, Clone)]
pub struct Images {
    /// Where they are kept.
    pub objects: Objects,
    /// Where they are read and written anew.
    pub pool: Pool,
    hot: Cache<(Key, Size), Bytes>,
}

impl Images {
    /// Nothing is in memory yet.
    #[must_use]
    pub fn new(objects: Objects, pool: Pool) -> Self {
        let weigh = |_: &(Key, Size), file: &Bytes| u32::try_from(file.len()).unwrap_or(u32::MAX);
        let hot = Cache::builder().max_capacity(CACHE_BYTES).weigher(weigh).time_to_idle(CACHE_IDLE).build();
        Self { objects, pool, hot }
    }
}

/// `POST /api/images`: the picture's bytes as the body → 201 with its key. Uploading it again gives the same key.
///
/// # Errors
/// 400 `validation-failed`, 403 `forbidden`, 413 `body-too-large`, 503 `busy` `image-store-unavailable`.
pub async fn upload(
    State(app): State<App>,
    caller: Caller,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, axum::Json<ImageView>), Failure> {
    must_sell(&caller)?;
    let body = body.map_err(|rejection| unreadable(&rejection))?;
    let key = Key::of(&body);
    let rendered = app.images.pool.run(move || picture::render(&body)).await.map_err(|_| Error::Busy)?;
    let rendered = rendered.map_err(|refused| Failure::field("image", refused.to_string()))?;
    let (width, height) = (rendered.width, rendered.height);
    store::begin(&app.pg, &key, caller.user, app.clock.now()).await.map_err(Error::from)?;
    app.images.objects.put(&key, rendered).await.map_err(Error::ImageStore)?;
    store::stored(&app.pg, &key, app.clock.now()).await.map_err(Error::from)?;
    Ok((StatusCode::CREATED, axum::Json(ImageView { key: key.to_string(), width, height })))
}

/// Which file of a picture.
#[derive(Debug, Deserialize, Validate)]
#[garde(allow_unvalidated)]
pub struct Wanted {
    #[serde(default)]
    size: Size,
}

/// `GET /images/{key}?size=`: small, medium or (the default) large. May be kept for ever.
///
/// # Errors
/// 400 `validation-failed`, 404 `unknown-image`, 503 `image-store-unavailable`.
pub async fn show(
    State(app): State<App>,
    Path(key): Path<String>,
    Query(Wanted { size }): Query<Wanted>,
    headers: HeaderMap,
) -> Result<Response, Error> {
    let key = Key::parse(&key).ok_or(Error::UnknownImage)?;
    let tag = format!("\"{}-{}\"", &key.as_str()[..16], size.as_str());
    let known = headers.get(header::IF_NONE_MATCH).is_some_and(|value| value.as_bytes() == tag.as_bytes());
    let kept = [
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable".to_owned()),
        (header::ETAG, tag),
        // What a browser makes of the bytes is what this says, and nothing that runs.
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff".to_owned()),
        (header::CONTENT_SECURITY_POLICY, "default-src 'none'".to_owned()),
    ];
    if known {
        return Ok((StatusCode::NOT_MODIFIED, kept).into_response());
    }
    let file = file(&app.images, key, size).await?;
    let kind = match image::guess_format(&file) {
        Ok(format) => format.to_mime_type(),
        Err(_) => "application/octet-stream",
    };
    Ok((kept, [(header::CONTENT_TYPE, kind)], file).into_response())
}

/// From memory, or read once for all who ask at the same time.
async fn file(images: &Images, key: Key, size: Size) -> Result<Bytes, Error> {
    let read =
        async { images.objects.get(&key, size).await.map_err(Error::ImageStore)?.ok_or(Error::UnknownImage) };
    images.hot.try_get_with((key.clone(), size), read).await.map_err(|error| match &*error {
        Error::UnknownImage => Error::UnknownImage,
        other => Error::ImageStore(anyhow::anyhow!("{other:?}")),
    })
}
