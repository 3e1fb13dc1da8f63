//! What a waiter takes in Redis, and in the memory of the process that follows the room.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use common::clock::Clock;
use common::redis::{Connections, Script};
use common::wire::id::{ProductId, UserId};
use common::wire::queue::Place;
use queue_server::room::store::{JOIN_MAX, Joiner, Store};

use super::Run;
use crate::account;
use crate::bench::board::{Asked, Part};
use crate::bench::load;
use crate::bench::process::Process;
use crate::http::{Call, Net};
use crate::sale::{self, Terms};

/// Batches in flight.
const WORKERS: usize = 4;
/// A room is full within this time.
const FILL_MAX: Duration = Duration::from_secs(600);
/// Bytes of a key, measured to the last element.
const SIZE: &str = "return redis.call('MEMORY', 'USAGE', KEYS[1], 'SAMPLES', 0)";
/// The keys of a room.
const KEYS: &str = "return redis.call('KEYS', ARGV[1])";

/// Fills two rooms and weighs them.
pub(super) async fn measure(run: &Run<'_>) -> anyhow::Result<Part> {
    let mut part =
        Part::new("memory of people who wait, by MEMORY USAGE of every key of the room but the log");
    part.seen("waiters", run.args.waiters.into(), "");
    for (keyed, name) in [(false, "without Idempotency-Key"), (true, "with Idempotency-Key")] {
        let net = Net::new(1);
        let terms =
            Terms { units: 1, limit: 1, count: 1, interval_s: 3_600, delay_s: 86_400, ..Terms::default() };
        let sale = sale::register(run.stack, net.agent(0), terms).await?;
        let first = account::numbered(run.stack, 0..1, &Clock::system())?.swap_remove(0);
        sale::joinable(run.stack, net.agent(0), &sale, &first).await?;
        // Over HTTP, so that the service knows that this room has a line.
        let url = format!("{}/api/queue/{}", run.stack.queue_server[0], sale.product);
        net.agent(0).send(&Call::post(url).bearer(&first.token)).await?.success::<Place>("join")?;
        let server = Process::of(run.stack, "queue-server")?;
        let before = server.resident()?;
        fill(run, sale.product, keyed).await?;
        weigh(run, sale.product, name, &mut part).await?;
        let each = (server.resident()? - before) / f64::from(run.args.waiters);
        part.seen(format!("queue-server, {name}"), each, "B/waiter");
        sale::withdraw(run.stack, net.agent(0), &sale).await?;
    }
    Ok(part)
}

/// Everybody but the first joins, by the service's own steps.
async fn fill(run: &Run<'_>, product: ProductId, keyed: bool) -> anyhow::Result<()> {
    let store = Store::new(run.stack.redis().await?);
    let (first, waiters) = (run.stack.shoppers.first_user_id, run.args.waiters as usize);
    let filled = load::run(WORKERS, FILL_MAX, move |worker, number| {
        let store = store.clone();
        let from = (number * WORKERS + worker) * JOIN_MAX + 1;
        async move {
            let person = |turn: usize| Joiner {
                user: UserId(first + turn as i64),
                // As mixed as a hash.
                key: keyed.then(|| (turn as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes()),
            };
            let people: Vec<Joiner> = (from..waiters.min(from + JOIN_MAX)).map(person).collect();
            if people.is_empty() {
                return Ok(false);
            }
            store.join(product, &people).await?.context("the room is unknown")?;
            Ok(true)
        }
    })
    .await;
    ensure!(filled.failed == 0, "joins failed: {}", filled.failure.unwrap_or_default());
    Ok(())
}

async fn weigh(run: &Run<'_>, product: ProductId, name: &str, part: &mut Part) -> anyhow::Result<()> {
    let sizes = sizes(&run.stack.redis().await?, product).await?;
    let each = |bytes: f64| bytes / f64::from(run.args.waiters);
    part.asked(format!("Redis, {name}"), each(sizes.values().sum()), "B/waiter", Asked::AtMost(200.0));
    for (key, bytes) in sizes.iter().filter(|(_, bytes)| each(**bytes) >= 0.1) {
        part.seen(format!("  {key}"), each(*bytes), "B/waiter");
    }
    Ok(())
}

/// Bytes of each of a room's keys but the log, by the last part of its name.
async fn sizes(redis: &Connections, product: ProductId) -> anyhow::Result<BTreeMap<String, f64>> {
    // A room's braces mean nothing but themselves in a pattern.
    let (meta, pattern) = (format!("room:{{{product}}}:meta"), format!("room:{{{product}}}:*"));
    let keys: Vec<String> = Script::new(KEYS).run(redis, vec![meta], vec![pattern.into()]).await?;
    let size = Script::new(SIZE);
    let mut sizes = BTreeMap::new();
    // The log is not asked for, and takes long to measure.
    for key in keys.into_iter().filter(|key| !key.ends_with(":log")) {
        let part = key.rsplit(':').next().unwrap_or_default().to_owned();
        // One call each: the server answers nobody else meanwhile.
        let bytes: Option<i64> = size.run(redis, vec![key], Vec::new()).await?;
        sizes.insert(part, bytes.unwrap_or(0) as f64);
    }
    Ok(sizes)
}
