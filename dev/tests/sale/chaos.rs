//! Everything dies in the middle of a sale, one after the other in any order: services, their relay, the database, the
//! broker; and a stock writer freezes until another has taken its place, and wakes. Meanwhile the payment provider
//! loses answers. In the end every rule holds.

use std::time::Duration;

use anyhow::{Context as _, ensure};
use dev::stack::{Options, Stack};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use rand::seq::SliceRandom as _;
use sqlx::Connection as _;
use testkit::process::signal;
use testkit::{eventually, http};
use tokio::time::Instant;

use crate::rush;
use crate::shop::{PATIENCE, Shop};

/// A broker that was killed is refused until its old session is over, and then recovers its log.
const RECOVERY: Duration = Duration::from_secs(40);
/// The broker gives a member's partitions away when it has heard nothing for 6 s.
const FROZEN: Duration = Duration::from_secs(9);
const FROZEN_LONG: Duration = Duration::from_secs(60);
/// How long blows fall with `--long`.
const LONG: Duration = Duration::from_secs(400);
/// Transitions between two blows: the platform is at work when it is hit.
const FLOW: f64 = 12.0;

/// What hits the platform.
#[derive(Debug, Clone, Copy)]
enum Blow {
    /// SIGKILL.
    Kill(&'static str),
    /// SIGKILL for the order service whose relay sends.
    KillRelay,
    /// SIGSTOP for the product service that decides, until another one does, and longer.
    Freeze,
}

const BLOWS: [Blow; 7] = [
    Blow::Kill("order-1"),
    Blow::Kill("order-2"),
    Blow::Kill("product-1"),
    Blow::Kill("postgres"),
    Blow::Kill("kafka"),
    Blow::KillRelay,
    Blow::Freeze,
];

/// A figure of all replicas of a service together; those that are down count nothing.
fn sum(stack: &Stack, service: &str, name: &str) -> f64 {
    stack.urls(service).iter().map(|url| figures(url, name).iter().sum::<f64>()).sum()
}

/// A figure of one process, by its labels.
fn figures(url: &str, name: &str) -> Vec<f64> {
    let answer = http::Request::get(&format!("{url}/metrics")).send();
    let text = answer.map(|answer| answer.body).unwrap_or_default();
    let lines = text.lines().filter(|line| line.starts_with(name));
    lines.filter_map(|line| line.rsplit(' ').next()?.parse().ok()).collect()
}

/// Waits until orders move; at the end of the sale there is nothing to wait for.
async fn until_orders_flow(stack: &Stack, child: &mut std::process::Child) -> bool {
    let transitions = || sum(stack, "order", "astraphe_order_transitions_total");
    let mut seen = transitions();
    eventually(RECOVERY, async || {
        let now = transitions();
        // One that was killed begins to count anew.
        seen = seen.min(now);
        let has_ended = child.try_wait()?.is_some();
        ensure!(has_ended || now >= seen + FLOW, "no orders flow");
        Ok(!has_ended)
    })
    .await
}

/// The order service that holds the lock of the relay.
async fn relay(stack: &Stack) -> String {
    let url = stack.database("order").expect("orders have a database");
    eventually(PATIENCE, async || {
        let mut database = sqlx::PgConnection::connect(&url).await?;
        let name: Option<String> = sqlx::query_scalar(
            "SELECT application_name FROM pg_locks JOIN pg_stat_activity USING (pid)
             WHERE locktype = 'advisory' AND granted AND datname = current_database()",
        )
        .fetch_optional(&mut database)
        .await?;
        database.close().await?;
        name.context("no relay leads")
    })
    .await
}

/// The product service that decides about the sale: only the writer shows the stock.
async fn writer(stack: &Stack) -> String {
    let urls = stack.urls("product");
    eventually(PATIENCE, async || {
        let decides = |url: &String| !figures(url, "astraphe_product_stock_available").is_empty();
        let number = urls.iter().position(decides).context("nobody decides")?;
        Ok(format!("product-{}", number + 1))
    })
    .await
}

async fn strike(stack: &Stack, blow: Blow, frozen: Duration) {
    match blow {
        Blow::Kill(name) => kill(stack, name).await,
        Blow::KillRelay => kill(stack, &relay(stack).await).await,
        Blow::Freeze => {
            let name = writer(stack).await;
            let pid = stack.json()["pids"][&name].as_u64().and_then(|pid| u32::try_from(pid).ok());
            let pid = pid.expect("the stack names its processes");
            signal(pid, "STOP");
            tokio::time::sleep(frozen).await;
            signal(pid, "CONT");
        }
    }
}

/// The services go on by themselves, so nothing else is started again.
async fn kill(stack: &Stack, name: &str) {
    stack.kill9(name).expect("the stack has it");
    stack.restart(name).unwrap_or_else(|error| panic!("{name} does not come back: {error}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_sale_survives_everything_that_dies() {
    let is_long = std::env::var_os("ASTRAPHE_TEST_LONG").is_some();
    // In a long sale people come all the time: the platform is to be hit at work, not to be crowded out by those who wait.
    let (units, frozen, arrival_s) = if is_long { (6_000, FROZEN_LONG, "400") } else { (500, FROZEN, "3") };
    let options = Options::for_test("chaos").expect("the test servers answer").own_servers();
    let faults = [
        ("SANDBOX_DROP_PCT", "5"),
        ("SANDBOX_FAIL_PCT", "5"),
        ("SANDBOX_DUPLICATE_PCT", "20"),
        ("SANDBOX_REORDER_PCT", "20"),
    ];
    let settings = faults.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let options =
        Options { shoppers: 2 * units, settings, ..options }.replicas("order", 2).replicas("product", 2);
    let shop = Shop::open(options);
    let stack = &shop.stack;
    // Twelve are let in per second, so the sale lasts longer than the blows.
    let terms = ["--count", "12", "--pay-share", "0.8", "--timeout-s", "840", "--arrival-s", arrival_s];
    let (mut child, report) = rush::start_with(stack, (units + units / 10, units), "chaos", &terms);

    // A run is played again by its seed.
    let seed = std::env::var_os("ASTRAPHE_TEST_SEED").and_then(|seed| seed.to_str()?.parse().ok());
    let seed = seed.unwrap_or_else(|| u64::from(std::process::id()));
    println!("seed {seed}");
    let mut dice = StdRng::seed_from_u64(seed);
    let begun = Instant::now();
    let mut blows = BLOWS;
    loop {
        blows.shuffle(&mut dice);
        for blow in blows {
            if !until_orders_flow(stack, &mut child).await {
                break;
            }
            println!("{:5.1} s: {blow:?}", begun.elapsed().as_secs_f64());
            strike(stack, blow, frozen).await;
        }
        if !is_long || begun.elapsed() > LONG || child.try_wait().is_ok_and(|ended| ended.is_some()) {
            break;
        }
    }
    let report = rush::finish(stack, (child, report), "chaos");
    assert_eq!(report["oversold"], 0, "seed {seed}: {report}");
    assert_eq!(report["undecided"], 0, "seed {seed}: {report}");
}
