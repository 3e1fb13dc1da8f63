//! Work that takes a core: as much at once as there are cores, some waits, and the rest is told to come back. Unbounded, a
//! crowd would take all cores and all memory.

use std::num::NonZeroUsize;
use std::sync::Arc;

use tokio::sync::Semaphore;

/// A bounded pool of the runtime's blocking threads. Clones share it.
#[derive(Debug, Clone)]
pub struct Pool {
    /// One for every piece of work that runs or waits.
    places: Arc<Semaphore>,
    /// One for every piece of work that runs.
    turns: Arc<Semaphore>,
}

/// As much work waits as may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too much work waits")]
pub struct Full;

impl Pool {
    /// A pool that does `at_once` pieces of work and lets `waiting_max` more wait.
    #[must_use]
    pub fn new(at_once: NonZeroUsize, waiting_max: usize) -> Self {
        let at_once = at_once.get();
        let semaphore = |permits: usize| Arc::new(Semaphore::new(permits.min(Semaphore::MAX_PERMITS)));
        Self { places: semaphore(at_once.saturating_add(waiting_max)), turns: semaphore(at_once) }
    }

    /// Does the work when it is its turn.
    ///
    /// # Errors
    /// [`Full`].
    ///
    /// # Panics
    /// When the work does.
    pub async fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Full> {
        let place = Arc::clone(&self.places).try_acquire_owned().map_err(|_| Full)?;
        let turn = Arc::clone(&self.turns).acquire_owned().await.expect("it is never closed");
        // Both go with the work: a client that hangs up does not make room while its work still runs.
        let task = tokio::task::spawn_blocking(move || {
            let result = work();
            drop((place, turn));
            result
        });
        match task.await {
            Ok(result) => Ok(result),
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}
