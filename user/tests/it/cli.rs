use std::process::{Command, Output};

use common::auth::key::SigningKey;
use serde_json::{Value, json};
use sqlx::PgPool;

use super::{TestUser, config, login_body};

/// `user`, without anything of this process's environment but what it needs to run.
fn user(args: &[&str], env: &[(&str, &str)]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_user"));
    command.args(args).env_clear().envs(env.iter().copied()).output().unwrap()
}

fn seed(database_url: &str, shoppers: &str) -> Result<Value, String> {
    let output = user(&["seed", "--shoppers", shoppers], &[("DATABASE_URL", database_url)]);
    match output.status.success() {
        true => Ok(serde_json::from_slice(&output.stdout).unwrap()),
        false => Err(String::from_utf8(output.stderr).unwrap()),
    }
}

#[tokio::test]
async fn seeded_accounts_log_in_and_a_second_seed_changes_nothing() {
    let database_url = testkit::database("user");
    let seeded = seed(&database_url, "3").unwrap();
    assert_eq!(seed(&database_url, "3").unwrap(), seeded);
    assert_eq!(seeded["shoppers"]["count"], 3);

    let user = TestUser::start_with(|config| config.pg.database_url.0.clone_from(&database_url)).await;
    for (name, role) in
        [("admin", "ADMIN"), ("manager", "MANAGER"), ("seller", "SELLER"), ("shopper", "CUSTOMER")]
    {
        let account = &seeded["accounts"][name];
        let (login_id, password) = (&account["loginId"], &account["password"]);
        let body = json!({"loginId": login_id, "password": password});
        let login = user.http.post("/api/auth/login", &body).await.unwrap().expect(200).body;
        assert_eq!((&login["userId"], &login["role"]), (&account["userId"], &json!(role)), "{name}");
    }
    // Nobody can log in as a load shopper.
    for password in ["", "!", "no account has this password"] {
        let body = login_body("s000001", password);
        user.http.post("/api/auth/login", &body).await.unwrap().problem(401, "wrong-credentials");
    }
}

#[tokio::test]
async fn load_shoppers_keep_contiguous_ids_when_more_are_made_later() {
    let database_url = testkit::database("user");
    let first = seed(&database_url, "0").unwrap()["shoppers"]["firstUserId"].as_i64().unwrap();
    seed(&database_url, "2").unwrap();
    let user = TestUser::start_with(|config| config.pg.database_url.0.clone_from(&database_url)).await;
    user.sign_up("between1").await;
    let more = seed(&database_url, "2000").unwrap();
    assert_eq!(more["shoppers"], json!({"firstUserId": first, "count": 2_000}));

    let pg = PgPool::connect(&database_url).await.unwrap();
    let shoppers: Vec<(i64, String)> =
        sqlx::query_as("SELECT user_id, login_id FROM account WHERE user_id >= $1 ORDER BY user_id")
            .bind(first)
            .fetch_all(&pg)
            .await
            .unwrap();
    assert_eq!(shoppers.len(), 2_000);
    for ((id, login_id), number) in shoppers.into_iter().zip(0..) {
        assert_eq!((id, login_id), (first + number, format!("s{:06}", number + 1)));
    }
    assert_eq!(seed(&database_url, "5").unwrap()["shoppers"]["count"], 5, "fewer are there as well");
}

#[tokio::test]
async fn a_seed_does_not_pass_off_a_strangers_account() {
    let user = TestUser::start().await;
    user.sign_up("admin").await;
    let database: String = sqlx::query_scalar("SELECT current_database()").fetch_one(&user.pg).await.unwrap();
    let error = seed(&format!("{}/{database}", testkit::servers().postgres), "0").unwrap_err();
    assert!(error.contains("the account admin exists with another role"), "{error}");
}

#[test]
fn keygen_writes_a_key_once_and_prints_its_name() {
    let file = std::env::temp_dir().join(format!("key-{}", uuid::Uuid::new_v4()));
    let path = file.to_str().unwrap();
    let output = user(&["keygen", path], &[]);
    assert!(output.status.success(), "{output:?}");
    let key = SigningKey::read(&file).unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap().trim(), key.kid());
    assert!(!user(&["keygen", path], &[]).status.success(), "never overwrites");
    assert_eq!(SigningKey::read(&file).unwrap().kid(), key.kid());
    std::fs::remove_file(file).unwrap();
}

#[test]
fn the_help_lists_every_setting_and_a_missing_one_is_named() {
    let help = String::from_utf8(user(&["--help"], &[]).stdout).unwrap();
    for setting in [
        "USER_LISTEN",
        "DATABASE_URL",
        "DATABASE_POOL_MAX",
        "REDIS_URL",
        "REDIS_CONNECTIONS",
        "IDENTITY_KEY_FILE",
        "IDENTITY_KEYS",
        "INTERNAL_KEY_FILE",
        "USER_SESSION_TTL_S",
        "USER_HASH_PARALLEL",
        "USER_HASH_WAITING_MAX",
        "USER_CLEAN_EVERY_S",
        "USER_ANONYMISE_AFTER_S",
        "LOG",
        "LOG_FORMAT",
    ] {
        assert!(help.contains(&format!("[env: {setting}")), "{setting} is not in\n{help}");
    }
    let output = user(&[], &[("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none")]);
    assert_eq!(output.status.code(), Some(2));
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("--identity-key-file"), "{error}");
}

#[tokio::test]
async fn a_service_that_waits_for_its_database_lives_is_not_ready_and_stops() {
    let issuers = testkit::issuers::Issuers::new();
    // Nothing listens there: the port was given back.
    let closed = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let config = config(&issuers, &testkit::clock(), &format!("postgres://nobody@{closed}/none"));
    let (stop, listener) =
        (common::stop::Stop::new(), tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap());
    let http = testkit::client::Http::new(format!("http://{}", listener.local_addr().unwrap()));
    let asks = async {
        let alive = http.get("/livez").await.unwrap().status;
        let ready = http.get("/readyz").await.unwrap().status;
        let api = http.get("/api/users/me").await.unwrap();
        stop.stop();
        (alive, ready, api)
    };
    let (served, (alive, ready, api)) = tokio::join!(user::serve(listener, config, stop.clone()), asks);
    served.unwrap();
    assert_eq!((alive, ready), (200, 503));
    assert_eq!(api.headers["retry-after"], "1");
    assert_eq!((api.status, &api.body["code"]), (503, &json!("starting")));
}
