//! Logins through the gateway, beside what argon2 alone allows on the same machine: the hash is what a login is made of,
//! and everything else should cost next to nothing beside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use argon2::{Algorithm, Argon2, Block, Params, Version};
use common::wire::user::{LoginView, UserView};
use serde_json::json;
use uuid::Uuid;

use super::board::{Asked, Board, Part};
use super::cost::{Cost, Spent};
use super::load;
use super::process::Process;
use crate::http::{Call, Net};
use crate::stack::Stack;

/// Accounts that log in; each has its turn, as a shopper has.
const ACCOUNTS: usize = 64;
const PASSWORD: &str = "right-horse-1";
/// Rounds of both, one in the midst of the other, so that both see the same machine. The best counts: other work on the
/// machine only takes away.
const ROUNDS: u32 = 3;
/// Processes that a login is the work of, and those that only run beside it.
const WAY: [&str; 8] = ["user", "gateway", "postgres", "redis", "kafka", "order", "product", "queue-server"];
/// Of what argon2 alone allows.
const SHARE: f64 = 0.9;

/// Measures it.
pub(super) async fn run(stack: &Stack, time: Duration) -> anyhow::Result<Board> {
    let cores = std::thread::available_parallelism()?.get();
    // For each core one at work, one that waits, and two on their way: nobody is turned away, and no core waits for a
    // request.
    let workers = 4 * cores;
    let net = Net::new(workers);
    let gateway = &stack.gateways()[0];
    let login_ids: Arc<[String]> = sign_up(&net, gateway, workers).await?.into();
    let mut best: Option<Round> = None;
    for _ in 0..ROUNDS {
        let alone = hashes(cores, time / ROUNDS / 2).await?;
        let cost = Cost::along(stack, &WAY)?;
        let own = Process::own().cpu()?.total();
        let (net, login_ids, url) =
            (net.clone(), Arc::clone(&login_ids), format!("{gateway}/api/auth/login"));
        let logins = load::run(workers, time / ROUNDS, move |worker, number| {
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
        let alone = f64::midpoint(alone, hashes(cores, time / ROUNDS / 2).await?);
        let round = Round { alone, logins: logins.per_s(), count: logins.count(), spent };
        if best.as_ref().is_none_or(|best| round.share() > best.share()) {
            best = Some(round);
        }
    }
    let Round { alone, logins, count, spent } = best.context("nothing was measured")?;
    let mut part = Part::new("logins: right passwords, over HTTP through the gateway");
    part.seen(format!("argon2id, 19 MiB, 2 passes, on {cores} threads, nothing else"), alone, "hashes/s");
    part.seen("processor time of one of these", cores as f64 / alone * 1e6, "µs CPU/hash");
    part.seen(format!("logins by {workers} people at once"), logins, "logins/s");
    spent.show_for_each(&mut part, count, "µs CPU/login");
    part.asked("logins per hash", logins / alone, "", Asked::AtLeast(SHARE));
    part.note("all of these share the cores with the hashes: where database, gateway and generator have their own, what counts is user beside one hash");
    Ok(Board::new(vec![part]))
}

/// Logins, and hashes before and after them.
struct Round {
    alone: f64,
    logins: f64,
    count: u64,
    spent: Spent,
}

impl Round {
    fn share(&self) -> f64 {
        self.logins / self.alone
    }
}

/// Makes the accounts and gives back what they log in with.
async fn sign_up(net: &Net, gateway: &str, workers: usize) -> anyhow::Result<Vec<String>> {
    let run = Uuid::new_v4().simple().to_string();
    let login_ids: Vec<String> = (0..ACCOUNTS).map(|number| format!("b{}{number:03}", &run[..6])).collect();
    for some in login_ids.chunks(workers) {
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

/// Passwords hashed per second by argon2 and nothing else, each thread in memory of its own.
async fn hashes(threads: usize, time: Duration) -> anyhow::Result<f64> {
    let params = Params::new(19 * 1024, 2, 1, None).context("argon2")?;
    let blocks = params.block_count();
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let work = move || {
        let (count, start) = (AtomicU64::new(0), Instant::now());
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
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
