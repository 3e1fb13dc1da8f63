//! Where pictures are kept: a folder, or a bucket that speaks S3.

use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use axum::body::Bytes;
use futures::future::try_join_all;
use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{ClientOptions, ObjectStore, ObjectStoreExt as _, RetryConfig};

use super::Key;
use super::picture::{Rendered, Size};
use crate::config::Pictures;

/// A bucket that has not answered within this, tries and all, does not.
const ANSWER_MAX: Duration = Duration::from_secs(5);

/// The store of pictures. Clones share it.
#[derive(Debug, Clone)]
pub struct Objects(Arc<dyn ObjectStore>);

impl Objects {
    /// Opens a folder, which is made, or a bucket, which must be there.
    ///
    /// # Errors
    /// When the folder cannot be made, or the settings are wrong.
    pub fn open(config: &Pictures) -> anyhow::Result<Self> {
        let place = config.image_store.as_str();
        if let Some(bucket) = place.strip_prefix("s3://") {
            ensure!(!bucket.is_empty() && !bucket.contains('/'), "IMAGE_STORE: s3://BUCKET");
            let mut s3 = AmazonS3Builder::new()
                .with_bucket_name(bucket)
                .with_region(&config.image_s3_region)
                .with_client_options(ClientOptions::new().with_allow_http(true).with_timeout(ANSWER_MAX))
                .with_retry(RetryConfig {
                    max_retries: 2,
                    retry_timeout: ANSWER_MAX,
                    ..RetryConfig::default()
                });
            if let Some(endpoint) = &config.image_s3_endpoint {
                s3 = s3.with_endpoint(endpoint);
            }
            if let Some(id) = &config.image_s3_key_id {
                s3 = s3.with_access_key_id(id);
            }
            if let Some(secret) = &config.image_s3_secret {
                s3 = s3.with_secret_access_key(&secret.0);
            }
            return Ok(Self(Arc::new(s3.build().context("IMAGE_STORE")?)));
        }
        std::fs::create_dir_all(FilePath::new(place)).with_context(|| format!("IMAGE_STORE {place}"))?;
        Ok(Self(Arc::new(LocalFileSystem::new_with_prefix(place).context("IMAGE_STORE")?)))
    }

    /// Keeps a picture's files. Doing it again changes nothing.
    ///
    /// # Errors
    /// When the store does not take them.
    pub async fn put(&self, key: &Key, picture: Rendered) -> anyhow::Result<()> {
        let puts = picture
            .files
            .into_iter()
            .map(|(size, file)| async move { self.0.put(&path(key, size), file.into()).await });
        try_join_all(puts).await.context("pictures are not taken")?;
        Ok(())
    }

    /// One file of a picture.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn get(&self, key: &Key, size: Size) -> anyhow::Result<Option<Bytes>> {
        match self.0.get(&path(key, size)).await {
            Ok(found) => Ok(Some(found.bytes().await.context("a picture breaks off")?)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(error).context("a picture is not given"),
        }
    }

    /// Removes a picture's files, those that are there.
    ///
    /// # Errors
    /// When the store does not answer.
    pub async fn delete(&self, key: &Key) -> anyhow::Result<()> {
        for size in Size::ALL {
            match self.0.delete(&path(key, size)).await {
                Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error).context("a picture is not removed"),
            }
        }
        Ok(())
    }
}

/// Spread over 256 folders: no folder gets too large.
fn path(key: &Key, size: Size) -> Path {
    Path::from(format!("{}/{key}/{}", &key.as_str()[..2], size.as_str()))
}
