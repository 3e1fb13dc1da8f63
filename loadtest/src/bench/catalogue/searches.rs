//! Searches over HTTP: 100 people who ask, read and ask again, and the most that the machine gives.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom as _;
use rand::{Rng as _, SeedableRng as _};
use tokio::time::Instant;

use super::Run;
use super::shop::{KINDS, THINGS, brands};
use crate::bench::board::{Asked, Part};
use crate::bench::process::Process;
use crate::fast::{self, Barrage, Volley};
use crate::http::{Call, Net};

/// Different searches: more than are asked within the second that an answer is kept.
const SEARCHES: usize = 20_000;
const SORTS: [&str; 6] = ["newest", "updated", "priceUp", "priceDown", "openingSoon", "popular"];
/// Waits for a write's turn.
const PATIENCE: Duration = Duration::from_secs(10);

/// Measures all of it.
pub(super) async fn measure(run: &Run<'_>) -> anyhow::Result<Vec<Part>> {
    let searches = requests(&searches());
    let first = requests(&["/api/products?sort=newest".to_owned()]);
    let mut part = Part::new("searches: 100 people who ask, read and ask again");
    let rate = f64::from(run.args.clients) * 1e3 / run.args.think_ms as f64;
    part.seen("searches", rate, "1/s");
    // The first ones find cold connections and plans.
    ask(run, &searches, Some(rate), run.time / 4).await?;
    let alone = ask(run, &searches, Some(rate), run.time).await?;
    show(&alone, &mut part, "word + filter + order", Some(20.0));
    let newest = ask(run, &first, Some(rate), run.time).await?;
    show(&newest, &mut part, "first page, newest first", Some(5.0));
    let plan = plan(run)?;
    let reads = ask(run, &searches, Some(rate), run.time);
    let (beside, written) = tokio::join!(reads, writes(&run.net, plan, run.time));
    let beside = beside?;
    show(&beside, &mut part, "word + filter + order beside writes", Some(20.0));
    part.seen("products registered meanwhile", written as f64 / run.time.as_secs_f64(), "1/s");
    let slower = |quantile| (ms(&beside, quantile) / ms(&alone, quantile) - 1.0) * 100.0;
    part.asked("reads beside writes are slower, p50", slower(0.5), "%", Asked::AtMost(20.0));
    part.asked("reads beside writes are slower, p99", slower(0.99), "%", Asked::AtMost(20.0));
    Ok(vec![part, most(run, &searches, &first).await?])
}

/// As many as are answered, the same number in flight.
async fn most(run: &Run<'_>, searches: &[Arc<[u8]>], first: &[Arc<[u8]>]) -> anyhow::Result<Part> {
    let mut part = Part::new("searches without a pause: 100 in flight");
    let product = Process::of(run.stack, "product")?;
    for (what, requests) in [("word + filter + order", searches), ("first page, newest first", first)] {
        let before = product.cpu()?;
        let volley = ask(run, requests, None, run.time).await?;
        let cpu = product.cpu()?.since(before).total();
        part.seen(what, volley.per_s(), "1/s");
        show(&volley, &mut part, what, None);
        part.seen(format!("{what}, product service"), volley.count() as f64 / cpu, "requests per CPU-s");
    }
    Ok(part)
}

fn ms(volley: &Volley, quantile: f64) -> f64 {
    volley.latency.value_at_quantile(quantile) as f64 / 1e3
}

fn show(volley: &Volley, part: &mut Part, what: &str, p99_ms: Option<f64>) {
    part.seen(format!("{what}, p50"), ms(volley, 0.5), "ms");
    match p99_ms {
        Some(most) => part.asked(format!("{what}, p99"), ms(volley, 0.99), "ms", Asked::AtMost(most)),
        None => part.seen(format!("{what}, p99"), ms(volley, 0.99), "ms"),
    }
    if let Some(why) = &volley.failure {
        part.asked(format!("{what}, failed"), volley.failed as f64, "", Asked::AtMost(0.0));
        part.note(why.clone());
    }
}

/// Asks over and over: at a rate, each at its moment however late answers are, or as fast as answers come.
async fn ask(
    run: &Run<'_>,
    requests: &[Arc<[u8]>],
    rate: Option<f64>,
    time: Duration,
) -> anyhow::Result<Volley> {
    let requests = requests.to_vec();
    fast::fire(Barrage {
        to: run.server()?,
        requests: Box::new(requests.into_iter().cycle()),
        connections: run.args.clients.into(),
        time: Some(time),
        rate,
    })
    .await
}

fn requests(paths: &[String]) -> Vec<Arc<[u8]>> {
    paths.iter().map(|path| fast::request("GET", path, None, "")).collect()
}

/// A thing, a kind, a brand or the beginning of one, a filter or two, and an order; half of them want pages, with a total.
fn searches() -> Vec<String> {
    let (mut dice, brands) = (StdRng::seed_from_u64(7), brands());
    let search = |_| {
        let thing = THINGS.choose(&mut dice).expect("there are some");
        let kind = KINDS.choose(&mut dice).expect("there are some");
        let brand = brands.choose(&mut dice).expect("there are some");
        let words = match dice.random_range(0..6) {
            0 => format!("{kind} {thing}"),
            1 => thing.chars().take(2).collect(),
            2 => brand.clone(),
            3 => format!("{brand} {thing}"),
            // As it is being typed.
            4 => brand.chars().take(4).collect(),
            _ => (*thing).to_owned(),
        };
        let sort = SORTS.choose(&mut dice).expect("there are some");
        let low = 1_000 * dice.random_range(1..150);
        let filter = match dice.random_range(0..3) {
            0 => format!("&categoryCode={}", 1_000 * dice.random_range(1..4)),
            1 => format!("&state=onSale&priceMin={low}"),
            _ => format!("&priceMin={low}&priceMax={}", low + 1_000 * dice.random_range(1..60)),
        };
        let part = if dice.random() { "limit=20" } else { "size=20" };
        format!("/api/products?q={}&sort={sort}{filter}&{part}", escaped(&words))
    };
    (0..SEARCHES).map(search).collect()
}

fn escaped(text: &str) -> String {
    text.bytes()
        .map(
            |byte| {
                if byte.is_ascii_alphanumeric() {
                    char::from(byte).to_string()
                } else {
                    format!("%{byte:02X}")
                }
            },
        )
        .collect()
}

/// What is written: products registered, one after the other.
struct Writes {
    call: Call,
    pause: Duration,
}

fn plan(run: &Run<'_>) -> anyhow::Result<Writes> {
    let call = Call::post(format!("{}/api/products", run.url()?)).bearer(&run.seller.token);
    let call = call.json(&crate::sale::wish(run.seller.company, "무선 lamp, written"));
    Ok(Writes { call, pause: Duration::from_secs(1) / run.args.writes_per_s })
}

/// Registers products at the pace; returns how many.
async fn writes(net: &Net, writes: Writes, time: Duration) -> u64 {
    let (start, mut made) = (Instant::now(), 0);
    let mut due = tokio::time::interval(writes.pause);
    while start.elapsed() < time {
        due.tick().await;
        let sent = tokio::time::timeout(PATIENCE, net.agent(0).send(&writes.call)).await;
        made += u64::from(sent.is_ok_and(|answer| answer.is_ok_and(|answer| answer.status.is_success())));
    }
    made
}
