//! Joins and places at one queue-server over HTTP, and what a join costs Redis.

use std::net::SocketAddr;
use std::time::Duration;

use common::clock::Clock;
use common::redis::Connections;

use super::Run;
use super::echo::Echo;
use super::script::{self, Scripts};
use crate::account::{self, Login};
use crate::bench::board::{Asked, Part};
use crate::bench::process::{Cpu, Process};
use crate::fast::{self, Barrage, Volley};
use crate::http::Net;
use crate::sale::{self, Terms};

/// Limits are measured for this share of the time.
const SHORTER: u32 = 3;

/// Nobody is asked to come back later than this.
const POLL_MAX: Duration = Duration::from_secs(11);

/// A measurement, and what each side took from the machine meanwhile.
struct Measured {
    volley: Volley,
    server: Cpu,
    redis: Cpu,
    scripts: Scripts,
}

impl Measured {
    /// Microseconds of processor time per request.
    fn micros(&self, cpu_s: f64) -> f64 {
        cpu_s * 1e6 / self.volley.count().max(1) as f64
    }

    fn show(&self, part: &mut Part) {
        let ms = |quantile| self.volley.latency.value_at_quantile(quantile) as f64 / 1e3;
        part.seen("p50", ms(0.5), "ms");
        part.seen("p99", ms(0.99), "ms");
        part.seen("queue-server, in the program", self.micros(self.server.user), "µs CPU/request");
        part.seen("queue-server, in the kernel", self.micros(self.server.system), "µs CPU/request");
        part.seen("Redis, all told", self.micros(self.redis.total()), "µs CPU/request");
        part.seen("generator", self.micros(self.volley.cpu_s), "µs CPU/request");
        show_failure(&self.volley, part);
    }
}

fn show_failure(volley: &Volley, part: &mut Part) {
    if let Some(why) = &volley.failure {
        part.asked("requests that failed", volley.failed as f64, "", Asked::AtMost(0.0));
        part.note(why.clone());
    }
}

/// The room that all this happens in.
struct Room<'a> {
    run: &'a Run<'a>,
    server: SocketAddr,
    path: String,
    logins: Vec<Login>,
    redis: Connections,
    pids: (Process, Process),
}

/// Measures all of it.
pub(super) async fn measure(run: &Run<'_>) -> anyhow::Result<Vec<Part>> {
    let net = Net::new(1);
    let logins = account::numbered(run.stack, 0..run.args.accounts as usize, &Clock::system())?;
    // Nobody is let in meanwhile: every registration is one in a line that only grows.
    let terms =
        Terms { units: 1, limit: 1, count: 1, interval_s: 3_600, delay_s: 86_400, ..Terms::default() };
    let sale = sale::register(run.stack, net.agent(0), terms).await?;
    sale::joinable(run.stack, net.agent(0), &sale, &logins[0]).await?;
    let room = Room {
        run,
        server: run.server()?,
        path: format!("/api/queue/{}", sale.product),
        logins,
        redis: run.stack.redis().await?,
        pids: (Process::of(run.stack, "queue-server")?, Process::of(run.stack, "redis")?),
    };
    let http = room.echoes().await?;
    let (joins, script) = room.joins().await?;
    let places = room.places().await?;
    sale::withdraw(run.stack, net.agent(0), &sale).await?;
    Ok(vec![http, joins, script, places])
}

impl Room<'_> {
    fn barrage(&self, method: &str, time: Option<Duration>) -> Barrage {
        let each = |login: &Login| fast::request(method, &self.path, Some(&login.token), "");
        let once: Vec<_> = self.logins.iter().map(each).collect();
        Barrage {
            to: self.server,
            // Over and over while there is time.
            requests: if time.is_some() {
                Box::new(once.into_iter().cycle())
            } else {
                Box::new(once.into_iter())
            },
            connections: self.run.args.connections.into(),
            time,
            rate: None,
        }
    }

    async fn fire(&self, method: &str, time: Option<Duration>) -> anyhow::Result<Measured> {
        let (server, redis) = self.pids;
        let barrage = self.barrage(method, time);
        let before = (server.cpu()?, redis.cpu()?, Scripts::now(&self.redis).await?);
        let volley = fast::fire(barrage).await?;
        Ok(Measured {
            volley,
            server: server.cpu()?.since(before.0),
            redis: redis.cpu()?.since(before.1),
            scripts: Scripts::now(&self.redis).await?.since(before.2),
        })
    }

    /// Registrations, and beside them the bare script.
    async fn joins(&self) -> anyhow::Result<(Part, Part)> {
        let mut http = Part::new("joins: POST /api/queue/{productId} at one queue-server");
        let cold = self.fire("POST", None).await?;
        let (mut best, mut each, mut log) = (None::<Measured>, f64::MAX, 0.0);
        let (mut bare_each, mut bare_per_s) = (f64::MAX, 0.0_f64);
        let mut calls = 0.0;
        for _ in 0..self.run.args.rounds {
            let warm = self.fire("POST", Some(self.run.time)).await?;
            let count = warm.volley.count().max(1) as f64;
            if warm.scripts.whole.micros / count < each {
                each = warm.scripts.whole.micros / count;
                log = warm.scripts.log.micros / count;
                calls = count / warm.scripts.whole.calls.max(1.0);
            }
            if best.as_ref().is_none_or(|best| best.volley.per_s() < warm.volley.per_s()) {
                best = Some(warm);
            }
            let before = Scripts::now(&self.redis).await?;
            let bare = script::bare(&self.redis, self.run.time / SHORTER, self.logins.len()).await?;
            let spent = Scripts::now(&self.redis).await?.since(before).whole;
            bare_each = bare_each.min(spent.micros / spent.calls.max(1.0));
            bare_per_s = bare_per_s.max(bare.per_s());
        }
        let best = best.expect("at least one round");
        http.asked("identities already seen", best.volley.per_s(), "joins/s", Asked::AtLeast(25_000.0));
        best.show(&mut http);
        http.seen("identities not seen before", cold.volley.per_s(), "joins/s");
        show_failure(&cold.volley, &mut http);

        let mut redis = Part::new("Redis time of a join: scripts by INFO commandstats, divided by joins");
        redis.asked("join, beside the bare script", each / bare_each, "×", Asked::AtMost(2.0));
        redis.seen("the same without the log", (each - log) / bare_each, "×");
        redis.seen("join", each, "µs");
        redis.seen("of it the log (XADD)", log, "µs");
        redis.seen("bare script: INCR + ZADD", bare_each, "µs");
        redis.seen("joins per script call", calls, "");
        redis.seen("bare script from one process", bare_per_s, "calls/s");
        Ok((http, redis))
    }

    /// Looks at a place, by people who wait: each of them once, when it is time to ask again. Whoever asks before is
    /// answered with the room's next look, and so waits.
    async fn places(&self) -> anyhow::Result<Part> {
        let mut part = Part::new("places: GET /api/queue/{productId} at one queue-server, people who wait");
        let mut best = None::<Measured>;
        for _ in 0..self.run.args.rounds {
            let polls = self.fire("GET", None).await?;
            if best.as_ref().is_none_or(|best| best.volley.per_s() < polls.volley.per_s()) {
                best = Some(polls);
            }
            tokio::time::sleep(POLL_MAX).await;
        }
        let best = best.expect("at least one round");
        part.asked("identities already seen", best.volley.per_s(), "places/s", Asked::AtLeast(40_000.0));
        best.show(&mut part);
        Ok(part)
    }

    /// The price of asking.
    async fn echoes(&self) -> anyhow::Result<Part> {
        let mut part = Part::new("limits of this machine: the generator against servers that do nothing");
        let echoes =
            [("hyper alone", Echo::bare().await?), ("under the services' plumbing", Echo::in_frame().await?)];
        for (name, echo) in echoes {
            let mut best = None::<(Volley, f64)>;
            let request = fast::request("GET", "/echo/1", Some(&self.logins[0].token), "");
            for _ in 0..self.run.args.rounds {
                let barrage = Barrage {
                    to: echo.address,
                    requests: Box::new(std::iter::repeat(request.clone())),
                    connections: self.run.args.connections.into(),
                    time: Some(self.run.time / SHORTER),
                    rate: None,
                };
                let before = Process::own().cpu()?;
                let volley = fast::fire(barrage).await?;
                // The server is in this process: what the generator's thread did not use is the server's.
                let server = Process::own().cpu()?.since(before).total() - volley.cpu_s;
                if best.as_ref().is_none_or(|(best, _)| best.per_s() < volley.per_s()) {
                    best = Some((volley, server));
                }
            }
            let (volley, server) = best.expect("at least one round");
            let micros = |cpu_s: f64| cpu_s * 1e6 / volley.count().max(1) as f64;
            part.seen(name, volley.per_s(), "requests/s");
            part.seen(format!("{name}: server"), micros(server), "µs CPU/request");
            part.seen(format!("{name}: generator"), micros(volley.cpu_s), "µs CPU/request");
            show_failure(&volley, &mut part);
        }
        Ok(part)
    }
}
