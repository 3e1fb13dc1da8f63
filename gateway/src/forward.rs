//! To a replica of the service and back. Bodies stream both ways; what belongs to one hop stays at that hop.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use common::http::observe::REQUEST_ID;
use http::request::Parts;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, Uri, Version, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};

use crate::body::{Body, Download, Upload};
use crate::call::Call;
use crate::config::Config;
use crate::error::Error;
use crate::headers::drop_hop_by_hop;
use crate::upstream::{Picked, Upstream, Upstreams};

/// Connections to services are on the same network: what takes longer will not come.
const CONNECT_MAX: Duration = Duration::from_secs(1);
/// Shorter than services keep idle connections (60 s), so that a request never meets one that is just being closed.
const IDLE_MAX: Duration = Duration::from_secs(30);

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Sends requests to services. Clones share the connections.
#[derive(Debug, Clone)]
pub struct Forward {
    client: Client<HttpConnector, Upload>,
    upstreams: Arc<Upstreams>,
    pause_max: Duration,
}

impl Forward {
    /// With the settings' services.
    ///
    /// # Errors
    /// When an address does not hold.
    pub fn new(config: &Config) -> anyhow::Result<Self> {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        connector.set_connect_timeout(Some(CONNECT_MAX));
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_MAX)
            .pool_max_idle_per_host(config.upstream_in_flight_max)
            .build(connector);
        Ok(Self { client, upstreams: Arc::new(Upstreams::new(config)?), pause_max: config.deadline_max() })
    }

    /// Sends the request to the service of its route and gives back the answer, whose body still streams.
    ///
    /// # Errors
    /// `upstream-busy`, `upstream-unreachable`, `bad-upstream-answer`.
    pub async fn send(&self, call: Call) -> Result<Response<Body>, Error> {
        let route = call.target.route;
        let upstream = self.upstreams.get(route.to).context("the route leads to no service")?;
        let turn = upstream.turn(route.deadline.is_none()).await?;
        let (head, body) = outgoing(call);
        let (answer, picked) = self.exchange(upstream, head, body).await?;
        let pause_max = route.deadline.map(|deadline| deadline.min(self.pause_max));
        incoming(answer, |body| Download::new(body, pause_max, (turn, picked)).boxed_unsync())
    }

    async fn exchange(
        &self,
        upstream: &Upstream,
        head: Parts,
        body: Upload,
    ) -> Result<(Response<Incoming>, Picked), Error> {
        let picked = upstream.pick(None).context("the service has no replica")?;
        let harmless = matches!(head.method, Method::GET | Method::HEAD | Method::DELETE);
        let spare = (harmless && body.is_end_stream()).then(|| head.clone());
        let refused = match self.attempt(upstream, &picked, head, body).await {
            Ok(answer) => return Ok((answer, picked)),
            Err(refused) => refused,
        };
        let Some(head) = spare.filter(|_| matches!(refused, Error::UpstreamUnreachable(_))) else {
            return Err(refused);
        };
        let Some(other) = upstream.pick(Some(&picked)) else { return Err(refused) };
        let answer = self.attempt(upstream, &other, head, Upload::empty()).await?;
        Ok((answer, other))
    }

    async fn attempt(
        &self,
        upstream: &Upstream,
        picked: &Picked,
        mut head: Parts,
        body: Upload,
    ) -> Result<Response<Incoming>, Error> {
        head.uri = address(picked, head.uri.path_and_query().cloned())?;
        self.client.request(Request::from_parts(head, body)).await.map_err(|error| {
            let connect = error.is_connect();
            let cause = anyhow::Error::new(error).context(picked.replica().authority.to_string());
            if connect {
                upstream.rest(picked.replica());
                return Error::UpstreamUnreachable(cause);
            }
            Error::BadUpstreamAnswer(cause)
        })
    }
}

fn address(picked: &Picked, path: Option<PathAndQuery>) -> anyhow::Result<Uri> {
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(picked.replica().authority.clone());
    parts.path_and_query = path;
    Ok(Uri::from_parts(parts)?)
}

/// The request as the service gets it. What the client said of these headers went in the hygiene layer.
fn outgoing(call: Call) -> (Parts, Upload) {
    let Call { request, peer, trace, .. } = call;
    let (mut head, body) = request.into_parts();
    head.version = Version::HTTP_11;
    head.extensions = http::Extensions::new();
    let headers = &mut head.headers;
    headers.insert(REQUEST_ID, trace.id);
    headers.insert("traceparent", trace.parent);
    headers.insert(FORWARDED_FOR, HeaderValue::try_from(peer.to_string()).expect("an address is ASCII"));
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static("http"));
    if let Some(host) = headers.get(header::HOST).cloned() {
        headers.insert(FORWARDED_HOST, host);
    }
    (head, body)
}

/// The answer as the client gets it.
fn incoming(
    answer: Response<Incoming>,
    body: impl FnOnce(Incoming) -> Body,
) -> Result<Response<Body>, Error> {
    let (mut head, incoming) = answer.into_parts();
    if head.status.is_informational() {
        return Err(Error::BadUpstreamAnswer(anyhow::anyhow!("{} without being asked", head.status)));
    }
    head.version = Version::HTTP_11;
    head.extensions = http::Extensions::new();
    drop_hop_by_hop(&mut head.headers);
    drop_inside(&mut head.headers);
    Ok(Response::from_parts(head, body(incoming)))
}

/// What services say to each other is not for clients.
fn drop_inside(headers: &mut HeaderMap) {
    headers.remove(common::wire::token::ASSERTION_HEADER);
}
