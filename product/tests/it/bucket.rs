//! Pictures in a bucket of a server that speaks S3 and checks signatures.

use std::path::{Path, PathBuf};

use common::http::accept;
use common::stop::Stop;
use hyper::server::conn::http1;
use hyper_util::rt::TokioIo;
use reqwest::Method;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use tokio::net::TcpListener;

use crate::image::{file, picture, upload};
use crate::service::Service;

const BUCKET: &str = "pictures";

/// An S3 server on a folder, with one bucket and one key. It ends when dropped.
struct S3 {
    url: String,
    folder: PathBuf,
    stop: Stop,
}

impl S3 {
    async fn start() -> Self {
        let folder = std::env::temp_dir().join(format!("astraphe-s3-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir_all(folder.join(BUCKET)).unwrap();
        let mut service = S3ServiceBuilder::new(s3s_fs::FileSystem::new(&folder).unwrap());
        service.set_auth(SimpleAuth::from_single("key", "secret"));
        let service = service.build();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (url, stop) = (format!("http://{}", listener.local_addr().unwrap()), Stop::new());
        let until = stop.clone();
        stop.spawn("s3", async move {
            while let Some(socket) = accept(&listener, &until).await {
                let connection =
                    http1::Builder::new().serve_connection(TokioIo::new(socket), service.clone());
                let until_then = until.clone();
                until.spawn("s3 connection", async move {
                    tokio::select! { _ = connection => {}, () = until_then.stopped() => {} }
                });
            }
        });
        Self { url, folder, stop }
    }

    /// The service's settings for it, with this secret.
    fn settings(&self, secret: &str) -> [String; 4] {
        [
            format!("--image-store=s3://{BUCKET}"),
            format!("--image-s3-endpoint={}", self.url),
            "--image-s3-key-id=key".to_owned(),
            format!("--image-s3-secret={secret}"),
        ]
    }
}

impl Drop for S3 {
    fn drop(&mut self) {
        self.stop.stop();
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

/// Files below a folder that are no metadata of the server's.
fn files(folder: &Path) -> usize {
    let entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let count = |entry: std::fs::DirEntry| match entry.path() {
        path if path.is_dir() => files(&path),
        path => usize::from(!path.file_name().unwrap().to_string_lossy().starts_with('.')),
    };
    entries.map(count).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn pictures_can_be_kept_in_a_bucket() {
    let s3 = S3::start().await;
    let mut service = Service::start_with(&s3.settings("secret").each_ref().map(String::as_str)).await;
    let seller = service.seller();
    let made = upload(&seller, file(&picture(400, 200), image::ImageFormat::Png)).await.expect(201).body;
    let key = made["key"].as_str().unwrap().to_owned();
    assert_eq!(files(&s3.folder.join(BUCKET)), 3);
    // Another replica has it too.
    service.add_replica().await;
    service.stop_first().await;
    let path = format!("/images/{key}?size=small");
    let shown = service.anyone().request(Method::GET, &path).send().await.unwrap();
    assert_eq!(shown.status(), 200);
    let shown = image::load_from_memory(&shown.bytes().await.unwrap()).unwrap();
    assert_eq!((shown.width(), shown.height()), (320, 160));
    service.anyone().get(&format!("/images/{}", "0".repeat(64))).await.unwrap().problem(404, "unknown-image");

    // Two days later nobody wants it.
    service.clock.advance(std::time::Duration::from_secs(2 * 86_400));
    testkit::eventually(crate::service::PATIENCE, async || {
        let left = files(&s3.folder.join(BUCKET));
        anyhow::ensure!(left == 0, "{left} files are left");
        Ok(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bucket_that_says_no_is_a_problem_and_leaves_no_picture_to_refer_to() {
    let s3 = S3::start().await;
    let service = Service::start_with(&s3.settings("another").each_ref().map(String::as_str)).await;
    let refused = upload(&service.seller(), file(&picture(40, 20), image::ImageFormat::Png)).await;
    refused.problem(503, "image-store-unavailable");
    let stored: i64 = sqlx::query_scalar("SELECT count(*) FROM image WHERE stored_at IS NOT NULL")
        .fetch_one(&service.pg)
        .await
        .unwrap();
    assert_eq!(stored, 0);
}
