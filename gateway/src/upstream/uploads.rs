//! Long bodies on their way to one service: each holds a line there while it comes. Where all lines are held, the slowest
//! body gives way to one that is quicker, so that nobody keeps others out by taking their time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::body::Progress;

/// Lines. Each costs the service a connection and what has arrived of a body.
const LINES: usize = 64;
/// A body that comes as fast keeps its line. A whole MiB at this pace takes 16 s, so that who is slower hardly gets done in
/// the time that a body may take; and whoever wants to hold all lines has to send 4 MiB/s.
const BYTES_PER_S: f64 = 65_536.0;

/// One service's lines. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Uploads(Arc<Mutex<Vec<Arc<Progress>>>>);

/// A body's line, until it is dropped.
#[derive(Debug)]
pub struct Line {
    of: Uploads,
    body: Arc<Progress>,
}

impl Uploads {
    /// A line for this body; `None` where all are held by bodies that are as quick.
    pub(super) fn line(&self, body: Arc<Progress>) -> Option<Line> {
        let mut held = self.held();
        if held.len() >= LINES {
            let pace = body.pace().min(BYTES_PER_S);
            let waited_for = held.iter().enumerate().filter(|(_, other)| other.is_waited_for());
            let slower = waited_for.map(|(n, other)| (n, other.pace())).filter(|(_, other)| *other < pace);
            let (slowest, _) = slower.min_by(|(_, one), (_, other)| one.total_cmp(other))?;
            held.swap_remove(slowest).give_way();
        }
        held.push(Arc::clone(&body));
        Some(Line { of: self.clone(), body })
    }

    fn held(&self) -> MutexGuard<'_, Vec<Arc<Progress>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.of.held().retain(|body| !Arc::ptr_eq(body, &self.body));
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Waker};

    use super::*;
    use crate::body::Fault;

    const FAST: u64 = 1 << 40;

    /// A body of which so much has come, and whose client is waited for.
    fn body(bytes: u64) -> Arc<Progress> {
        let body = Arc::new(Progress::default());
        body.came(bytes);
        assert_eq!(body.wait(&Context::from_waker(Waker::noop())), None);
        body
    }

    #[test]
    fn the_slowest_gives_way_to_who_is_quicker() {
        let uploads = Uploads::default();
        let bodies: Vec<_> = (0..LINES).map(|n| body(if n == 7 { 0 } else { 1 })).collect();
        let lines: Vec<_> = bodies.iter().map(|body| uploads.line(Arc::clone(body)).unwrap()).collect();
        assert!(uploads.line(body(0)).is_none(), "nobody is slower");
        let quick = uploads.line(body(FAST)).unwrap();
        for (n, body) in bodies.iter().enumerate() {
            assert_eq!(body.fault(), (n == 7).then_some(Fault::GaveWay), "{n}");
        }
        // Its line was passed on: its end frees none.
        drop(lines);
        assert_eq!(uploads.held().len(), 1);
        drop(quick);
        assert_eq!(uploads.held().len(), 0);
    }

    #[test]
    fn who_is_quick_enough_keeps_the_line_and_so_does_who_waits_for_the_service() {
        let uploads = Uploads::default();
        let lines = (1..LINES).map(|_| uploads.line(body(FAST)).unwrap());
        let untaken = Arc::new(Progress::default());
        let lines: Vec<_> = lines.chain(uploads.line(Arc::clone(&untaken))).collect();
        assert!(uploads.line(body(2 * FAST)).is_none());
        assert_eq!(untaken.fault(), None);
        drop(lines);
        assert!(uploads.line(body(0)).is_some());
    }
}
