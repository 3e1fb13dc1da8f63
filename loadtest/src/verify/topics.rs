//! The log between the services: every reserve was decided, once, and the numbers in the decisions add up.

use std::collections::{BTreeMap, HashMap, HashSet};

use anyhow::Context as _;
use common::config::Kafka;
use common::kafka::reader::{Offsets, Reader};
use common::wire::event::{
    Event, Outcome, QUEUE_EVENTS, Refusal, STOCK_COMMANDS, STOCK_DECISIONS, StockCommand, StockDecided, Topic,
};
use common::wire::id::{OrderId, ProductId};

use super::{Case, Check};
use crate::stack::Stack;

const AREA: &str = "topics";

/// Ends of the topics' partitions at some moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Marks(BTreeMap<&'static str, Offsets>);

impl Marks {
    /// The ends now.
    pub(crate) async fn now(stack: &Stack) -> anyhow::Result<Self> {
        let kafka = stack.kafka();
        let read = move || {
            let end = |topic: Topic| Ok((topic.name, Reader::new(&kafka, topic)?.ends()?));
            [STOCK_COMMANDS, STOCK_DECISIONS, QUEUE_EVENTS]
                .into_iter()
                .map(end)
                .collect::<anyhow::Result<_>>()
        };
        Ok(Self(tokio::task::spawn_blocking(read).await??))
    }

    /// The ends of the rooms' topic.
    pub(super) fn rooms(&self) -> Offsets {
        self.0.get(QUEUE_EVENTS.name).cloned().unwrap_or_default()
    }
}

/// What both topics hold of one product since the marks, in their order.
#[derive(Debug, Default)]
pub(super) struct Log {
    commands: Vec<StockCommand>,
    decisions: Vec<StockDecided>,
}

/// Reads both topics from the marks to their present ends.
pub(super) async fn read(stack: &Stack, case: &Case) -> anyhow::Result<Log> {
    let kafka = stack.kafka();
    let (product, marks) = (case.sale.product, case.marks.clone());
    let read = move || {
        let commands = records::<StockCommand>(&kafka, product, &marks)?;
        let decisions = records::<StockDecided>(&kafka, product, &marks)?;
        Ok(Log { commands, decisions })
    };
    tokio::task::spawn_blocking(read).await?
}

/// One product's records of a topic, which all stand in one partition.
fn records<T: Event>(kafka: &Kafka, product: ProductId, marks: &Marks) -> anyhow::Result<Vec<T>> {
    let from = marks.0.get(T::TOPIC.name).cloned().unwrap_or_default();
    let mut events = Vec::new();
    Reader::new(kafka, T::TOPIC)?.to_end(&from, |record| {
        if record.key.parse() == Ok(product) {
            events.push(
                serde_json::from_slice(record.bytes)
                    .with_context(|| format!("a record of {}", T::TOPIC.name))?,
            );
        }
        Ok(())
    })?;
    Ok(events)
}

type Answer = (Outcome, Option<Refusal>);

/// What must hold of the log.
pub(super) fn checks(log: &Log) -> Vec<Check> {
    let mut answers: HashMap<(OrderId, i32), Answer> = HashMap::new();
    let mut changed = Vec::new();
    for decision in log.decisions.iter().flat_map(|record| &record.decisions) {
        let answer = (decision.result, decision.reason);
        let first = *answers.entry((decision.order_id, decision.attempt)).or_insert(answer);
        if first != answer {
            changed.push(format!("{}: {first:?}, then {answer:?}", decision.order_id));
        }
    }
    let asked: HashSet<(OrderId, i32)> = log
        .commands
        .iter()
        .filter_map(|command| match command {
            StockCommand::Reserve(reserve) => Some((reserve.order_id, reserve.attempt)),
            _ => None,
        })
        .collect();
    let undecided = asked.iter().filter(|reserve| !answers.contains_key(reserve)).map(|(order, _)| order);
    let unasked = answers.keys().filter(|reserve| !asked.contains(reserve)).map(|(order, _)| order);
    let adds_up = |record: &&StockDecided| {
        let StockDecided { total, available, reserved, sold, .. } = record;
        available + reserved + sold == *total && [available, reserved, sold].iter().all(|n| **n >= 0)
    };
    let wrong = log.decisions.iter().filter(|record| !adds_up(record)).map(|record| record.last);
    // A relay that was killed sends its last records again: only the first of each counts.
    let mut known = HashSet::new();
    let firsts: Vec<i64> =
        log.decisions.iter().map(|record| record.last).filter(|last| known.insert(*last)).collect();
    let backwards = firsts.windows(2).filter(|pair| pair[1] < pair[0]).map(|pair| pair[1]);
    let found = format!("{} commands, {} decisions", log.commands.len(), log.decisions.len());
    vec![
        Check::one(AREA, "the run stands in the log", !asked.is_empty() && !answers.is_empty(), found),
        Check::new(AREA, "every reserve is decided", undecided),
        Check::new(AREA, "only reserves are decided", unasked),
        Check::new(AREA, "a reserve is decided in one way", changed),
        Check::new(AREA, "units in every decision add up", wrong),
        Check::new(AREA, "decisions follow the commands' order", backwards),
    ]
}

#[cfg(test)]
mod tests {
    use common::wire::event::{Decision, Reserve};
    use common::wire::id::UserId;

    use super::*;

    fn reserve(order: OrderId) -> StockCommand {
        let at = chrono::DateTime::UNIX_EPOCH;
        let (product_id, user_id) = (ProductId(1), UserId(1));
        let reserve =
            Reserve { product_id, order_id: order, attempt: 1, user_id, quantity: 1, price_version: 1, at };
        StockCommand::Reserve(reserve)
    }

    fn decided(order: OrderId, last: i64, result: Outcome) -> StockDecided {
        let decisions = vec![Decision { order_id: order, attempt: 1, result, reason: None }];
        let product_id = ProductId(1);
        StockDecided {
            product_id,
            first: last,
            last,
            total: 2,
            available: 1,
            reserved: 1,
            sold: 0,
            decisions,
        }
    }

    fn broken(log: &Log) -> Vec<&'static str> {
        checks(log).iter().filter(|check| check.broken > 0).map(|check| check.rule).collect()
    }

    #[test]
    fn a_decided_reserve_is_clean_also_when_its_record_came_twice() {
        let order = OrderId::new();
        let once = decided(order, 5, Outcome::Reserved);
        let log = Log { commands: vec![reserve(order)], decisions: vec![once.clone(), once] };
        assert!(broken(&log).is_empty());
    }

    #[test]
    fn a_forgotten_and_an_invented_reserve_are_found() {
        let log = Log {
            commands: vec![reserve(OrderId::new())],
            decisions: vec![decided(OrderId::new(), 5, Outcome::Reserved)],
        };
        assert_eq!(broken(&log), ["every reserve is decided", "only reserves are decided"]);
    }

    #[test]
    fn a_decision_that_changes_its_mind_and_numbers_that_do_not_add_up_are_found() {
        let order = OrderId::new();
        let second = StockDecided { sold: 7, ..decided(order, 6, Outcome::Rejected) };
        let decisions = vec![decided(order, 5, Outcome::Reserved), second];
        let log = Log { commands: vec![reserve(order)], decisions };
        assert_eq!(broken(&log), ["a reserve is decided in one way", "units in every decision add up"]);
    }
}
