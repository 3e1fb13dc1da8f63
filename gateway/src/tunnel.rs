//! WebSocket: after a service's own 101, bytes both ways, and nothing else is looked at.
//!
//! Nothing of what a client sends behind its request reaches the service before that 101: where the service answers
//! otherwise, those bytes are the next request and judged like any other.

use std::pin::pin;
use std::time::Duration;

use common::stop::Stop;
use futures::future::{Either, select};
use http::header::{self, HeaderMap, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use hyper::body::Body as _;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncWriteExt as _, copy, split};
use tokio::time::timeout;

use crate::body::Upload;

/// The only protocol there is a way to: `h2c` would be a second HTTP, which nobody here reads.
const WEBSOCKET: &str = "websocket";
/// When one side has closed, the other may still say this much longer what it has to.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// Leaves the request's wish to become a tunnel in its extensions where that may be, and takes it out elsewhere: HTTP
/// lets a server overlook it. Has to be called before the headers of one hop go.
pub fn sift(request: &mut Request<Upload>, may: bool) {
    let headers = request.headers();
    let asks = names(headers, header::CONNECTION, "upgrade")
        && headers.get_all(header::UPGRADE).iter().count() == 1
        && headers[header::UPGRADE].as_bytes().eq_ignore_ascii_case(WEBSOCKET.as_bytes());
    if !(may && asks && *request.method() == Method::GET && request.body().is_end_stream()) {
        request.extensions_mut().remove::<OnUpgrade>();
    }
}

/// Whether it wants to become a tunnel, and may.
#[must_use]
pub fn is_wanted(request: &Request<Upload>) -> bool {
    request.extensions().get::<OnUpgrade>().is_some()
}

/// What asks the next one for a tunnel, and what says that there is one.
pub fn mark(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static(WEBSOCKET));
}

/// Whether a service's answer opens the tunnel that it was asked for.
#[must_use]
pub fn is_opened<B>(answer: &Response<B>) -> bool {
    answer.status() == StatusCode::SWITCHING_PROTOCOLS && names(answer.headers(), header::UPGRADE, WEBSOCKET)
}

/// Carries bytes until both sides have closed, or until `stop`. A side that does not take what it gets keeps the other
/// from sending more: only some KiB are under way. Both are closed at the end.
pub async fn carry(client: OnUpgrade, service: OnUpgrade, stop: Stop) {
    let (client, service) = match futures::future::try_join(client, service).await {
        Ok((client, service)) => (TokioIo::new(client), TokioIo::new(service)),
        Err(error) => return tracing::debug!(%error, "no tunnel"),
    };
    let ((mut from_client, mut to_client), (mut from_service, mut to_service)) =
        (split(client), split(service));
    let both = async {
        let up = pin!(async {
            copy(&mut from_client, &mut to_service).await.ok();
            to_service.shutdown().await.ok();
        });
        let down = pin!(async {
            copy(&mut from_service, &mut to_client).await.ok();
            to_client.shutdown().await.ok();
        });
        match select(up, down).await {
            Either::Left(((), down)) => timeout(LAST_WORDS, down).await.ok(),
            Either::Right(((), up)) => timeout(LAST_WORDS, up).await.ok(),
        };
    };
    tokio::select! { () = both => {}, () = stop.stopped() => {} }
    tokio::join!(to_client.shutdown(), to_service.shutdown()).0.ok();
}

fn names(headers: &HeaderMap, name: header::HeaderName, token: &str) -> bool {
    let lines = headers.get_all(name).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).any(|named| named.trim().eq_ignore_ascii_case(token))
}
