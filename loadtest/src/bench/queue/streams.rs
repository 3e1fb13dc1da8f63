//! A crowd on live streams: what it takes from the server, how soon the next one learns of a free place, and how soon
//! all learn that nothing is left.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use common::clock::Clock;
use common::wire::queue::{Place, QueueState, TokenView};
use hdrhistogram::Histogram;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::time::{Instant, interval, timeout};

use super::Run;
use super::crowds::{Crowds, FILES_KEPT};
use crate::account::{self, Login};
use crate::bench::board::{Asked, Part};
use crate::bench::process::{Cpu, Process};
use crate::http::{Call, Net};
use crate::notes::{End, Notes, Stage, histogram};
use crate::plan::Plan;
use crate::sale::{self, Sale, Terms};
use crate::shopper::{Market, Shopper};

/// What is asked for is asked for this many.
const ASKED_FOR: f64 = 100_000.0;
/// People inside at once: the buyer, and those who leave one after the other.
const INSIDE: u32 = 20;
/// Units, all of which the buyer takes at once.
const UNITS: u32 = 100;
/// Between two places that are given up.
const PACE: Duration = Duration::from_millis(250);
/// Somebody who asked is there after this time.
const HEARD_WITHIN: Duration = Duration::from_secs(2);
/// News come within this time, or not at all.
const NEWS_MAX: Duration = Duration::from_secs(30);
/// A server keeps its memory for a while; what is left after this was not given back.
const QUIET: Duration = Duration::from_secs(6);
const GB: f64 = 1e9;

/// Measures it.
pub(super) async fn measure(run: &Run<'_>) -> anyhow::Result<Part> {
    let mut part = Part::new("live streams: GET /api/queue/{productId}/live");
    let streams = possible(run, &mut part)?;
    let servers = Process::all(run.stack, "queue-server");
    ensure!(!servers.is_empty(), "stack.json names no pid of queue-server");
    let net = Net::new(2);
    let clock = Clock::system();
    let buyer = account::numbered(run.stack, 0..1, &clock)?.swap_remove(0);
    let terms = Terms {
        units: UNITS.into(),
        limit: UNITS,
        count: 100_000,
        interval_s: 1,
        delay_s: 86_400,
        capacity: Some(INSIDE),
        ..Terms::default()
    };
    let sale = sale::register(run.stack, net.agent(0), terms).await?;
    sale::joinable(run.stack, net.agent(0), &sale, &buyer).await?;
    let url = format!("{}/api/queue/{}", run.stack.queue_server[0], sale.product);
    net.agent(0).send(&Call::post(&url).bearer(&buyer.token)).await?.success::<Place>("join")?;

    let empty = resident(&servers)?;
    let mut crowds = Crowds::start(run, &sale, streams)?;
    crowds.joined().await?;
    let joined = resident(&servers)?;
    let took = crowds.opened().await?;
    tokio::time::sleep(QUIET).await;
    let open = crowds.tally().open;
    ensure!(open > 0, "no stream is open: {}", crowds.tally().failure.unwrap_or_default());
    let full = resident(&servers)?;
    let each = (full - joined) / open as f64;
    part.seen("streams open", open as f64, "");
    part.seen("opened within", took.as_secs_f64(), "s");
    part.seen("queue-server before anybody joined", empty / GB, "GB");
    part.seen("memory per stream", each, "B");
    part.asked("queue-server with all streams", full / GB, "GB", Asked::AtMost(2.0));
    if (open as f64) < ASKED_FOR {
        let all = joined + each * ASKED_FOR;
        part.asked("computed from it: with 100,000 streams", all / GB, "GB", Asked::AtMost(2.0));
    }

    let mut room = Room { run, net: &net, sale: &sale, url, crowds, clock, streams: open, gone: 0 };
    let still = room.idle(&servers).await?;
    part.seen("queue-server while nothing moves", still, "cores");
    room.open(&buyer).await?;
    room.move_on(&servers, &mut part).await?;
    room.sell_out(buyer, &mut part).await?;
    let tally = room.crowds.tally();
    part.seen("queue-server at the end", resident(&servers)? / GB, "GB");
    if tally.failed > 0 {
        part.asked("streams that failed", tally.failed as f64, "", Asked::AtMost(0.0));
        part.note(tally.failure.unwrap_or_default());
    }
    room.crowds.go_home().await?;
    sale::withdraw(run.stack, net.agent(0), &sale).await?;
    Ok(part)
}

/// How many streams the servers' limits of open files allow.
fn possible(run: &Run<'_>, part: &mut Part) -> anyhow::Result<usize> {
    let asked = run.args.streams as usize;
    let servers = Process::all(run.stack, "queue-server");
    let each = servers.iter().map(|server| server.files_max().saturating_sub(FILES_KEPT)).min();
    let most = each.context("stack.json names no pid of queue-server")? * servers.len();
    if most < asked {
        part.note(format!(
            "{asked} streams wanted, {most} possible: a process may open {} files here, and {} queue-server run",
            servers[0].files_max(),
            servers.len()
        ));
    }
    Ok(asked.min(most))
}

fn resident(servers: &[Process]) -> anyhow::Result<f64> {
    servers.iter().map(|server| server.resident()).sum()
}

fn cpu(servers: &[Process]) -> anyhow::Result<f64> {
    let each: Vec<Cpu> = servers.iter().map(|server| server.cpu()).collect::<anyhow::Result<_>>()?;
    Ok(each.into_iter().map(|cpu| cpu.user + cpu.system).sum())
}

struct Room<'a> {
    run: &'a Run<'a>,
    net: &'a Net,
    sale: &'a Sale,
    url: String,
    crowds: Crowds,
    clock: Clock,
    /// Open at the start.
    streams: usize,
    /// People who gave up their places.
    gone: usize,
}

impl Room<'_> {
    /// Cores that the open streams take while there is nothing to tell.
    async fn idle(&mut self, servers: &[Process]) -> anyhow::Result<f64> {
        let (start, before) = (Instant::now(), cpu(servers)?);
        tokio::time::sleep(QUIET).await;
        Ok((cpu(servers)? - before) / start.elapsed().as_secs_f64())
    }

    /// Opens the sale; the buyer, first in the line, takes the token.
    async fn open(&mut self, buyer: &Login) -> anyhow::Result<()> {
        let place = Call::get(&self.url).bearer(&buyer.token);
        let token = Call::post(format!("{}/token", self.url)).bearer(&buyer.token);
        // Whoever was silent while the streams were opened is away, and passed over: the buyer shows up first.
        self.net.agent(0).send(&place).await?;
        tokio::time::sleep(HEARD_WITHIN).await;
        sale::open(self.run.stack, self.net.agent(0), self.sale).await?;
        let claimed = async {
            let mut beat = interval(PACE);
            loop {
                beat.tick().await;
                // Somebody without a stream is there as long as they ask.
                self.net.agent(0).send(&place).await?;
                if self.net.agent(0).send(&token).await?.success::<TokenView>("token").is_ok() {
                    return anyhow::Ok(());
                }
            }
        };
        timeout(NEWS_MAX, claimed).await.context("the first in the line is not let in")?
    }

    /// One place after the other is given up, and the next one in the line is told.
    async fn move_on(&mut self, servers: &[Process], part: &mut Part) -> anyhow::Result<()> {
        // A place is told again and again: the first time counts.
        let (mut ready, mut called) = (VecDeque::new(), HashSet::new());
        while ready.len() + 1 < INSIDE as usize {
            let told = self.crowds.next(Instant::now() + NEWS_MAX).await?;
            let (person, state, _) = told.context("those with a place are not told that they are ready")?;
            if state == QueueState::Ready && called.insert(person) {
                ready.push_back(person);
            }
        }
        let mut free = VecDeque::new();
        let mut latency: Histogram<u64> = histogram();
        let time = Duration::from_secs(self.run.args.moving_s.into());
        let (start, before, seen) = (Instant::now(), cpu(servers)?, self.crowds.tally());
        let mut pace = interval(PACE);
        while start.elapsed() < time {
            tokio::select! {
                _ = pace.tick() => {
                    let Some(person) = ready.pop_front() else { continue };
                    free.push_back(self.clock.now().timestamp_micros());
                    self.gone += 1;
                    self.leave(person).await?;
                }
                told = self.crowds.next(start + time) => {
                    let Some((person, QueueState::Ready, at)) = told? else { continue };
                    if !called.insert(person) {
                        continue;
                    }
                    if let Some(since) = free.pop_front() {
                        latency.saturating_record(u64::try_from(at - since).unwrap_or(0));
                    }
                    ready.push_back(person);
                }
            }
        }
        let took = start.elapsed().as_secs_f64();
        let (cores, now) = ((cpu(servers)? - before) / took, self.crowds.tally());
        let places = (now.places - seen.places) as f64 / took;
        let ms = |quantile| latency.value_at_quantile(quantile) as f64 / 1e3;
        part.asked("queue-server while the line moves", cores, "cores", Asked::AtMost(0.3));
        part.seen("places told meanwhile", places, "1/s");
        part.seen("one of them", (now.bytes - seen.bytes) as f64 / took / places.max(1.0), "B");
        part.seen("places given up", self.gone as f64, "");
        part.seen("free place → the next one is told, p50", ms(0.5), "ms");
        part.asked("free place → the next one is told, p99", ms(0.99), "ms", Asked::AtMost(500.0));
        let untold = self.gone as f64 - latency.len() as f64;
        // The last one may still be on its way.
        part.asked("given up, and nobody told", untold, "", Asked::AtMost(2.0));
        Ok(())
    }

    async fn leave(&self, person: usize) -> anyhow::Result<()> {
        let login = account::numbered(self.run.stack, person..person + 1, &self.clock)?.swap_remove(0);
        let answer = self.net.agent(1).send(&Call::delete(&self.url).bearer(&login.token)).await?;
        ensure!(answer.status.is_success(), "giving up a place: {}", answer.outcome());
        Ok(())
    }

    /// The buyer orders and pays everything; all who are left are told.
    async fn sell_out(&mut self, buyer: Login, part: &mut Part) -> anyhow::Result<()> {
        // Whoever gave up a place is not in the line any more.
        let waiting = self.streams - self.gone;
        let start = self.clock.now().timestamp_micros();
        let began = Instant::now();
        let end = self.buy(buyer).await;
        ensure!(end == End::Paid, "the buyer's journey: {}", end.name());
        let bought = began.elapsed();
        let (mut told, mut first, mut last) = (HashSet::new(), None, start);
        let until = Instant::now() + NEWS_MAX;
        while told.len() < waiting {
            let Some((person, state, at)) = self.crowds.next(until).await? else { break };
            if state == QueueState::SoldOut && told.insert(person) {
                first.get_or_insert(at);
                last = at;
            }
        }
        let after = |at: i64| (at - start) as f64 / 1e6 - bought.as_secs_f64();
        let (all, wait) = ((last - start) as f64 / 1e6, after(last));
        part.seen("last unit sold → the first of them is told", first.map_or(0.0, after), "s");
        part.asked("last unit sold → all are told", wait, "s", Asked::AtMost(2.0));
        part.seen("from the order's first request on", all, "s");
        part.asked("not told within 30 s", (waiting - told.len()) as f64, "", Asked::AtMost(0.0));
        Ok(())
    }

    async fn buy(&self, login: Login) -> End {
        let market = Arc::new(Market {
            gateways: self.run.stack.gateways().to_vec(),
            sandbox: self.run.stack.payment_sandbox.clone(),
            product: self.sale.product,
            start: Instant::now(),
            deadline: Instant::now() + NEWS_MAX,
            notes: Notes::new(1),
        });
        let plan = Plan {
            arrival: Duration::ZERO,
            quantity: UNITS,
            taste: 0,
            twice: false,
            rejoins: false,
            declined: false,
            pays: true,
            seed: 0,
        };
        let (agent, dice) = (self.net.agent(0).clone(), StdRng::seed_from_u64(0));
        Shopper { plan, login, agent, gateway: 0, market, dice, stage: Stage::Coming }.shop().await
    }
}
