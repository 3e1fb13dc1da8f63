use sqlx::PgPool;
use testkit::client::Http;
use testkit::issuers::Issuers;
use testkit::port;
use testkit::process::{Process, Spec};

use super::{SOON, open_accounts};
use crate::ready;

/// Four batches, the last one short.
const PEOPLE: i32 = 15_100;

/// A replica that is a process of its own.
async fn replica(database_url: &str, issuers: &Issuers) -> Process {
    let port = port::pick().unwrap();
    let log = std::env::temp_dir().join(format!("astraphe-user-{port}.log"));
    let spec = Spec::new("user", env!("CARGO_BIN_EXE_user"))
        .log(log)
        .env("USER_LISTEN", format!("127.0.0.1:{port}"))
        .env("DATABASE_URL", database_url)
        .env("IDENTITY_KEY_FILE", &issuers.identity_key_file)
        .env("INTERNAL_KEY_FILE", &issuers.internal_key_file)
        .env("KAFKA_BOOTSTRAP", "127.0.0.1:1");
    let process = Process::start(spec).unwrap();
    ready(&Http::new(format!("http://127.0.0.1:{port}"))).await;
    process
}

async fn told(pg: &PgPool) -> i64 {
    sqlx::query_scalar("SELECT count(*) FROM notice WHERE event_key = 'begun:7:0'")
        .fetch_one(pg)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_replica_killed_while_it_tells_leaves_nobody_out_and_tells_nobody_twice() {
    let (issuers, database_url) = (Issuers::new(), testkit::database("user"));
    let mut first = replica(&database_url, &issuers).await;
    let pg = PgPool::connect(&database_url).await.unwrap();
    open_accounts(&pg, PEOPLE).await;
    let run = async |sql| sqlx::query(sql).bind(PEOPLE).execute(&pg).await.unwrap();
    run("INSERT INTO sale VALUES (7, 1, 'Lamp', now(), now() + $1 * interval '1 hour', false, now(), now())")
        .await;
    run("INSERT INTO subscription SELECT 7, n, now() FROM generate_series(1, $1) AS n").await;

    // Somebody in the third batch seems to be told elsewhere: that batch waits in the middle.
    let mut held = pg.begin().await.unwrap();
    sqlx::query(
        "INSERT INTO notice (user_id, event_key, body, created_at) VALUES (12000, 'begun:7:0', '{}', now())",
    )
    .execute(&mut *held)
    .await
    .unwrap();
    sqlx::query(
        r#"INSERT INTO announcement (event_key, product_id, body, created_at)
           VALUES ('begun:7:0', 7, '{"kind": "saleOpened"}', now())"#,
    )
    .execute(&pg)
    .await
    .unwrap();
    testkit::eventually(SOON, async || {
        anyhow::ensure!(told(&pg).await == 10_000, "not in the third batch yet");
        let waiting: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND locktype = 'transactionid'",
        )
        .fetch_one(&pg)
        .await?;
        anyhow::ensure!(waiting > 0, "nobody waits");
        Ok(())
    })
    .await;
    first.kill9();
    let _second = replica(&database_url, &issuers).await;
    assert_eq!(told(&pg).await, 10_000, "a batch is told as a whole");
    held.rollback().await.unwrap();

    testkit::eventually(SOON, async || {
        let open: i64 = sqlx::query_scalar("SELECT count(*) FROM announcement WHERE done_at IS NULL")
            .fetch_one(&pg)
            .await?;
        anyhow::ensure!(open == 0, "{} are told", told(&pg).await);
        Ok(())
    })
    .await;
    assert_eq!(told(&pg).await, i64::from(PEOPLE));
    let missing: Vec<i64> = sqlx::query_scalar(
        "SELECT user_id FROM account WHERE NOT EXISTS (SELECT FROM notice WHERE notice.user_id = account.user_id)",
    )
    .fetch_all(&pg)
    .await
    .unwrap();
    assert!(missing.is_empty(), "{missing:?}");
}
