//! What a request costs the gateway, against what it costs the service behind: requests per second of
//! processor time.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use common::clock::Clock;
use common::wire::queue::Place;

use super::load::{self, Load};
use super::process::{Cpu, Process};
use super::{Figure, Figures};
use crate::account::{self, Login};
use crate::http::{Call, Net};
use crate::sale::{self, Terms};
use crate::stack::Stack;

const WORKERS: usize = 64;
const SHOPPERS_MAX: usize = 1_000;

/// Measures it.
pub(super) async fn run(stack: &Stack, time: Duration) -> anyhow::Result<Figures> {
    let shoppers = stack.shoppers.count.clamp(1, SHOPPERS_MAX);
    let logins: Arc<[Login]> = account::logins(stack, shoppers, &Clock::system())?.into();
    let net = Net::new(WORKERS);
    let terms =
        Terms { units: 1, limit: 1, count: 1, interval_s: 3_600, delay_s: 86_400, ..Terms::default() };
    let sale = sale::register(stack, net.agent(0), terms).await?;
    sale::joinable(stack, net.agent(0), &sale, &logins[0]).await?;
    let path = format!("/api/queue/{}", sale.product);
    let server = stack.queue_server.first().context("stack.json names no queue-server")?;
    let (gateway, behind) = (Process::of(stack, "gateway")?, Process::of(stack, "queue-server")?);

    // Once each, so that both sides have seen every identity.
    asked(&net, format!("{}{path}", stack.gateways()[0]), &logins, time.min(Duration::from_secs(2))).await;
    let before = (gateway.cpu()?, behind.cpu()?);
    let through = asked(&net, format!("{}{path}", stack.gateways()[0]), &logins, time).await;
    let between = (gateway.cpu()?, behind.cpu()?);
    let direct = asked(&net, format!("{server}{path}"), &logins, time).await;
    let after = behind.cpu()?;
    sale::withdraw(stack, net.agent(0), &sale).await?;

    let per_cpu_s = |load: &Load, from: Cpu, to: Cpu| load.count() as f64 / to.since(from).total();
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
