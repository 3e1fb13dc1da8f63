//! Registrations per second at one queue-server, against what a script of two commands reaches on the same
//! Redis.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use common::clock::Clock;
use common::redis::{Connections, Script};
use common::wire::queue::Place;

use super::load::{self, Load};
use super::{Figure, Figures};
use crate::account::{self, Login};
use crate::http::{Call, Net};
use crate::sale::{self, Terms};
use crate::stack::Stack;

const WORKERS: usize = 64;
/// Accounts that join again and again.
const SHOPPERS_MAX: usize = 2_000;
/// The first join of every account takes at most this long.
const COLD_MAX: Duration = Duration::from_secs(60);
/// The least that a registration has to do: draw a number, put it in the line.
const BARE: &str = "local t = redis.call('INCR', KEYS[1]) redis.call('ZADD', KEYS[2], t, ARGV[1]) return t";
/// Keys of the bare script; removed at the end.
const BARE_KEYS: [&str; 2] = ["loadtest:{bare}:tickets", "loadtest:{bare}:line"];

/// Measures it.
pub(super) async fn run(stack: &Stack, time: Duration) -> anyhow::Result<Figures> {
    let shoppers = stack.shoppers.count.clamp(1, SHOPPERS_MAX);
    let logins: Arc<[Login]> = account::logins(stack, shoppers, &Clock::system())?.into();
    let net = Net::new(WORKERS);
    // Nobody is let in meanwhile: every registration is one in a line that only grows.
    let terms = Terms { units: 1, limit: 1, count: 1, interval_s: 3_600, delay_s: 86_400 };
    let sale = sale::register(stack, net.agent(0), terms).await?;
    sale::joinable(stack, net.agent(0), &sale, &logins[0]).await?;
    let server = stack.queue_server.first().context("stack.json names no queue-server")?;
    let url = format!("{server}/api/queue/{}", sale.product);
    let redis = stack.redis().await?;

    let cold = over_http(&net, &url, &logins, COLD_MAX, true).await;
    let before = ScriptTime::now(&redis).await?;
    let warm = over_http(&net, &url, &logins, time, false).await;
    let between = ScriptTime::now(&redis).await?;
    let bare = bare(&redis, time).await?;
    let after = ScriptTime::now(&redis).await?;
    sale::withdraw(stack, net.agent(0), &sale).await?;

    let mut further = warm.figures("join");
    further.push(Figure::new(
        "first join of each account: identity not seen before",
        cold.per_s(),
        "joins/s",
    ));
    further.extend(bare.figures("bare script"));
    further.push(Figure::new("Redis time per script call while joining", before.per_call(&between), "µs"));
    further.push(Figure::new("Redis time per call of the bare script", between.per_call(&after), "µs"));
    Ok(Figures::new(
        "join: POST /api/queue/{productId} straight at one queue-server, identities already seen",
        Figure::new("joins over HTTP", warm.per_s(), "joins/s"),
        Figure::new("INCR + ZADD in one script on the same Redis", bare.per_s(), "calls/s"),
        further,
    ))
}

/// Joins until the time is over, or once per account.
async fn over_http(net: &Net, url: &str, logins: &Arc<[Login]>, time: Duration, once: bool) -> Load {
    let (net, url, logins) = (net.clone(), url.to_owned(), Arc::clone(logins));
    load::run(WORKERS, time, move |worker, number| {
        let turn = number * WORKERS + worker;
        let login = if once { logins.get(turn) } else { logins.get(turn % logins.len()) };
        let call = login.map(|login| Call::post(&url).bearer(&login.token));
        let agent = net.agent(worker).clone();
        async move {
            let Some(call) = call else { return Ok(false) };
            agent.send(&call).await?.success::<Place>("join")?;
            Ok(true)
        }
    })
    .await
}

async fn bare(redis: &Connections, time: Duration) -> anyhow::Result<Load> {
    let script = Script::new(BARE);
    let connections = redis.clone();
    let load = load::run(WORKERS, time, move |worker, number| {
        let (script, redis) = (script.clone(), connections.clone());
        async move {
            let user = (number * WORKERS + worker) % SHOPPERS_MAX;
            let keys = BARE_KEYS.map(String::from).to_vec();
            script.run::<i64>(&redis, keys, vec![user.to_string().into()]).await?;
            Ok(true)
        }
    })
    .await;
    redis.delete(BARE_KEYS.map(String::from).to_vec()).await?;
    Ok(load)
}

/// What the server spent on scripts since it started.
#[derive(Debug, Default)]
struct ScriptTime {
    calls: f64,
    micros: f64,
}

impl ScriptTime {
    async fn now(redis: &Connections) -> anyhow::Result<Self> {
        let text: String = redis.command_stats().await?;
        Ok(Self::read(&text))
    }

    /// Reads `cmdstat_evalsha:calls=1,usec=2,…`; zero while no script has run.
    fn read(text: &str) -> Self {
        let line = text.lines().find_map(|line| line.strip_prefix("cmdstat_evalsha:")).unwrap_or_default();
        let field = |name: &str| {
            let value = line.split(',').find_map(|field| field.strip_prefix(name)?.strip_prefix('='));
            value.and_then(|value| value.trim().parse().ok()).unwrap_or(0.0)
        };
        Self { calls: field("calls"), micros: field("usec") }
    }

    fn per_call(&self, later: &Self) -> f64 {
        (later.micros - self.micros) / (later.calls - self.calls).max(1.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn script_time_is_read_from_the_servers_figures() {
        let text = "# Commandstats\r\ncmdstat_eval:calls=9,usec=9\r\ncmdstat_evalsha:calls=10,usec=150,usec_per_call=15\r\n";
        let (none, some) = (ScriptTime::read(""), ScriptTime::read(text));
        assert!((none.per_call(&some) - 15.0).abs() < 1e-9);
    }
}
