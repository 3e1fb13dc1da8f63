//! Waiting rooms under fire: instances die every second while people come, look, enter and leave, and the store itself
//! dies. What clients saw and what the topic proves must agree with the rules.

use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use anyhow::ensure;
use common::wire::id::ProductId;
use dev::stack::{Options, Stack};
use serde_json::{Value, json};
use testkit::client::{Answer, Http};
use testkit::eventually;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::shop::{PATIENCE, Sale, Shop};

/// People who come and go at once.
const CROWD: u64 = 60;

/// How long the fire lasts: long enough for several takeovers, or two minutes by `--long`.
fn fire() -> Duration {
    let is_long = std::env::var_os("ASTRAPHE_TEST_LONG").is_some();
    Duration::from_secs(if is_long { 120 } else { 12 })
}

/// What the crowd saw.
#[derive(Debug, Default)]
struct Seen {
    joins: AtomicU64,
    admissions: AtomicU64,
    refusals: AtomicU64,
}

/// Somebody who comes, looks, enters and leaves until told to stop. Fails on an answer that no rule allows, and when
/// a rank rises though its holder did nothing.
async fn somebody(
    http: Http,
    room: String,
    seed: u64,
    over: Arc<AtomicBool>,
    seen: Arc<Seen>,
) -> anyhow::Result<()> {
    let mut rank = u64::MAX;
    let mut turn = seed;
    while !over.load(Ordering::Relaxed) {
        // A walk of its own for each, the same in every run.
        turn = turn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let answer = match turn >> 60 {
            0 | 1 => {
                rank = u64::MAX;
                seen.joins.fetch_add(1, Ordering::Relaxed);
                http.post(&room, &json!({})).await
            }
            2 => {
                rank = u64::MAX;
                http.delete(&room).await
            }
            3..=5 => http.post(&format!("{room}/token"), &json!({})).await,
            _ => http.get(&room).await,
        };
        // An instance that dies takes its answers along.
        let Ok(Answer { status, body, .. }) = answer else {
            rank = u64::MAX;
            continue;
        };
        match status {
            200 if body["token"].is_string() => {
                seen.admissions.fetch_add(1, Ordering::Relaxed);
            }
            // While the store is away nobody knows what it will remember.
            200 if body["reason"] == "roomUnavailable" => rank = u64::MAX,
            200 if body["state"] == "waiting" => {
                let now = body["rank"].as_u64().unwrap_or(u64::MAX);
                ensure!(now <= rank, "from rank {rank} to {body}");
                rank = now;
            }
            200 | 204 | 409 => rank = u64::MAX,
            502..=504 => {
                seen.refusals.fetch_add(1, Ordering::Relaxed);
                // What was asked may have happened.
                rank = u64::MAX;
            }
            _ => anyhow::bail!("{status} {body}"),
        }
    }
    Ok(())
}

/// Replays the room's log from the topic, and asserts that it proves the rules.
fn verify(stack: &Stack, product: ProductId) -> String {
    let output = Command::new(stack.program("loadtest"))
        .args(["verify-queue", "--stack"])
        .arg(stack.json_path())
        .args(["--product", &product.to_string()])
        .stdin(Stdio::null())
        .output()
        .expect("loadtest was built");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let trouble = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}\n{trouble}\nstack: {}", stack.logs().display());
    said
}

/// A sale that lets in ten a second, with turns and admissions that run out while the test looks on.
fn brisk(units: i64) -> Sale {
    let queue = json!({
        "count": 10, "intervalS": 1, "admissionDelayS": 0, "capacity": 40,
        "claimS": 10, "claimPollS": 10, "admissionS": 30,
    });
    Sale { units, queue, ..Sale::default() }
}

/// Lets a crowd come and go while `harm` is done to the platform once a second, in turn.
async fn under_fire(shop: &Shop, product: ProductId, harm: impl Fn(&Stack, usize)) -> Arc<Seen> {
    let (over, seen) = (Arc::new(AtomicBool::new(false)), Arc::new(Seen::default()));
    let room = format!("/api/queue/{product}");
    let mut crowd = JoinSet::new();
    for seed in 1..=CROWD {
        let http = shop.shopper().http;
        crowd.spawn(somebody(http, room.clone(), seed, Arc::clone(&over), Arc::clone(&seen)));
    }
    let (end, mut second) = (Instant::now() + fire(), interval(Duration::from_secs(1)));
    second.set_missed_tick_behavior(MissedTickBehavior::Delay);
    for turn in 0.. {
        second.tick().await;
        if Instant::now() >= end {
            break;
        }
        tokio::task::block_in_place(|| harm(&shop.stack, turn));
    }
    over.store(true, Ordering::Relaxed);
    while let Some(one) = crowd.join_next().await {
        one.expect("nobody panics").expect("every answer follows the rules");
    }
    seen
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_instances_of_which_one_dies_every_second() {
    let options = Options::for_test("rooms-kill").expect("the test servers answer");
    let shop = Shop::open(Options { shoppers: 200, ..options.replicas("queue-server", 2) });
    let product = shop.register(brisk(100_000)).await;
    let seen = under_fire(&shop, product, |stack, turn| {
        let victim = ["queue-server-1", "queue-server-2"][turn % 2];
        stack.kill9(victim).expect("the stack has it");
        stack.restart(victim).expect("it comes back");
    })
    .await;
    assert!(seen.admissions.load(Ordering::Relaxed) > 0, "{seen:?}");
    let proof = verify(&shop.stack, product);
    println!("{seen:?}\n{proof}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_dies_and_comes_back_from_its_file() {
    let options = Options::for_test("rooms-store").expect("the test servers answer").own_servers();
    let shop = Shop::open(Options { shoppers: 200, ..options.replicas("queue-server", 2) });
    let product = shop.register(brisk(100_000)).await;
    let seen = under_fire(&shop, product, |stack, turn| {
        // Down for a second, up for three.
        match turn % 4 {
            2 => stack.kill9("redis").expect("the stack has it"),
            3 => stack.restart("redis").expect("it comes back"),
            _ => {}
        }
    })
    .await;
    assert!(seen.admissions.load(Ordering::Relaxed) > 0, "{seen:?}");
    // It recovers by itself: somebody new gets in or in line.
    let late = shop.shopper();
    eventually(PATIENCE, async || {
        let place: Value = late.join(product).await.expect(200).body;
        ensure!(place["state"] == "waiting" || place["state"] == "admitted", "{place}");
        Ok(())
    })
    .await;
    let proof = verify(&shop.stack, product);
    println!("{seen:?}\n{proof}");
}
