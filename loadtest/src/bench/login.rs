//! Logins through the gateway, beside what argon2 alone allows on the same machine: the hash is what a login is made of,
//! and everything else should cost next to nothing beside it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher as _, PasswordVerifier as _};
use argon2::{Algorithm, Argon2, Params, Version};
use common::wire::user::{LoginView, UserView};
use serde_json::json;
use uuid::Uuid;

use super::board::{Asked, Board, Part};
use super::load;
use super::process::Process;
use crate::http::{Call, Net};
use crate::stack::Stack;

/// Accounts that log in; each has its turn, as a shopper has.
const ACCOUNTS: usize = 64;
const PASSWORD: &str = "right-horse-1";
/// Rounds of both, one after the other, so that both see the same machine. The best of each counts: other work on the
/// machine only takes away.
const ROUNDS: u32 = 3;
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
    let processes = Process::all(stack, "user");
    let (mut alone, mut through, mut of_service) = (0.0_f64, 0.0_f64, 0.0_f64);
    for _ in 0..ROUNDS {
        alone = alone.max(hashes(cores, time / ROUNDS).await?);
        let before = cpu(&processes)?;
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
        ensure!(logins.failed == 0, "{} logins failed: {:?}", logins.failed, logins.failure);
        through = through.max(logins.per_s());
        of_service = of_service.max(logins.count() as f64 / (cpu(&processes)? - before));
    }
    let mut part = Part::new("logins: right passwords, over HTTP through the gateway");
    part.seen(format!("argon2id, 19 MiB, 2 passes, on {cores} threads, nothing else"), alone, "hashes/s");
    part.seen(format!("logins by {workers} people at once"), through, "logins/s");
    // Where the service has its cores to itself, this is what counts; here the database, the gateway and this program
    // take theirs from the same ones.
    part.seen("logins per CPU-second of the user service", of_service, "1/s");
    part.seen("the same per hash of one core", of_service / (alone / cores as f64), "");
    part.asked("logins per hash", through / alone, "", Asked::AtLeast(SHARE));
    Ok(Board::new(vec![part]))
}

/// CPU-seconds that the processes have used; never nothing.
fn cpu(processes: &[Process]) -> anyhow::Result<f64> {
    processes.iter().map(|process| Ok(process.cpu()?.total())).sum()
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

/// Passwords verified per second by argon2 and nothing else, as a server without any pool would.
async fn hashes(threads: usize, time: Duration) -> anyhow::Result<f64> {
    let params = Params::new(19 * 1024, 2, 1, None).context("argon2")?;
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    let stored = argon2.hash_password(PASSWORD.as_bytes()).context("argon2")?.to_string();
    let work = move || {
        let (count, start) = (AtomicU64::new(0), Instant::now());
        std::thread::scope(|scope| {
            for _ in 0..threads {
                scope.spawn(|| {
                    let stored = PasswordHash::new(&stored).expect("just made");
                    while start.elapsed() < time {
                        let right = argon2.verify_password(PASSWORD.as_bytes(), &stored).is_ok();
                        count.fetch_add(u64::from(right), Ordering::Relaxed);
                    }
                });
            }
        });
        count.into_inner() as f64 / start.elapsed().as_secs_f64()
    };
    Ok(tokio::task::spawn_blocking(work).await?)
}
