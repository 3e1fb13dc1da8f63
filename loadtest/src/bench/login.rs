//! Logins through the gateway, beside what argon2 alone allows: the hash is what a login is made of, and everything else
//! should cost next to nothing beside it. The service has a core of its own, so that database, broker and generator take
//! nothing from what it is measured against; how it is where all share all cores is shown beside.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use common::wire::user::{LoginView, UserView};
use nix::sched::CpuSet;
use serde_json::json;
use uuid::Uuid;

use super::apart::Apart;
use super::board::{Asked, Board, Part};
use super::cost::{Cost, Spent};
use super::load;
use super::process::Process;
use crate::http::{Call, Net};
use crate::stack::Stack;

/// Accounts that log in; each has its turn, as a shopper has.
const ACCOUNTS: usize = 64;
const PASSWORD: &str = "right-horse-1";
/// For each core one at work, one that waits, and two on their way: nobody is turned away, and no core waits for a request.
const IN_FLIGHT: usize = 4;
/// Rounds of each, logins in the midst of hashes, so that both see the same machine. The middle one counts.
const ROUNDS: u32 = 3;
/// Processes that a login is the work of, and those that only run beside it.
const WAY: [&str; 8] = ["user", "gateway", "postgres", "redis", "kafka", "order", "product", "queue-server"];
/// Of what argon2 alone allows.
const SHARE: f64 = 0.9;

/// Measures it.
pub(super) async fn run(stack: &Stack, time: Duration) -> anyhow::Result<Board> {
    let threads = std::thread::available_parallelism()?.get();
    let net = Net::new(IN_FLIGHT * threads);
    let crowd = Crowd { login_ids: sign_up(&net, &stack.gateways()[0]).await?.into(), net };
    let (shop, time) = ((stack, &crowd), time / ROUNDS / 2);
    let (mut apart, mut together) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        apart.push(round(shop, threads, time, Some(Apart::of(stack, "user")?)).await?);
        together.push(round(shop, threads, time, None).await?);
    }
    let (apart, together) = middle(apart).zip(middle(together)).context("nothing was measured")?;
    let mut own = Part::new("logins: right passwords, over HTTP through the gateway; a core for user alone");
    apart.show(&mut own);
    own.asked("logins per hash", apart.share(), "", Asked::AtLeast(SHARE));
    let mut shared = Part::new("the same where all processes share all cores");
    together.show(&mut shared);
    shared.seen("logins per hash", together.share(), "");
    shared.note("what the broker, the other services and the generator take is missing to the hashes here");
    Ok(Board::new(vec![own, shared]))
}

/// The round with the middle share.
fn middle(mut rounds: Vec<Round>) -> Option<Round> {
    rounds.sort_by(|one, other| one.share().total_cmp(&other.share()));
    rounds.into_iter().nth((ROUNDS / 2) as usize)
}

/// Who logs in, and over which connections.
struct Crowd {
    login_ids: Arc<[String]>,
    net: Net,
}

/// Logins, and hashes before and after them.
struct Round {
    /// Hashes at once: the service computes one for each core of the machine.
    threads: usize,
    /// Cores that they were computed on.
    cores: usize,
    alone: f64,
    logins: f64,
    count: u64,
    spent: Spent,
}

impl Round {
    fn share(&self) -> f64 {
        self.logins / self.alone
    }

    fn show(&self, part: &mut Part) {
        let Self { threads, cores, alone, logins, count, spent } = self;
        let name = format!("argon2id, 19 MiB, 2 passes, {threads} at once, cores: {cores}");
        part.seen(name, *alone, "hashes/s");
        part.seen("processor time of one of these", *cores as f64 / alone * 1e6, "µs CPU/hash");
        part.seen(format!("logins by {} people at once", IN_FLIGHT * threads), *logins, "logins/s");
        spent.show_for_each(part, *count, "µs CPU/login");
    }
}

/// Hashes, logins, and hashes again, on all cores or on the one that user has for itself. As many hashes at once as the
/// service computes: two that share a core's cache are slower than one after the other.
async fn round(
    (stack, crowd): (&Stack, &Crowd),
    threads: usize,
    time: Duration,
    apart: Option<Apart>,
) -> anyhow::Result<Round> {
    let core = apart.as_ref().map(Apart::core);
    let workers = IN_FLIGHT * threads;
    let before = hashes(threads, core, time / 2).await?;
    let cost = Cost::along(stack, &WAY)?;
    let own = Process::own().cpu()?.total();
    let (net, login_ids) = (crowd.net.clone(), Arc::clone(&crowd.login_ids));
    let url = format!("{}/api/auth/login", stack.gateways()[0]);
    let logins = load::run(workers, time, move |worker, number| {
        let login_id = &login_ids[(number * workers + worker) % login_ids.len()];
        let call = Call::post(&url).json(&json!({"loginId": login_id, "password": PASSWORD}));
        let agent = net.agent(worker).clone();
        async move {
            agent.send(&call).await?.success::<LoginView>("login")?;
            Ok(true)
        }
    })
    .await;
    let spent = cost.end()?.with_generator(Process::own().cpu()?.total() - own);
    ensure!(logins.failed == 0, "{} logins failed: {:?}", logins.failed, logins.failure);
    // What comes before and after is the same machine.
    let alone = f64::midpoint(before, hashes(threads, core, time / 2).await?);
    let cores = if core.is_some() { 1 } else { threads };
    Ok(Round { threads, cores, alone, logins: logins.per_s(), count: logins.count(), spent })
}

/// Makes the accounts and gives back what they log in with.
async fn sign_up(net: &Net, gateway: &str) -> anyhow::Result<Vec<String>> {
    let run = Uuid::new_v4().simple().to_string();
    let login_ids: Vec<String> = (0..ACCOUNTS).map(|number| format!("b{}{number:03}", &run[..6])).collect();
    for some in login_ids.chunks(IN_FLIGHT) {
        let calls = some.iter().enumerate().map(|(number, login_id)| {
            let call = Call::post(format!("{gateway}/api/auth/signup")).json(&json!({
                "loginId": login_id, "password": PASSWORD, "username": "bench", "nickname": "bench",
                "phoneNumber": "000-0000-0000", "shippingAddress": "Nowhere 1", "role": "CUSTOMER",
            }));
            let agent = net.agent(number);
            async move { agent.send(&call).await?.success::<UserView>("sign-up") }
        });
        futures::future::try_join_all(calls).await?;
    }
    Ok(login_ids)
}

/// Passwords hashed per second by argon2 and nothing else, each thread in memory of its own, all on `core` if there is one.
async fn hashes(threads: usize, core: Option<CpuSet>, time: Duration) -> anyhow::Result<f64> {
    let params = Params::new(19 * 1024, 2, 1, None).context("argon2")?;
    let blocks = params.block_count();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let work = move || {
        let (count, start) = (AtomicU64::new(0), Instant::now());
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    core.iter().for_each(Apart::enter);
                    let (mut memory, mut hash) = (vec![Block::new(); blocks], [0; 32]);
                    while start.elapsed() < time {
                        let (password, salt) = (PASSWORD.as_bytes(), b"sixteen bytes of");
                        let done =
                            argon2.hash_password_into_with_memory(password, salt, &mut hash, &mut memory[..]);
                        count.fetch_add(u64::from(done.is_ok()), Ordering::Relaxed);
                    }
                });
            }
        });
        count.into_inner() as f64 / start.elapsed().as_secs_f64()
    };
    Ok(tokio::task::spawn_blocking(work).await?)
}
