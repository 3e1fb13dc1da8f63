//! Reads a waiting room's log from Redis, from the first step to the last.

use std::collections::HashMap;

use anyhow::{Context as _, ensure};
use common::wire::id::ProductId;
use common::wire::queue::Step;
use serde_json::{Map, Value};

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
            steps.push(step(fields).with_context(|| format!("step {id} of {key}"))?);
        }
    }
    ensure!(!steps.is_empty(), "{key} is empty");
    Ok(steps)
}

/// A step from its fields, whose values are text.
fn step(fields: &HashMap<String, String>) -> anyhow::Result<Step> {
    let value = |name: &str, text: &str| match name {
        "step" => Value::from(text),
        _ => serde_json::from_str(text).unwrap_or_else(|_| Value::from(text)),
    };
    let object: Map<String, Value> =
        fields.iter().map(|(name, text)| (name.clone(), value(name, text))).collect();
    Ok(serde_json::from_value(Value::Object(object))?)
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

#[cfg(test)]
mod tests {
    use common::wire::id::{Ticket, UserId};
    use common::wire::queue::StepKind;

    use super::*;

    #[test]
    fn a_step_is_read_from_text_fields() {
        let fields = [("step", "ready"), ("at", "1763690000123"), ("user", "7"), ("ticket", "3")];
        let fields = fields.into_iter().chain([("interval", "0"), ("count", "20"), ("byHand", "true")]);
        let fields = fields.map(|(name, text)| (name.to_owned(), text.to_owned())).collect();
        let wanted = Step {
            step: StepKind::Ready,
            at: 1_763_690_000_123,
            user: Some(UserId(7)),
            ticket: Some(Ticket(3)),
            interval: Some(0),
            count: Some(20),
            by_hand: true,
        };
        assert_eq!(step(&fields).unwrap(), wanted);
    }
}
