//! A gateway on port 0 with its issuers, its clock and a service behind.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use common::auth::Verifier;
use common::clock::Clock;
use common::config::{Redis, Secret, Telemetry, Trust};
use common::stop::Stop;
use common::wire::id::{ProductId, SessionId, Ticket, UserId};
use common::wire::token::{Identity, Role};
use gateway::Config;
use http::{HeaderMap, Method, Uri};
use testkit::client::Http;
use testkit::issuers::Issuers;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

/// Nothing in these tests takes longer.
pub(crate) const LONG: Duration = Duration::from_secs(10);

/// One request as the service behind saw it.
#[derive(Debug, Clone)]
pub(crate) struct Reached {
    pub(crate) method: Method,
    pub(crate) uri: Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Reached {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// All requests that reached the service behind.
#[derive(Debug, Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<Reached>>>);

impl Log {
    pub(crate) fn all(&self) -> Vec<Reached> {
        self.0.lock().unwrap().clone()
    }

    pub(crate) fn last(&self) -> Reached {
        self.all().pop().expect("a request reached the service")
    }

    pub(crate) fn clear(&self) {
        self.0.lock().unwrap().clear();
    }
}

/// Notes every request and answers 200.
fn noting(log: Log) -> Router {
    async fn note(
        State(log): State<Log>,
        method: Method,
        uri: Uri,
        headers: HeaderMap,
        body: Bytes,
    ) -> &'static str {
        log.0.lock().unwrap().push(Reached { method, uri, headers, body });
        "{\"from\":\"service\"}"
    }
    Router::new().fallback(note).layer(axum::extract::DefaultBodyLimit::disable()).with_state(log)
}

pub(crate) struct Gate {
    pub(crate) address: SocketAddr,
    pub(crate) http: Http,
    pub(crate) admin: Http,
    pub(crate) clock: Clock,
    pub(crate) issuers: Issuers,
    pub(crate) verifier: Verifier,
    pub(crate) log: Log,
    pub(crate) running: Stop,
    stop: Stop,
}

impl Gate {
    /// In front of a service that notes what reaches it.
    pub(crate) async fn start() -> Self {
        Self::with(|_| {}).await
    }

    /// The same with other settings.
    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let (stop, log) = (Stop::new(), Log::default());
        let service = serve(noting(log.clone()), &stop).await;
        Self::assemble(vec![service], log, stop, change).await
    }

    /// In front of these services, which stand for all four.
    pub(crate) async fn before(services: Vec<Uri>, stop: Stop) -> Self {
        Self::assemble(services, Log::default(), stop, |config| config.deadline_max_ms = 300).await
    }

    async fn assemble(services: Vec<Uri>, log: Log, stop: Stop, change: impl FnOnce(&mut Config)) -> Self {
        let issuers = Issuers::new();
        let clock = testkit::clock();
        let mut config = config(services, issuers.trust().await, &clock);
        change(&mut config);
        let (public, private) = (bind().await, bind().await);
        let (address, admin) = (public.local_addr().unwrap(), private.local_addr().unwrap());
        // Of its own: the gateway waits for all tasks of its stop.
        let running = Stop::new();
        let inner = running.clone();
        stop.spawn("gateway", async move { gateway::serve(public, private, config, inner).await.unwrap() });
        let http = Http::new(format!("http://{address}"));
        let verifier = issuers.verifier(&clock);
        let admin = Http::new(format!("http://{admin}"));
        Self { address, http, admin, clock, issuers, verifier, log, running, stop }
    }

    /// The gateway once it knows both issuers' keys.
    pub(crate) async fn knowing(self) -> Self {
        testkit::eventually(LONG, async || {
            let jwks = self.http.get("/.well-known/jwks.json").await?;
            anyhow::ensure!(jwks.body["keys"].as_array().is_some_and(|keys| keys.len() == 2));
            Ok(())
        })
        .await;
        self
    }

    pub(crate) fn claims(&self, role: Role) -> Identity {
        Issuers::identity_claims(UserId(42), role, SessionId::new(), &self.clock)
    }

    pub(crate) fn token(&self, claims: &Identity) -> String {
        self.issuers.identity.sign(claims, common::wire::token::IDENTITY_TYPE).unwrap()
    }

    /// A client logged in with that role.
    pub(crate) fn as_role(&self, role: Role) -> Http {
        self.http.login(&self.token(&self.claims(role)))
    }

    pub(crate) fn pass(&self, identity: &Identity, product: i64) -> String {
        self.issuers.pass_token(identity, ProductId(product), Ticket(3))
    }

    /// Writes `bytes` to a connection of its own and reads until the gateway closes it, or for `LONG`.
    pub(crate) async fn raw(&self, bytes: impl AsRef<[u8]>) -> String {
        let mut socket = TcpStream::connect(self.address).await.unwrap();
        socket.write_all(bytes.as_ref()).await.unwrap();
        read_all(&mut socket).await
    }
}

impl Drop for Gate {
    fn drop(&mut self) {
        self.running.stop();
        self.stop.stop();
    }
}

fn config(services: Vec<Uri>, trust: Trust, clock: &Clock) -> Config {
    let unused = SocketAddr::from(([127, 0, 0, 1], 0));
    Config {
        listen: unused,
        admin_listen: unused,
        user_upstreams: services.clone(),
        product_upstreams: services.clone(),
        order_upstreams: services.clone(),
        queue_upstreams: services,
        web_root: PathBuf::from("tests/pages"),
        in_flight_max: 1_000,
        upstream_in_flight_max: 100,
        streams_max: 100,
        health_ms: 0,
        workers: 2,
        connections_max: 1_000,
        address_connections_max: 1_000,
        head_max_ms: 10_000,
        idle_max_ms: 60_000,
        stall_max_ms: 60_000,
        trusted_proxies: Vec::new(),
        cors_origins: Vec::new(),
        rate_factor: 100,
        loopback_exempt: true,
        upload_max_ms: 30_000,
        deadline_max_ms: 30_000,
        token_cache_max: 1_000,
        trust,
        // Nobody listens there: most tests revoke nothing.
        redis: Redis { redis_url: Secret("redis://127.0.0.1:1/0".into()), redis_connections: 1 },
        telemetry: Telemetry { log: "info".into(), log_format: "text".into() },
        clock: clock.clone(),
    }
}

pub(crate) async fn bind() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.unwrap()
}

pub(crate) fn uri(listener: &TcpListener) -> Uri {
    format!("http://{}", listener.local_addr().unwrap()).parse().unwrap()
}

/// Serves a router until the stop.
pub(crate) async fn serve(router: Router, stop: &Stop) -> Uri {
    let listener = bind().await;
    let address = uri(&listener);
    stop.spawn("service", common::http::serve(listener, router, stop.clone()));
    address
}

/// Waits until what a service has written no longer grows: then it stands in buffers. Returns the bytes.
pub(crate) async fn settled(written: &AtomicUsize) -> usize {
    let mut before = 0;
    testkit::eventually(LONG, async || {
        let now = written.load(Ordering::Relaxed);
        let grown = now - std::mem::replace(&mut before, now);
        anyhow::ensure!(grown == 0 && now > 0, "still writing");
        Ok(now)
    })
    .await
}

/// A service that reads a request's head, writes `answer` and then closes, or stays silent when `hangs`.
pub(crate) async fn scripted(answer: &'static [u8], hangs: bool, stop: &Stop) -> Uri {
    let listener = bind().await;
    let address = uri(&listener);
    let within = stop.clone();
    stop.spawn("scripted service", async move {
        while let Some(mut socket) = common::http::accept(&listener, &within).await {
            let silent = within.clone();
            within.spawn("scripted connection", async move {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    match socket.read_u8().await {
                        Ok(byte) => head.push(byte),
                        Err(_) => return,
                    }
                }
                socket.write_all(answer).await.ok();
                if hangs {
                    silent.stopped().await;
                }
            });
        }
    });
    address
}

/// Where nobody listens: a port that was bound, and is held unlistened-to, so that no other test gets it.
pub(crate) fn nowhere() -> (Uri, tokio::net::TcpSocket) {
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).unwrap();
    (format!("http://{}", socket.local_addr().unwrap()).parse().unwrap(), socket)
}

pub(crate) async fn read_all(socket: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    timeout(LONG, socket.read_to_end(&mut bytes)).await.expect("the gateway closes").ok();
    String::from_utf8_lossy(&bytes).into_owned()
}
