//! The end of a process: everything that runs is named, counted, told to stop and awaited.

use std::future::Future;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::{CancellationToken, WaitForCancellationFuture};
use tokio_util::task::TaskTracker;

/// A second signal, or this long after the first, ends the process hard.
pub const DRAIN_MAX: Duration = Duration::from_secs(9);

/// Tells tasks to stop and waits for them. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    token: CancellationToken,
    tasks: TaskTracker,
}

impl Stop {
    /// A stop that only [`Stop::stop`] sets off.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A stop that SIGINT and SIGTERM set off; the second one ends the process at once.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    pub fn on_signals() -> std::io::Result<Self> {
        let stop = Self::new();
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        let seen = stop.clone();
        // Not tracked: it must outlive every task that it tells to stop.
        #[expect(clippy::disallowed_methods, reason = "the tracker would wait for this task for ever")]
        tokio::spawn(async move {
            for signals in 1.. {
                tokio::select! { _ = interrupt.recv() => {}, _ = terminate.recv() => {} }
                if signals > 1 {
                    std::process::exit(130);
                }
                tracing::info!("stopping");
                seen.stop();
            }
        });
        Ok(stop)
    }

    /// Runs `task` beside the rest. It must return soon after [`Stop::stopped`]; its end is logged when early.
    pub fn spawn(&self, name: &'static str, task: impl Future<Output = ()> + Send + 'static) {
        let token = self.token.clone();
        let named = async move {
            task.await;
            if !token.is_cancelled() {
                tracing::debug!(task = name, "task ended");
            }
        };
        #[expect(clippy::disallowed_methods, reason = "the one place that spawns tracked tasks")]
        tokio::spawn(self.tasks.track_future(named));
    }

    /// Completes when it is time to stop.
    pub fn stopped(&self) -> WaitForCancellationFuture<'_> {
        self.token.cancelled()
    }

    /// Whether it is time to stop.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.token.is_cancelled()
    }

    /// Tells everything to stop.
    pub fn stop(&self) {
        self.token.cancel();
    }

    /// Waits for `pause`, or for the stop. Returns false when stopped.
    pub async fn pause(&self, pause: Duration) -> bool {
        tokio::select! { () = tokio::time::sleep(pause) => true, () = self.stopped() => false }
    }

    /// Waits until every task has ended, at most [`DRAIN_MAX`].
    pub async fn drained(&self) {
        self.tasks.close();
        if tokio::time::timeout(DRAIN_MAX, self.tasks.wait()).await.is_err() {
            tracing::warn!(tasks = self.tasks.len(), "tasks did not end in time");
        }
    }
}
