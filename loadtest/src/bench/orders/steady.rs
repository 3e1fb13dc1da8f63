//! A steady stream of orders, each at its moment however late answers are: time to the decision, and what the memory of
//! the services does meanwhile.

use std::time::Duration;

use tokio::time::Instant;

use super::Run;
use super::cost::Cost;
use super::decided::Orders;
use super::till::Till;
use crate::bench::board::{Asked, Part};
use crate::bench::process::Process;
use crate::fast::{self, Barrage};

const LOOK: Duration = Duration::from_secs(1);
const UNITS: i64 = 10_000_000;
/// Growth is what the last fifth of the run has more than the second: the first one warms caches and pools.
const FIFTHS: usize = 5;
const MIB: f64 = 1_048_576.0;
/// Of the stock's memory per reservation that it remembers, and so much must remain for the table's own growth.
const RESERVATION_MAX: f64 = 256.0;

/// Measures it.
pub(super) async fn measure(run: &Run<'_>, rate: f64) -> anyhow::Result<Part> {
    let time = Duration::from_secs(run.args.steady_s.into());
    let count = (rate * time.as_secs_f64()).ceil() as usize;
    let mut part = Part::new("a steady stream of orders at half of the rate above, none of them paid");
    let orders = Orders::open(run.stack).await?;
    let mut till = Till::open(run, UNITS, count).await?;
    let barrage = Barrage {
        to: fast::address(&run.stack.gateways()[0])?,
        requests: Box::new(till.orders(count)),
        // Enough that a pause of the services does not hold the stream up.
        connections: usize::from(run.args.connections) * 4,
        time: Some(time),
        rate: Some(rate),
    };
    let cost = Cost::begin(run.stack)?;
    let mut weights = Weights::of(run)?;
    let firing = fast::fire(barrage);
    let volley = tokio::select! {
        volley = firing => volley?,
        never = weights.watch() => match never? {},
    };
    orders.settled().await?;
    let spent = cost.end()?.with_generator(volley.cpu_s);
    let waits = orders.waits(till.sale.product).await?;
    till.close(run).await?;
    part.seen("orders per second asked for", rate, "orders/s");
    part.seen("accepted with 202", volley.per_s(), "orders/s");
    let ms = |quantile| volley.latency.value_at_quantile(quantile) as f64 / 1e3;
    part.seen("from its moment to 202, p50", ms(0.5), "ms");
    part.seen("from its moment to 202, p99", ms(0.99), "ms");
    part.asked("accepted → decided, p50", waits.p50_ms, "ms", Asked::AtMost(40.0));
    part.asked("accepted → decided, p99", waits.p99_ms, "ms", Asked::AtMost(250.0));
    part.seen("of them expired meanwhile: nobody paid in time", waits.expired as f64, "orders");
    weights.show(&mut part, waits.orders as f64);
    spent.show(&mut part, volley.count());
    part.asked("orders not accepted", volley.failed as f64, "", Asked::AtMost(0.0));
    part.note(format!("lasted {} s", time.as_secs()));
    part.note("the signing of an access token per order is part of the generator's time");
    volley.failure.into_iter().for_each(|why| part.note(why));
    Ok(part)
}

/// Resident memory over the run.
struct Weights {
    processes: Vec<(&'static str, Process)>,
    seen: Vec<Vec<f64>>,
}

impl Weights {
    fn of(run: &Run<'_>) -> anyhow::Result<Self> {
        let of = |service| Ok::<_, anyhow::Error>((service, Process::of(run.stack, service)?));
        let processes = vec![of("order")?, of("product")?];
        Ok(Self { seen: vec![Vec::new(); processes.len()], processes })
    }

    async fn watch(&mut self) -> anyhow::Result<std::convert::Infallible> {
        let mut next = Instant::now();
        loop {
            for ((_, process), seen) in self.processes.iter().zip(&mut self.seen) {
                seen.push(process.resident()?);
            }
            next += LOOK;
            tokio::time::sleep_until(next).await;
        }
    }

    /// Between the second and the last fifth three fifths of the orders came.
    fn show(&self, part: &mut Part, orders: f64) {
        for ((name, _), seen) in self.processes.iter().zip(&self.seen) {
            let fifth = seen.len() / FIFTHS;
            let mean = |part: &[f64]| part.iter().sum::<f64>() / part.len().max(1) as f64;
            let growth = mean(&seen[seen.len() - fifth..]) - mean(&seen[fifth..2 * fifth]);
            part.seen(format!("{name}: memory at the end"), seen.last().copied().unwrap_or(0.0) / MIB, "MiB");
            if *name == "product" {
                // It remembers every reservation of a sale: that is how it decides without reading.
                let each = growth / (orders * 3.0 / FIFTHS as f64).max(1.0);
                part.asked(
                    "product: growth per reservation that it remembers",
                    each,
                    "B",
                    Asked::AtMost(RESERVATION_MAX),
                );
            } else {
                part.asked(format!("{name}: growth"), growth / MIB, "MiB", Asked::AtMost(10.0));
            }
        }
    }
}
