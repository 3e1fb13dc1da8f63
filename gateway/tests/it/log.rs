//! What the process says of a request.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command};

use common::config::Trust;
use common::wire::id::{ProductId, SessionId, Ticket, UserId};
use common::wire::token::{IDENTITY_TYPE, Role};
use serde_json::Value;
use testkit::client::Http;
use testkit::issuers::Issuers;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};

use crate::gate::LONG;

/// A gateway of its own process, whose log goes to a file.
struct Process {
    child: Child,
    log: PathBuf,
    public: String,
    admin: String,
}

impl Process {
    /// One that nobody is behind, but for what `settings` say.
    fn start(trust: &Trust, log_level: &str, settings: &[(&str, &str)]) -> Self {
        let [public, private] = [(); 2].map(|()| format!("127.0.0.1:{}", testkit::port::pick().unwrap()));
        let log =
            std::env::temp_dir().join(format!("astraphe-gateway-{}.log", uuid::Uuid::new_v4().simple()));
        let child = Command::new(env!("CARGO_BIN_EXE_gateway"))
            .env_clear()
            .envs([("GATEWAY_LISTEN", &public), ("GATEWAY_ADMIN_LISTEN", &private)])
            .envs([("IDENTITY_JWKS_URL", &trust.identity_jwks_url), ("PASS_JWKS_URL", &trust.pass_jwks_url)])
            .env("INTERNAL_KEY_FILE", &trust.internal_key_file)
            .envs(
                ["USER", "PRODUCT", "ORDER", "QUEUE"]
                    .map(|name| (format!("{name}_UPSTREAMS"), "http://127.0.0.1:1")),
            )
            .envs([("REDIS_URL", "redis://127.0.0.1:1/0"), ("GATEWAY_HEALTH_MS", "0")])
            .envs([("WEB_ROOT", "tests/pages"), ("LOG", log_level), ("LOG_FORMAT", "json")])
            .envs(settings.iter().copied())
            .stdout(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        let url = |address| format!("http://{address}");
        Self { child, log, public: url(public), admin: url(private) }
    }

    /// The lines that it has written.
    fn lines(&self) -> Vec<Value> {
        let text = fs::read_to_string(&self.log).unwrap();
        text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        fs::remove_file(&self.log).ok();
    }
}

#[tokio::test]
async fn a_request_is_one_line_of_the_access_log_without_what_is_secret() {
    let (issuers, clock) = (Issuers::new(), common::clock::Clock::system());
    let trust = issuers.trust().await;
    let process = Process::start(&trust, "info,gateway=debug", &[]);
    let claims = Issuers::identity_claims(UserId(42), Role::Customer, SessionId::new(), &clock);
    let login = issuers.identity.sign(&claims, IDENTITY_TYPE).unwrap();
    let pass = issuers.pass_token(&claims, ProductId(7), Ticket(3));
    let http = Http::new(&process.public).login(&login).pass(&pass).with("cookie", "identity=crumb");
    let ask = async |id: &str, path: &str| http.with("x-request-id", id).get(path).await;
    testkit::eventually(LONG, async || {
        // Nobody is behind it: 502 once it knows the keys.
        anyhow::ensure!(ask("request-of-the-start", "/api/orders").await?.status == 502, "not ready");
        Ok(())
    })
    .await;
    let asked = [
        ("request-that-is-answered", "/?word=crumb", "/", 200),
        ("request-that-is-refused", "/api/users?word=crumb", "/api/users", 403),
        ("request-that-has-no-route", "/api/nothing/crumb", "unmatched", 404),
        ("request-that-leads-nowhere", "/api/products/7?word=crumb", "/api/products/{id}", 502),
    ];
    for (id, path, _, status) in asked {
        assert_eq!(ask(id, path).await.unwrap().status, status, "{path}");
    }
    for (id, path, route, status) in asked {
        let lines = process.lines();
        let own: Vec<&Value> = lines
            .iter()
            .map(|line| &line["fields"])
            .filter(|fields| fields["request.id"] == id && fields["message"] == "request")
            .collect();
        assert_eq!(own.len(), 1, "{path}: {own:?}");
        let fields = own[0];
        assert_eq!((&fields["route"], &fields["method"]), (&route.into(), &"GET".into()), "{path}");
        assert_eq!(fields["status"], status, "{path}");
        assert!(fields["ms"].as_f64().is_some_and(|ms| ms > 0.0), "{path}: {fields}");
    }
    let text = fs::read_to_string(&process.log).unwrap();
    let internal = fs::read_to_string(&trust.internal_key_file).unwrap();
    let signatures = [&login, &pass].map(|token| token.rsplit('.').next().unwrap());
    for secret in [signatures[0], signatures[1], "crumb", &internal] {
        assert!(!text.contains(secret), "{secret} in\n{text}");
    }
}

#[tokio::test]
async fn what_is_turned_away_for_load_adds_no_line() {
    let (issuers, clock) = (Issuers::new(), common::clock::Clock::system());
    let trust = issuers.trust().await;
    // Takes connections and answers nobody.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_url = format!("http://{}", silent.local_addr().unwrap());
    let settings = [("PRODUCT_UPSTREAMS", silent_url.as_str()), ("GATEWAY_UPSTREAM_IN_FLIGHT_MAX", "1")];
    let process = Process::start(&trust, "info", &settings);
    let claims = Issuers::identity_claims(UserId(42), Role::Customer, SessionId::new(), &clock);
    let login = issuers.identity.sign(&claims, IDENTITY_TYPE).unwrap();
    let (http, admin) = (Http::new(&process.public).login(&login), Http::new(&process.admin));
    let ask = async |id: &str, path: &str| http.with("x-request-id", id).get(path).await;
    testkit::eventually(LONG, async || {
        let status = ask("request-that-fails", "/api/orders").await?.status;
        anyhow::ensure!(status == 502, "{status}: not ready");
        Ok(())
    })
    .await;
    let mut held = TcpStream::connect(process.public.trim_start_matches("http://")).await.unwrap();
    held.write_all(b"GET /api/categories HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    testkit::eventually(LONG, async || {
        let figures = admin.get("/metrics").await?.body;
        let is_there = figures.as_str().is_some_and(|text| text.contains("astraphe_gateway_in_flight 1\n"));
        anyhow::ensure!(is_there, "nobody has the turn");
        Ok(())
    })
    .await;
    ask("request-too-many", "/api/categories").await.unwrap().problem(503, "upstream-busy");
    drop(held);
    let lines = process.lines();
    let said = |id: &str| lines.iter().any(|line| line["fields"]["request.id"] == id);
    assert!(said("request-that-fails") && !said("request-too-many"), "{lines:#?}");
}
