//! Ranks in the memory of a process that follows a room.

use std::hint::black_box;
use std::time::Instant;

use queue_server::live::line::Line;

use super::Run;
use crate::bench::board::{Asked, Part};

/// Sweeps; the best counts.
const SWEEPS: u32 = 20;
/// Ranks asked for one by one.
const RANKS: u64 = 1_000_000;

/// Measures it.
pub(super) fn measure(run: &Run<'_>) -> Part {
    let waiters = u64::from(run.args.waiters);
    let mut line = Line::default();
    // Every tenth has left: a line of holes is what the middle of a sale looks like.
    let tickets: Vec<u64> = (1..).filter(|ticket| ticket % 10 != 0).take(run.args.waiters as usize).collect();
    for ticket in &tickets {
        line.insert(*ticket);
    }
    let mut best = f64::MAX;
    for _ in 0..SWEEPS {
        let began = Instant::now();
        black_box(tickets.iter().map(|ticket| line.rank(*ticket)).fold(0, u64::wrapping_add));
        best = best.min(began.elapsed().as_secs_f64());
    }
    let began = Instant::now();
    // Jumps about, as requests do.
    let asked = (0..RANKS).map(|number| number.wrapping_mul(0x9E37_79B9) % waiters);
    black_box(asked.map(|ticket| line.rank(ticket)).fold(0, u64::wrapping_add));
    let one = began.elapsed().as_secs_f64() * 1e9 / RANKS as f64;

    let mut part = Part::new("ranks in memory");
    part.seen("waiters", waiters as f64, "");
    part.asked("all ranks in one sweep", best * 1e3, "ms", Asked::AtMost(10.0));
    part.seen("one rank, anywhere", one, "ns");
    part
}
