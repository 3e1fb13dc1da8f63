//! How soon everybody who asked to be told of a sale has the notice in the box, beside one bare statement that writes as
//! many rows.

use std::time::Duration;

use anyhow::ensure;
use clap::Args as ClapArgs;
use common::clock::Clock;
use common::wire::Time;
use sqlx::Executor as _;
use sqlx::postgres::{PgPool, PgPoolOptions};
use tokio::time::Instant;

use super::board::{Asked, Board, Part};
use crate::http::Net;
use crate::sale::{self, Terms};
use crate::stack::Stack;

/// The sale begins so long after it was registered: long enough to subscribe everybody.
const AHEAD_S: u32 = 30;
/// Asked for 100,000 subscribers.
const TOLD_WITHIN_S: f64 = 10.0;
/// Everybody is told within this, or it failed.
const PATIENCE: Duration = Duration::from_secs(120);
const LOOK: Duration = Duration::from_millis(20);

/// What to tell.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    /// Subscribers; so many accounts must be prepared (`cargo dev up --shoppers`).
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    subscribers: u32,
}

/// Measures it.
pub(super) async fn run(stack: &Stack, args: &Args) -> anyhow::Result<Board> {
    let count = i64::from(args.subscribers);
    stack.has_shoppers(usize::try_from(args.subscribers)?)?;
    let pool = PgPoolOptions::new().max_connections(2).connect(stack.database("user")?).await?;
    let net = Net::new(1);
    let terms =
        Terms { units: 1, limit: 1, count: 1, interval_s: 3_600, ahead_s: AHEAD_S, ..Terms::default() };
    let sale = sale::register(stack, net.agent(0), terms).await?;
    let product = sale.product.0;
    subscribe(&pool, stack, product, count).await?;
    let told = told(&pool, product, count).await?;
    let bare = bare(&pool, count).await?;
    let mut part = Part::new("notices: a sale begins, until every subscriber's box has the notice");
    part.asked("from the sale's start to the last box", told.last_s, "s", Asked::AtMost(TOLD_WITHIN_S));
    part.seen("from the sale's start to the first batch", told.first_s, "s");
    part.seen("notices put into boxes", count as f64 / told.last_s, "notices/s");
    part.seen("one bare INSERT of as many rows", count as f64 / bare, "rows/s");
    sale::withdraw(stack, net.agent(0), &sale).await?;
    Ok(Board::new(vec![part]))
}

/// Subscribes prepared shoppers, as soon as the sale is known.
async fn subscribe(pool: &PgPool, stack: &Stack, product: i64, count: i64) -> anyhow::Result<()> {
    let until = Instant::now() + PATIENCE;
    let known = "SELECT EXISTS (SELECT FROM sale WHERE product_id = $1)";
    while !sqlx::query_scalar::<_, bool>(known).bind(product).fetch_one(pool).await? {
        ensure!(Instant::now() < until, "the user service does not hear of product {product}");
        tokio::time::sleep(LOOK).await;
    }
    let made = sqlx::query(
        "INSERT INTO subscription (product_id, user_id, created_at)
         SELECT $1, user_id, now() FROM account WHERE user_id >= $2 AND user_id < $2 + $3",
    )
    .bind(product)
    .bind(stack.shoppers.first_user_id)
    .bind(count)
    .execute(pool)
    .await?;
    ensure!(made.rows_affected() == count.unsigned_abs(), "{} accounts are there", made.rows_affected());
    Ok(())
}

/// Seconds from the sale's start, as seen from outside.
struct Told {
    first_s: f64,
    last_s: f64,
}

/// Waits until everybody is told.
async fn told(pool: &PgPool, product: i64, count: i64) -> anyhow::Result<Told> {
    let clock = Clock::system();
    let starts_at: Time = sqlx::query_scalar("SELECT starts_at FROM sale WHERE product_id = $1")
        .bind(product)
        .fetch_one(pool)
        .await?;
    let event = format!("begun:{product}:{}", starts_at.timestamp_micros());
    let mut first_s = None;
    let last_s = loop {
        let found: Option<(i64, Option<Time>)> =
            sqlx::query_as("SELECT told_up_to, done_at FROM announcement WHERE event_key = $1")
                .bind(&event)
                .fetch_optional(pool)
                .await?;
        let since_s = (clock.now() - starts_at).as_seconds_f64();
        match found {
            Some((_, Some(_))) => break since_s,
            Some((1.., None)) => {
                first_s.get_or_insert(since_s);
            }
            _ => ensure!(since_s < PATIENCE.as_secs_f64(), "not everybody is told"),
        }
        tokio::time::sleep(LOOK).await;
    };
    let boxes: i64 = sqlx::query_scalar("SELECT count(DISTINCT user_id) FROM notice WHERE event_key = $1")
        .bind(&event)
        .fetch_one(pool)
        .await?;
    ensure!(boxes == count, "{boxes} of {count} boxes have the notice");
    Ok(Told { first_s: first_s.unwrap_or(last_s), last_s })
}

/// Seconds of one statement that writes as many rows into a table with the same indexes.
async fn bare(pool: &PgPool, count: i64) -> anyhow::Result<f64> {
    pool.execute("DROP TABLE IF EXISTS bench_notice").await?;
    pool.execute("CREATE TABLE bench_notice (LIKE notice INCLUDING ALL)").await?;
    let began = Instant::now();
    sqlx::query(
        r#"INSERT INTO bench_notice (user_id, event_key, body, created_at)
           SELECT n, 'begun:1:1800000000000000', '{"kind": "saleOpened", "productId": 1, "productName": "Headphones"}', now()
           FROM generate_series(1, $1) AS n"#,
    )
    .bind(count)
    .execute(pool)
    .await?;
    let took_s = began.elapsed().as_secs_f64();
    pool.execute("DROP TABLE bench_notice").await?;
    Ok(took_s)
}
