//! What browsers of other hosts' pages may do, and how answers become smaller on their way.

use std::convert::Infallible;
use std::net::IpAddr;
use std::time::Duration;

use http::{HeaderName, HeaderValue, Method, Request, Response, header};
use hyper::body::Incoming;
use tower::util::option_layer;
use tower::{Service, ServiceBuilder, service_fn};
use tower_http::compression::predicate::{NotForContentType, Predicate as _, SizeAbove};
use tower_http::compression::{CompressionBody, CompressionLayer, CompressionLevel};
use tower_http::cors::CorsLayer;

use crate::body::Body;
use crate::call::Arrived;
use crate::door::Stack;

/// Below that the coding's own bytes, and the time, are not worth it.
const COMPRESS_MIN_BYTES: u16 = 1_024;
/// Browsers ask again after this long whether they may.
const CORS_MAX_AGE: Duration = Duration::from_secs(600);

/// The body of an answer, compressed or not.
pub type Squeezed = CompressionBody<Body>;

/// Headers that clients send beyond the few that need no permission.
const SENT: [HeaderName; 6] = [
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    HeaderName::from_static("idempotency-key"),
    HeaderName::from_static("last-event-id"),
    HeaderName::from_static("x-access-token"),
    HeaderName::from_static("x-request-id"),
];
/// Headers of answers that they may read.
const SHOWN: [HeaderName; 3] =
    [header::LOCATION, header::RETRY_AFTER, HeaderName::from_static("x-request-id")];

/// The stack for one connection, as a browser sees it. Event streams are never compressed: their events would wait in the
/// coder.
pub fn facing<S: Stack>(
    stack: S,
    peer: IpAddr,
    origins: &[HeaderValue],
) -> impl Service<Request<Incoming>, Response = Response<Squeezed>, Error = Infallible, Future: Send>
+ Clone
+ use<S> {
    let cors = (!origins.is_empty()).then(|| {
        let methods = [Method::GET, Method::POST, Method::PUT, Method::PATCH, Method::DELETE];
        CorsLayer::new()
            .allow_origin(origins.to_vec())
            .allow_methods(methods)
            .allow_headers(SENT)
            .expose_headers(SHOWN)
            .max_age(CORS_MAX_AGE)
    });
    let worth_it = SizeAbove::new(COMPRESS_MIN_BYTES)
        .and(NotForContentType::SSE)
        .and(NotForContentType::IMAGES)
        .and(NotForContentType::const_new("application/octet-stream"));
    ServiceBuilder::new()
        .layer(CompressionLayer::new().quality(CompressionLevel::Fastest).compress_when(worth_it))
        .layer(option_layer(cors))
        .service(service_fn(move |request| stack.clone().call(Arrived { request, peer })))
}
