//! The progress line on standard error: rewritten in place on a terminal, a plain line now and then
//! elsewhere.

use std::convert::Infallible;
use std::io::{IsTerminal as _, Write as _, stderr};
use std::time::Duration;

use tokio::time::Instant;

use crate::notes::{Notes, Stage};

const BAR: usize = 24;
const ON_TERMINAL: Duration = Duration::from_millis(200);
const ELSEWHERE: Duration = Duration::from_secs(3);

/// Shows where the shoppers are until the caller drops it.
pub(crate) async fn show(notes: &Notes, shoppers: usize, start: Instant) -> Infallible {
    let on_terminal = stderr().is_terminal();
    let mut beat = tokio::time::interval(if on_terminal { ON_TERMINAL } else { ELSEWHERE });
    loop {
        beat.tick().await;
        let line = line(notes, shoppers, start.elapsed());
        // A reader that went away is no reason to stop.
        if on_terminal {
            write!(stderr(), "\r{line}\x1b[K").ok();
        } else {
            writeln!(stderr(), "{line}").ok();
        }
    }
}

/// Ends the line, so that what follows begins on its own.
pub(crate) fn end() {
    if stderr().is_terminal() {
        writeln!(stderr()).ok();
    }
}

fn line(notes: &Notes, shoppers: usize, at: Duration) -> String {
    let (paid, home) = (notes.at(Stage::Paid), notes.at(Stage::Home));
    let full = ((paid + home) * BAR).checked_div(shoppers).unwrap_or(BAR);
    format!(
        "{:>5.1} s [{}{}] coming {}, waiting {}, inside {}, ordered {}, paid {paid}, went without {home}",
        at.as_secs_f64(),
        "#".repeat(full.min(BAR)),
        ".".repeat(BAR - full.min(BAR)),
        notes.at(Stage::Coming),
        notes.at(Stage::Waiting),
        notes.at(Stage::Inside),
        notes.at(Stage::Ordered),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bar_fills_as_shoppers_end() {
        let notes = Notes::new(4);
        notes.moved(Stage::Coming, Stage::Paid);
        notes.moved(Stage::Coming, Stage::Home);
        let line = line(&notes, 4, Duration::from_millis(1_500));
        assert!(line.contains("[############............]"), "{line}");
        assert!(line.contains("coming 2") && line.contains("paid 1"), "{line}");
    }
}
