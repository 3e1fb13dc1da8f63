//! A sale's waiting room, by its log in the topic.

use anyhow::Context as _;

use super::check::Check;
use super::line::Grid;
use super::log::{Logs, Proof};
use super::rush::Case;
use crate::sale::Sale;
use crate::stack::Stack;

const AREA: &str = "room";

/// The timetable that a sale was registered with.
fn grid(sale: &Sale) -> Grid {
    Grid {
        opens_at_ms: sale.opens_at.timestamp_millis(),
        interval_ms: i64::from(sale.terms.interval_s) * 1_000,
        count: sale.terms.count,
    }
}

/// The whole log of the sale's room, once all of it is in the topic.
pub(super) async fn read(stack: &Stack, case: &Case) -> anyhow::Result<Proof> {
    let product = case.sale.product;
    let logs = Logs::new(Some(product), Some(grid(&case.sale)));
    let mut proofs = logs.read(stack, case.marks.rooms()).await?;
    proofs.remove(&product).context("the room's log")
}

/// What the log must show.
pub(super) fn checks(proof: &Proof) -> Vec<Check> {
    let somebody = Check::one(AREA, "somebody was let in", proof.story.called > 0, "nobody");
    proof.checks().into_iter().chain([somebody]).collect()
}
