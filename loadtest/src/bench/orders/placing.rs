//! Orders through the gateway as fast as they are taken: while there are units, and after the last one is gone.

use std::sync::Arc;
use std::time::Duration;

use anyhow::ensure;
use tokio::time::Instant;

use super::Run;
use super::cost::{Cost, Spent};
use super::decided::{Orders, Waits};
use super::till::Till;
use crate::bench::board::{Asked, Part};
use crate::fast::{self, Barrage, Volley};

/// Orders made ready per second of the measurement: twice what is asked.
const READY_PER_S: u64 = 10_000;
const UNITS: i64 = 10_000_000;

/// Measures both; returns also the orders per second that were accepted and decided.
pub(super) async fn measure(run: &Run<'_>) -> anyhow::Result<(Vec<Part>, f64)> {
    let orders = Orders::open(run.stack).await?;
    let yes = best(run, &orders, UNITS).await?;
    let no = best(run, &orders, 1).await?;
    let per_s = yes.decided_per_s();
    let mut part = Part::new("orders: POST /api/orders through the gateway, one hot product");
    part.asked("accepted with 202", yes.volley.per_s(), "orders/s", Asked::AtLeast(5_000.0));
    part.asked("accepted, decided and told", per_s, "orders/s", Asked::AtLeast(5_000.0));
    yes.show(&mut part);
    let mut sold_out = Part::new("the same after the last unit is gone");
    let times = no.decided_per_s() / per_s;
    sold_out.asked("accepted and refused, beside the rate above", times, "×", Asked::AtLeast(2.0));
    sold_out.seen("accepted with 202", no.volley.per_s(), "orders/s");
    sold_out.seen("accepted, refused and told", no.decided_per_s(), "orders/s");
    no.show(&mut sold_out);
    Ok((vec![part, sold_out], per_s))
}

struct Placed {
    volley: Volley,
    /// Until the last one was decided.
    took: Duration,
    waits: Waits,
    spent: Spent,
}

impl Placed {
    fn decided_per_s(&self) -> f64 {
        self.volley.count() as f64 / self.took.as_secs_f64()
    }

    fn show(&self, part: &mut Part) {
        let ms = |quantile| self.volley.latency.value_at_quantile(quantile) as f64 / 1e3;
        part.seen("202, p50", ms(0.5), "ms");
        part.seen("202, p99", ms(0.99), "ms");
        part.seen("accepted → decided, p50", self.waits.p50_ms, "ms");
        part.seen("accepted → decided, p99", self.waits.p99_ms, "ms");
        self.spent.show(part, self.volley.count());
        if let Some(why) = &self.volley.failure {
            part.asked("orders not accepted", self.volley.failed as f64, "", Asked::AtMost(0.0));
            part.note(why.clone());
        }
    }
}

async fn best(run: &Run<'_>, orders: &Orders, units: i64) -> anyhow::Result<Placed> {
    let mut best = None::<Placed>;
    for _ in 0..run.args.rounds {
        let placed = one(run, orders, units).await?;
        if best.as_ref().is_none_or(|best| best.decided_per_s() < placed.decided_per_s()) {
            best = Some(placed);
        }
    }
    Ok(best.expect("at least one round"))
}

async fn one(run: &Run<'_>, orders: &Orders, units: i64) -> anyhow::Result<Placed> {
    let count = usize::try_from(READY_PER_S * run.time.as_secs())?;
    let warm = usize::from(run.args.connections);
    let mut till = Till::open(run, units, count + warm).await?;
    // Made before: signing would take from the machine what is measured.
    let ready: Vec<Arc<[u8]>> = till.orders(count).collect();
    let barrage = |requests: Box<dyn Iterator<Item = Arc<[u8]>> + Send>, time| {
        let to = fast::address(&run.stack.gateways()[0])?;
        anyhow::Ok(Barrage { to, requests, connections: warm, time, rate: None })
    };
    // The product becomes known, connections are made, the last unit goes.
    fast::fire(barrage(Box::new(till.orders(warm)), None)?).await?;
    orders.settled().await?;
    let (cost, begun) = (Cost::begin(run.stack)?, Instant::now());
    let volley = fast::fire(barrage(Box::new(ready.into_iter()), Some(run.time))?).await?;
    orders.settled().await?;
    let (took, spent) = (begun.elapsed(), cost.end()?);
    ensure!(volley.count() > 0, "no order was accepted: {}", volley.failure.unwrap_or_default());
    let waits = orders.waits(till.sale.product).await?;
    till.close(run).await?;
    Ok(Placed { spent: spent.with_generator(volley.cpu_s), volley, took, waits })
}
