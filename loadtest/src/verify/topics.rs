//! The log between the services: every reserve was decided, once, and the numbers in the decisions add up.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::time::Duration;

use anyhow::{Context as _, ensure};
use common::config::Kafka;
use common::kafka::consumer::read as decode;
use common::wire::event::{
    Event, Outcome, Refusal, STOCK_COMMANDS, STOCK_DECISIONS, StockCommand, StockDecided, Topic,
};
use common::wire::id::{OrderId, ProductId};
use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::{Message as _, Offset, TopicPartitionList};
use tokio::time::Instant;

use super::{Case, Check};
use crate::stack::Stack;

const AREA: &str = "topics";
/// The broker answers within this, or the run cannot be judged.
const BROKER_MAX: Duration = Duration::from_secs(20);
/// Between two questions to a broker that has no answer yet.
const AGAIN: Duration = Duration::from_millis(100);

/// Ends of the stock topics' partitions at some moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Marks(BTreeMap<(&'static str, i32), i64>);

impl Marks {
    /// The ends now.
    pub(crate) async fn now(stack: &Stack) -> anyhow::Result<Self> {
        let kafka = stack.kafka();
        let read = move || {
            let consumer = consumer(&kafka)?;
            let mut marks = Self::default();
            for topic in [STOCK_COMMANDS, STOCK_DECISIONS] {
                for partition in 0..topic.partitions {
                    let end = end(&consumer, &kafka.topic(topic), partition).context("Kafka")?;
                    marks.0.insert((topic.name, partition), end);
                }
            }
            Ok(marks)
        };
        tokio::task::spawn_blocking(read).await?
    }
}

/// Where a partition ends now. One of a topic just made has no leader for a moment, so this asks again for a while.
fn end(consumer: &BaseConsumer, topic: &str, partition: i32) -> KafkaResult<i64> {
    let deadline = Instant::now() + BROKER_MAX;
    loop {
        match consumer.fetch_watermarks(topic, partition, BROKER_MAX) {
            Ok((_, end)) => return Ok(end),
            Err(error) if Instant::now() >= deadline => return Err(error),
            Err(_) => std::thread::sleep(AGAIN),
        }
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

fn consumer(kafka: &Kafka) -> anyhow::Result<BaseConsumer> {
    let mut settings = kafka.client();
    // The client library wants a name; nothing is ever committed under it.
    settings
        .set("group.id", "loadtest")
        .set("enable.auto.commit", "false")
        .set("enable.partition.eof", "true");
    Ok(settings.create()?)
}

/// One product's records of a topic, which all stand in one partition.
fn records<T: Event>(kafka: &Kafka, product: ProductId, marks: &Marks) -> anyhow::Result<Vec<T>> {
    let topic: Topic = T::TOPIC;
    let consumer = consumer(kafka)?;
    let mut list = TopicPartitionList::new();
    for partition in 0..topic.partitions {
        let from = marks.0.get(&(topic.name, partition)).copied().unwrap_or(0);
        list.add_partition_offset(&kafka.topic(topic), partition, Offset::Offset(from))?;
    }
    consumer.assign(&list)?;
    let key = product.to_string();
    let mut events = Vec::new();
    let mut ended = HashSet::new();
    let until = Instant::now() + BROKER_MAX;
    while ended.len() < list.count() {
        ensure!(Instant::now() < until, "{} could not be read to its end", topic.name);
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) if message.key() == Some(key.as_bytes()) => {
                let event =
                    decode(&message).map_err(|bad| anyhow::anyhow!("{} of {}", bad.reason, topic.name))?;
                events.push(event);
            }
            Some(Err(KafkaError::PartitionEOF(partition))) => drop(ended.insert(partition)),
            Some(Err(error)) => return Err(error).context(topic.name),
            Some(Ok(_)) | None => {}
        }
    }
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
