//! To a replica of the service and back. Bodies stream both ways; what belongs to one hop stays at that hop.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use common::http::observe::REQUEST_ID;
use common::stop::Stop;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri, Version, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body as _, Incoming};
use hyper::upgrade::OnUpgrade;

use crate::body::{Body, Download, Held, Live, Progress, Upload, full};
use crate::call::Call;
use crate::error::Error;
use crate::headers::drop_hop_by_hop;
use crate::tunnel;
use crate::upstream::connections::{Connection, Ready};
use crate::upstream::replica::{Asked, Outcome, Picked};
use crate::upstream::{Permit, Upstream, Upstreams};

/// A body up to this size has arrived before its service is asked.
const SHORT_BYTES: usize = 16 << 10;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Sends one worker's requests to services.
#[derive(Debug, Clone)]
pub struct Forward {
    upstreams: Arc<Upstreams>,
    worker: usize,
    deadline_max: Duration,
    stop: Stop,
}

/// A request that was not answered.
struct Unanswered {
    error: Error,
    /// The request, where the service has seen nothing of it.
    unsent: Option<Request<Upload>>,
}

/// What an answer that still streams holds.
struct Exchange {
    picked: Picked,
    connection: Option<Connection>,
    progress: Option<Arc<Progress>>,
    worker: usize,
    _permit: Option<Permit>,
}

impl Held for Exchange {
    fn end(&mut self, is_whole: bool) {
        // The next request must not wait for the rest of this one.
        let is_sent =
            self.progress.as_ref().is_none_or(|body| body.ended().is_some() && body.fault().is_none());
        if let Some(connection) = self.connection.take().filter(|_| is_whole && is_sent) {
            self.picked.replica().connections(self.worker).keep(connection);
        }
    }
}

impl Forward {
    /// For the worker of that number. No route waits longer than `deadline_max`; event streams end with `stop`.
    #[must_use]
    pub fn new(upstreams: Arc<Upstreams>, worker: usize, deadline_max: Duration, stop: Stop) -> Self {
        Self { upstreams, worker, deadline_max, stop }
    }

    /// Sends the request to the service of its route and gives back the answer, whose body still streams; or a 101, behind
    /// which a tunnel to the service begins.
    ///
    /// # Errors
    /// `upstream-busy`, `upstream-down`, `upstream-unreachable`, `bad-upstream-answer`.
    pub async fn send(&self, mut call: Call) -> Result<Response<Body>, Error> {
        let client = call.request.extensions_mut().remove::<OnUpgrade>();
        let (route, number) = (call.target.route, call.target.number);
        let upstream = self.upstreams.get(route.to).context("the route leads to no service")?;
        // What broke it off, the layer that limits bodies says.
        let here = call.request.body_mut().arrive(SHORT_BYTES).await;
        let is_here = here.map_err(|_| Error::BodyUnreadable)?;
        let coming = call.request.body().progress().filter(|_| !is_here);
        let permit = upstream.permit(route, coming).await?;
        let deadline = route.deadline.map(|deadline| deadline.min(self.deadline_max));
        let mut request = outgoing(call);
        if client.is_some() {
            tunnel::mark(request.headers_mut());
        }
        let progress = request.body().progress();
        // What becomes a tunnel needs a connection of its own.
        let is_shared = route.is_stream() && client.is_none();
        let asked = Asked { is_shared, deadline, progress: progress.clone() };
        let (answer, mut picked, connection) = self.exchange(upstream, request, asked).await?;
        let outcome = outcome(answer.status());
        // Those that come together wait for each other, and cost the less: that they do is no sign of overload.
        let took = picked.note(outcome).map(|took| if route.is_batched { Duration::ZERO } else { took });
        if let Some(took) = took.filter(|_| permit.is_turn() && outcome == Outcome::Answered) {
            upstream.answered(number, took);
        }
        if let Some(client) = client.filter(|_| tunnel::is_opened(&answer)) {
            return Ok(self.tunnel(client, answer, (picked, permit)));
        }
        // The service has done its work: how fast the client takes the answer must not hold up others.
        let permit = Some(permit).filter(|permit| matches!(permit, Permit::Stream(_)));
        let held =
            Exchange { picked, connection: Some(connection), progress, worker: self.worker, _permit: permit };
        let is_live = deadline.is_none();
        let mut answer = incoming(answer)?.map(|body| Download::new(body, deadline, held).boxed_unsync());
        if is_live && is_event_stream(&answer) {
            answer = answer.map(|body| Live::new(body, self.stop.clone()).boxed_unsync());
        }
        Ok(answer)
    }

    /// The service has opened a tunnel. It holds its connection, and counts as a stream, until it ends.
    fn tunnel(
        &self,
        client: OnUpgrade,
        mut answer: Response<Incoming>,
        held: (Picked, Permit),
    ) -> Response<Body> {
        let (service, stop) = (hyper::upgrade::on(&mut answer), self.stop.clone());
        self.stop.spawn("tunnel", async move {
            tunnel::carry(client, service, stop).await;
            drop(held);
        });
        let mut answer = cleaned(answer).map(|_| full(Bytes::new()));
        tunnel::mark(answer.headers_mut());
        answer
    }

    /// Sends it, and once more where that is safe: nothing of it was sent, or it only reads.
    async fn exchange(
        &self,
        upstream: &Upstream,
        request: Request<Upload>,
        asked: Asked,
    ) -> Result<(Response<Incoming>, Picked, Connection), Error> {
        let mut picked = upstream.pick(None, asked.clone())?;
        let reads = matches!(*request.method(), Method::GET | Method::HEAD) && request.body().is_end_stream();
        let spare = reads.then(|| copy(&request));
        let Unanswered { error, unsent } = match self.attempt(&mut picked, request).await {
            Ok((answer, connection)) => return Ok((answer, picked, connection)),
            Err(unanswered) => unanswered,
        };
        let Some(again) = unsent.or(spare).filter(|_| upstream.may_retry()) else { return Err(error) };
        // The same replica, where there is no other: what broke may have been the connection alone.
        let other = upstream.pick(Some(picked.replica()), asked.clone());
        let Ok(mut other) = other.or_else(|_| upstream.pick(None, asked)) else { return Err(error) };
        match self.attempt(&mut other, again).await {
            Ok((answer, connection)) => Ok((answer, other, connection)),
            Err(unanswered) => Err(unanswered.error),
        }
    }

    async fn attempt(
        &self,
        picked: &mut Picked,
        mut request: Request<Upload>,
    ) -> Result<(Response<Incoming>, Connection), Unanswered> {
        let progress = request.body().progress();
        loop {
            let Ready { mut connection, is_reused } = match self.connect(picked).await {
                Ok(ready) => ready,
                Err(error) => {
                    picked.note(Outcome::Gone);
                    let error = Error::UpstreamUnreachable(error.context(picked.replica().address));
                    return Err(Unanswered { error, unsent: Some(request) });
                }
            };
            let mut refused = match connection.send(request).await {
                Ok(answer) => return Ok((answer, connection)),
                Err(refused) => refused,
            };
            match refused.take_message() {
                // The service had closed it meanwhile.
                Some(unsent) if is_reused => request = unsent,
                unsent => {
                    // A body that broke off is the client's doing.
                    if progress.is_none_or(|body| body.fault().is_none()) {
                        picked.note(Outcome::Failed);
                    }
                    let cause = anyhow::Error::new(refused.into_error()).context(picked.replica().address);
                    return Err(Unanswered { error: Error::BadUpstreamAnswer(cause), unsent });
                }
            }
        }
    }

    async fn connect(&self, picked: &Picked) -> anyhow::Result<Ready> {
        let connections = picked.replica().connections(self.worker);
        if picked.is_shared() {
            connections.shared(&self.stop).await
        } else {
            connections.alone(&self.stop).await
        }
    }
}

fn outcome(status: StatusCode) -> Outcome {
    match status {
        StatusCode::BAD_GATEWAY | StatusCode::SERVICE_UNAVAILABLE | StatusCode::GATEWAY_TIMEOUT => {
            Outcome::Troubled
        }
        _ => Outcome::Answered,
    }
}

/// A request without a body, once more.
fn copy(request: &Request<Upload>) -> Request<Upload> {
    let mut copy = Request::new(Upload::empty());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

fn is_event_stream(answer: &Response<Body>) -> bool {
    let kind = answer.headers().get(header::CONTENT_TYPE);
    kind.is_some_and(|kind| kind.as_bytes().starts_with(b"text/event-stream"))
}

/// The request as the service gets it. What the client said of these headers went in the hygiene layer.
fn outgoing(call: Call) -> Request<Upload> {
    let Call { request, client, trace, .. } = call;
    let (mut head, body) = request.into_parts();
    head.version = Version::HTTP_11;
    head.extensions = http::Extensions::new();
    if head.uri.authority().is_some() {
        // A service is asked for a path, in whichever form the gateway was.
        head.uri = Uri::from(head.uri.path_and_query().cloned().unwrap_or(PathAndQuery::from_static("/")));
    }
    let headers = &mut head.headers;
    headers.insert(REQUEST_ID, trace.id);
    headers.insert("traceparent", trace.parent);
    headers.insert(
        FORWARDED_FOR,
        HeaderValue::try_from(client.address.to_string()).expect("an address is ASCII"),
    );
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(if client.is_tls { "https" } else { "http" }));
    match headers.get(header::HOST).cloned() {
        Some(host) => headers.insert(FORWARDED_HOST, host),
        // HTTP/1.0 knows none.
        None => headers.insert(header::HOST, HeaderValue::from_static("gateway")),
    };
    Request::from_parts(head, body)
}

/// The answer as the client gets it.
fn incoming(answer: Response<Incoming>) -> Result<Response<Incoming>, Error> {
    if answer.status().is_informational() {
        return Err(Error::BadUpstreamAnswer(anyhow::anyhow!("{} without being asked", answer.status())));
    }
    Ok(cleaned(answer))
}

/// The answer without what was meant for the gateway alone.
fn cleaned(answer: Response<Incoming>) -> Response<Incoming> {
    let (mut head, body) = answer.into_parts();
    head.version = Version::HTTP_11;
    head.extensions = http::Extensions::new();
    drop_hop_by_hop(&mut head.headers);
    // What services say to each other is not for clients.
    head.headers.remove(common::wire::token::ASSERTION_HEADER);
    Response::from_parts(head, body)
}
