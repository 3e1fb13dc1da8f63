//! Waiting in tests: an assertion is tried again until it holds or its time is over.

use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(20);

/// Tries `attempt` until it succeeds and returns what it found. The only sleep in tests.
///
/// # Panics
/// With the last error, when `limit` is over.
pub async fn eventually<T>(limit: Duration, mut attempt: impl AsyncFnMut() -> anyhow::Result<T>) -> T {
    let deadline = Instant::now() + limit;
    loop {
        match attempt().await {
            Ok(found) => return found,
            Err(error) if Instant::now() >= deadline => panic!("not within {limit:?}: {error:#}"),
            Err(_) => sleep(PAUSE).await,
        }
    }
}
