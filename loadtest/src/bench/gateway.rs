//! What a request costs the gateway, against what it costs the service behind: requests per second of
//! processor time.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use common::clock::Clock;
use common::wire::queue::Place;

use super::load::{self, Load};
use super::{Figure, Figures};
use crate::account::{self, Login};
use crate::http::{Call, Net};
use crate::sale::{self, Terms};
use crate::stack::Stack;

const WORKERS: usize = 64;
const SHOPPERS_MAX: usize = 1_000;
/// Linux counts processor time in hundredths of a second, on every architecture.
const TICKS_PER_S: f64 = 100.0;

/// Measures it.
pub(super) async fn run(stack: &Stack, time: Duration) -> anyhow::Result<Figures> {
    let shoppers = stack.shoppers.count.clamp(1, SHOPPERS_MAX);
    let logins: Arc<[Login]> = account::logins(stack, shoppers, &Clock::system())?.into();
    let net = Net::new(WORKERS);
    let terms = Terms { units: 1, limit: 1, count: 1, interval_s: 3_600, delay_s: 86_400 };
    let sale = sale::register(stack, net.agent(0), terms).await?;
    sale::joinable(stack, net.agent(0), &sale, &logins[0]).await?;
    let path = format!("/api/queue/{}", sale.product);
    let server = stack.queue_server.first().context("stack.json names no queue-server")?;
    let (gateway, behind) = (pid(stack, "gateway")?, pid(stack, "queue-server")?);

    // Once each, so that both sides have seen every identity.
    asked(&net, format!("{}{path}", stack.gateways()[0]), &logins, time.min(Duration::from_secs(2))).await;
    let before = (cpu_s(gateway)?, cpu_s(behind)?);
    let through = asked(&net, format!("{}{path}", stack.gateways()[0]), &logins, time).await;
    let between = (cpu_s(gateway)?, cpu_s(behind)?);
    let direct = asked(&net, format!("{server}{path}"), &logins, time).await;
    let after = cpu_s(behind)?;
    sale::withdraw(stack, net.agent(0), &sale).await?;

    let per_cpu_s =
        |load: &Load, from: f64, to: f64| load.count() as f64 / (to - from).max(1.0 / TICKS_PER_S);
    let mut further = through.figures("through the gateway");
    further.push(Figure::new("through the gateway", through.per_s(), "requests/s"));
    let service = per_cpu_s(&through, before.1, between.1);
    further.push(Figure::new("queue-server behind the gateway", service, "requests per CPU-s"));
    further.extend(direct.figures("straight at the service"));
    further.push(Figure::new("straight at the service", direct.per_s(), "requests/s"));
    Ok(Figures::new(
        "gateway: GET /api/queue/{productId} with an identity already seen",
        Figure::new("gateway", per_cpu_s(&through, before.0, between.0), "requests per CPU-s"),
        Figure::new(
            "queue-server, same route without gateway",
            per_cpu_s(&direct, between.1, after),
            "requests per CPU-s",
        ),
        further,
    ))
}

async fn asked(net: &Net, url: String, logins: &Arc<[Login]>, time: Duration) -> Load {
    let (net, logins) = (net.clone(), Arc::clone(logins));
    load::run(WORKERS, time, move |worker, number| {
        let login = &logins[(number * WORKERS + worker) % logins.len()];
        let (call, agent) = (Call::get(&url).bearer(&login.token), net.agent(worker).clone());
        async move {
            agent.send(&call).await?.success::<Place>("place")?;
            Ok(true)
        }
    })
    .await
}

fn pid(stack: &Stack, service: &str) -> anyhow::Result<u32> {
    let first = format!("{service}-1");
    let pid = stack.pids.get(&first).or_else(|| stack.pids.get(service));
    pid.copied().with_context(|| format!("stack.json names no pid of {service}"))
}

/// Processor time that a process has used, in seconds.
fn cpu_s(pid: u32) -> anyhow::Result<f64> {
    let path = format!("/proc/{pid}/stat");
    let text = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    ticks(&text).map(|ticks| ticks / TICKS_PER_S).context(path)
}

/// User and system time: the 14th and 15th field. The second, the name in brackets, may hold blanks.
fn ticks(stat: &str) -> Option<f64> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let field = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    Some(field(14)? + field(15)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processor_time_is_read_past_any_name() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194560 1 0 0 0 250 50 0 0 20 0 4 0";
        assert_eq!(ticks(stat), Some(300.0));
    }
}
