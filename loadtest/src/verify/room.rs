//! Reads a waiting room's log from Redis, from the first step to the last.

use anyhow::{Context as _, ensure};
use common::wire::id::ProductId;
use common::wire::queue::Step;

use super::Check;
use super::line::{Grid, Story};
use crate::sale::Sale;
use crate::stack::Stack;

const AREA: &str = "room";
/// Entries read at once.
const PAGE: u64 = 5_000;

/// The timetable that a sale was registered with.
pub(super) fn grid(sale: &Sale) -> Grid {
    Grid {
        opens_at_ms: sale.opens_at.timestamp_millis(),
        interval_ms: i64::from(sale.terms.interval_s) * 1_000,
        count: sale.terms.count,
    }
}

/// The whole log of a room.
pub(super) async fn read(stack: &Stack, product: ProductId) -> anyhow::Result<Vec<Step>> {
    let redis = stack.redis().await?;
    let key = format!("room:{{{product}}}:log");
    let mut steps = Vec::new();
    let mut from = "-".to_owned();
    loop {
        let page = redis.entries(&key, &from, PAGE).await.context("the room's log")?;
        let Some((last, _)) = page.last() else { break };
        // An id in round brackets is left out itself.
        from = format!("({last}");
        for (id, fields) in &page {
            steps.push(Step::from_fields(fields).with_context(|| format!("step {id} of {key}"))?);
        }
    }
    ensure!(!steps.is_empty(), "{key} is empty");
    Ok(steps)
}

/// What the log must show.
pub(super) fn checks(story: &Story) -> Vec<Check> {
    vec![
        Check::new(AREA, "nobody is let in before somebody who stood before them", &story.inversions),
        Check::new(AREA, "nobody is let in before the opening", &story.early),
        Check::new(AREA, "no interval lets in more than its budget and what came back", &story.over_budget),
        Check::new(AREA, "one live ticket per account", &story.doubles),
        Check::new(AREA, "tickets only rise", &story.stale),
        Check::new(AREA, "every step follows from the ones before", &story.strays),
        Check::one(AREA, "somebody was let in", story.called > 0, "nobody"),
    ]
}
