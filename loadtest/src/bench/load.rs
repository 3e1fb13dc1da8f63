//! Closed-loop load: a fixed number of workers, each with one operation at a time, for a fixed time. It finds
//! a rate; latencies under an open load are the rush's business.

use std::time::Duration;

use hdrhistogram::Histogram;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::notes::histogram;

/// What the workers did.
#[derive(Debug)]
pub(super) struct Load {
    /// From the first start to the last end.
    pub(super) took: Duration,
    /// Operations that failed.
    pub(super) failed: u64,
    /// Why the first of them did.
    pub(super) failure: Option<String>,
    latency: Histogram<u64>,
}

impl Load {
    /// Operations that worked.
    pub(super) fn count(&self) -> u64 {
        self.latency.len()
    }

    /// Those per second.
    pub(super) fn per_s(&self) -> f64 {
        self.count() as f64 / self.took.as_secs_f64()
    }
}

/// Runs `operation(worker, n)` on every worker until the time is over, or until it says `Ok(false)`: nothing
/// is left.
pub(super) async fn run<F, Fut>(workers: usize, time: Duration, operation: F) -> Load
where
    F: Fn(usize, usize) -> Fut + Clone + Send + 'static,
    Fut: Future<Output = anyhow::Result<bool>> + Send,
{
    let start = Instant::now();
    let mut set = JoinSet::new();
    for worker in 0..workers {
        let operation = operation.clone();
        set.spawn(async move { work(worker, start + time, operation).await });
    }
    let mut total = Load { took: Duration::ZERO, failed: 0, failure: None, latency: histogram() };
    while let Some(one) = set.join_next().await {
        match one {
            Ok(one) => {
                total.latency.add(&one.latency).expect("both histograms have the same bounds");
                total.failed += one.failed;
                total.failure = total.failure.or(one.failure);
            }
            Err(error) => total.failure = Some(error.to_string()),
        }
    }
    total.took = start.elapsed();
    total
}

async fn work<F, Fut>(worker: usize, until: Instant, operation: F) -> Load
where
    F: Fn(usize, usize) -> Fut,
    Fut: Future<Output = anyhow::Result<bool>>,
{
    let mut load = Load { took: Duration::ZERO, failed: 0, failure: None, latency: histogram() };
    for number in 0.. {
        let began = Instant::now();
        if began >= until {
            break;
        }
        match operation(worker, number).await {
            Ok(true) => {
                let micros = u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX);
                load.latency.saturating_record(micros);
            }
            Ok(false) => break,
            Err(error) => {
                load.failed += 1;
                load.failure.get_or_insert_with(|| format!("{error:#}"));
            }
        }
    }
    load
}
