//! The user service over HTTP, on a real PostgreSQL and a real Redis.

#![expect(clippy::unwrap_used, reason = "what stands between tests may panic like a test")]

mod admin;
mod attempts;
mod clean;
mod cli;
mod end;
mod keys;
mod login;
mod me;
mod notice;
mod profile;
mod refresh;
mod signup;

use std::sync::LazyLock;
use std::time::Duration;

use common::clock::Clock;
use common::config::{Kafka, Pg, Redis, Secret, Telemetry};
use common::redis::Connections;
use common::stop::Stop;
use common::wire::user::LoginView;
use serde_json::{Value, json};
use sqlx::PgPool;
use testkit::client::{Answer, Http};
use testkit::issuers::Issuers;
use tokio::net::TcpListener;
use user::Config;

/// One running service with a database, keys and a clock of its own.
struct TestUser {
    base: String,
    http: Http,
    pg: PgPool,
    issuers: Issuers,
    clock: Clock,
    config: Config,
    stop: Stop,
}

/// All tests share one: what is in it is named by ids that no two of them have.
static REDIS: LazyLock<String> = LazyLock::new(testkit::redis_url);

impl TestUser {
    async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let (issuers, clock, stop) = (Issuers::new(), testkit::clock(), Stop::new());
        let mut config = config(&issuers, &clock, &testkit::database("user"));
        change(&mut config);
        let base = serve(&config, &stop).await;
        let pg = PgPool::connect(&config.pg.database_url.0).await.unwrap();
        let first = i64::from(uuid::Uuid::new_v4().as_fields().0 >> 3) + 1;
        let ids = format!("ALTER TABLE account ALTER user_id RESTART WITH {first}");
        sqlx::query(sqlx::AssertSqlSafe(ids)).execute(&pg).await.unwrap();
        Self { http: Http::new(&base), base, pg, issuers, clock, config, stop }
    }

    /// One more instance of the same service.
    async fn beside(&self) -> Http {
        Http::new(serve(&self.config, &self.stop).await)
    }

    fn redis(&self) -> Connections {
        Connections::open(&self.config.redis).unwrap()
    }

    async fn log_in(&self, login_id: &str) -> LoginView {
        let answer = self.http.post("/api/auth/login", &login_body(login_id, PASSWORD)).await.unwrap();
        answer.expect(200).body()
    }

    /// Signs up and logs in.
    async fn person(&self, login_id: &str) -> (LoginView, Http) {
        self.sign_up(login_id).await;
        let login = self.log_in(login_id).await;
        let http = self.http.login(&login.access_token);
        (login, http)
    }

    /// An account with another role than one can sign up with, logged in.
    async fn staff(&self, login_id: &str, role: &str) -> (LoginView, Http) {
        self.sign_up(login_id).await;
        let set = "UPDATE account SET role = $2 WHERE login_id = $1";
        sqlx::query(set).bind(login_id).bind(role).execute(&self.pg).await.unwrap();
        let login = self.log_in(login_id).await;
        let http = self.http.login(&login.access_token);
        (login, http)
    }

    /// Waits until a request with this login is refused.
    async fn refused(&self, http: &Http) {
        testkit::eventually(LONG, async || {
            let answer = http.get("/api/auth/sessions").await?;
            anyhow::ensure!(answer.status == 401, "{} {}", answer.status, answer.body);
            answer.problem(401, "invalid-token");
            Ok(())
        })
        .await;
    }

    async fn figure(&self, line: &str) -> bool {
        let metrics = self.http.get("/metrics").await.unwrap().expect(200).body;
        metrics.as_str().unwrap().lines().any(|one| one == line)
    }

    async fn rows(&self, table: &str) -> i64 {
        let count = sqlx::AssertSqlSafe(format!("SELECT count(*) FROM {table}"));
        sqlx::query_scalar(count).fetch_one(&self.pg).await.unwrap()
    }

    async fn sign_up(&self, login_id: &str) -> Value {
        let answer = self.http.post("/api/auth/signup", &sign_up_body(login_id)).await.unwrap();
        answer.expect(201).body
    }
}

/// What takes longer will not come.
const LONG: Duration = Duration::from_secs(20);

/// Serves until the stop; gives the address back.
async fn serve(config: &Config, stop: &Stop) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let service = user::serve(listener, config.clone(), stop.clone());
    #[expect(clippy::disallowed_methods, reason = "the service itself ends with its stop")]
    tokio::spawn(async move { service.await.unwrap() });
    ready(&Http::new(&base)).await;
    base
}

async fn ready(http: &Http) {
    testkit::eventually(LONG, async || {
        let answer = http.get("/readyz").await?;
        anyhow::ensure!(answer.status == 200, "{}", answer.body);
        Ok(())
    })
    .await;
}

impl Drop for TestUser {
    fn drop(&mut self) {
        self.stop.stop();
    }
}

fn config(issuers: &Issuers, clock: &Clock, database_url: &str) -> Config {
    Config {
        listen: ([127, 0, 0, 1], 0).into(),
        telemetry: Telemetry { log: "info".into(), log_format: "text".into() },
        pg: Pg { database_url: Secret(database_url.into()), database_pool_max: 4 },
        redis: Redis { redis_url: Secret(REDIS.clone()), redis_connections: 1 },
        identity_key_files: vec![issuers.identity_key_file.clone()],
        identity_keys: None,
        internal_key_file: issuers.internal_key_file.clone(),
        session_ttl_s: 3_600,
        hash_parallel: None,
        hash_waiting_max: 64,
        // Nobody is there: only notices need it.
        kafka: Kafka {
            kafka_bootstrap: "127.0.0.1:1".into(),
            kafka_topic_prefix: testkit::topic_prefix(),
            kafka_replication: 1,
            instance: "user-1".into(),
        },
        product_url: "http://127.0.0.1:1".into(),
        clean_every_s: 1,
        anonymise_after_s: 86_400,
        clock: clock.clone(),
    }
}

/// The `Set-Cookie` lines of an answer.
fn cookies(answer: &Answer) -> Vec<String> {
    let lines = answer.headers.get_all("set-cookie").iter();
    lines.map(|line| line.to_str().unwrap().to_owned()).collect()
}

const PASSWORD: &str = "right-horse-1";

fn sign_up_body(login_id: &str) -> Value {
    json!({
        "loginId": login_id, "password": PASSWORD, "username": "김수진", "nickname": "sujin",
        "phoneNumber": "+82-10-1234-5678", "shippingAddress": "Sejong-daero 110, Seoul", "role": "CUSTOMER",
    })
}

fn login_body(login_id: &str, password: &str) -> Value {
    json!({"loginId": login_id, "password": password})
}
