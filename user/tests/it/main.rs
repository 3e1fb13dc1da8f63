//! The user service over HTTP, on a real PostgreSQL.

#![expect(clippy::unwrap_used, reason = "what stands between tests may panic like a test")]

mod cli;
mod login;
mod me;
mod notice;
mod signup;

use std::time::Duration;

use common::clock::Clock;
use common::config::{Kafka, Pg, Secret, Telemetry};
use common::stop::Stop;
use serde_json::{Value, json};
use sqlx::PgPool;
use testkit::client::Http;
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
    stop: Stop,
}

impl TestUser {
    async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    async fn start_with(change: impl FnOnce(&mut Config)) -> Self {
        let (issuers, clock, stop) = (Issuers::new(), testkit::clock(), Stop::new());
        let mut config = config(&issuers, &clock, &testkit::database("user"));
        change(&mut config);
        let database_url = config.pg.database_url.0.clone();
        let http = serve(config, &stop).await;
        let pg = PgPool::connect(&database_url).await.unwrap();
        Self { base: http.base().to_owned(), http, pg, issuers, clock, stop }
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

/// One more running service; ready when this returns.
async fn serve(config: Config, stop: &Stop) -> Http {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let http = Http::new(format!("http://{}", listener.local_addr().unwrap()));
    let service = user::serve(listener, config, stop.clone());
    #[expect(clippy::disallowed_methods, reason = "the service itself ends with its stop")]
    tokio::spawn(async move { service.await.unwrap() });
    ready(&http).await;
    http
}

async fn ready(http: &Http) {
    testkit::eventually(Duration::from_secs(20), async || {
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
        identity_key_files: vec![issuers.identity_key_file.clone()],
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
        clock: clock.clone(),
    }
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
