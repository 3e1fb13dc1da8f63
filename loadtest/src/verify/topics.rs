//! The log between the services: every command was decided as the log asks, what moved units once, and told.

use std::collections::{BTreeMap, BTreeSet};

use common::config::Kafka;
use common::kafka::reader::{Offsets, Reader, Record};
use common::wire::event::{
    Event, ORDER_EVENTS, OrderChanged, QUEUE_EVENTS, STOCK_COMMANDS, STOCK_DECISIONS, StockCommand,
    StockDecided, Topic,
};
use common::wire::id::ProductId;

use super::answers;
use super::check::Check;
use super::path::Told;
use super::replay::Sale;
use super::stock::{Stage, about, row};
use crate::stack::Stack;

pub(super) const AREA: &str = "topics";

/// Ends of the topics' partitions at some moment; the default is their beginning.
#[derive(Debug, Clone, Default)]
pub(crate) struct Marks(BTreeMap<&'static str, Offsets>);

impl Marks {
    /// The ends now.
    pub(crate) async fn now(stack: &Stack) -> anyhow::Result<Self> {
        let kafka = stack.kafka();
        let read = move || {
            let end = |topic: Topic| Ok((topic.name, Reader::new(&kafka, topic)?.ends()?));
            [STOCK_COMMANDS, STOCK_DECISIONS, ORDER_EVENTS, QUEUE_EVENTS]
                .into_iter()
                .map(end)
                .collect::<anyhow::Result<_>>()
        };
        Ok(Self(tokio::task::spawn_blocking(read).await??))
    }

    /// The ends of the rooms' topic.
    pub(super) fn rooms(&self) -> Offsets {
        self.of(QUEUE_EVENTS)
    }

    fn of(&self, topic: Topic) -> Offsets {
        self.0.get(topic.name).cloned().unwrap_or_default()
    }
}

/// A command as it lies in the topic.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) partition: i32,
    pub(super) offset: i64,
    /// Nothing where it cannot be read or stands under another key than its product's.
    pub(super) command: Option<StockCommand>,
}

/// What the topics hold, in their order.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) commands: Vec<Entry>,
    pub(super) decisions: Vec<StockDecided>,
    pub(super) told: Told,
    /// Topics whose beginning the broker has deleted: what was asked and told before is not known.
    pub(super) shortened: BTreeSet<&'static str>,
}

/// Reads the topics from the marks to their present ends, for one product or for all. Order events are not told apart.
pub(super) async fn read(stack: &Stack, marks: Marks, product: Option<ProductId>) -> anyhow::Result<Log> {
    let kafka = stack.kafka();
    let read = move || {
        let mut log = Log::default();
        let of_product = |record: &Record<'_>| product.is_none_or(|one| record.key.parse() == Ok(one));
        each(&kafka, (STOCK_DECISIONS, &marks), &mut log.shortened, |record| {
            if of_product(&record) {
                log.decisions.extend(serde_json::from_slice::<StockDecided>(record.bytes));
            }
        })?;
        each(&kafka, (STOCK_COMMANDS, &marks), &mut log.shortened, |record| {
            if of_product(&record) {
                log.commands.push(entry(record));
            }
        })?;
        each(&kafka, (ORDER_EVENTS, &marks), &mut log.shortened, |record| {
            if let Ok(event) = serde_json::from_slice::<OrderChanged>(record.bytes) {
                log.told.entry(event.order_id.0).or_default().entry(event.seq).or_default().push(event.state);
            }
        })?;
        Ok(log)
    };
    tokio::task::spawn_blocking(read).await?
}

fn each(
    kafka: &Kafka,
    (topic, marks): (Topic, &Marks),
    shortened: &mut BTreeSet<&'static str>,
    mut take: impl FnMut(Record<'_>),
) -> anyhow::Result<()> {
    let from = marks.of(topic);
    let reader = Reader::new(kafka, topic)?;
    reader.to_end(&from, |record| {
        take(record);
        Ok(())
    })?;
    // After the reading: what was deleted meanwhile may not have been read.
    let asked = |partition| from.get(partition).copied().unwrap_or_default();
    if reader.begins()?.iter().any(|(partition, begin)| *begin > asked(partition)) {
        shortened.insert(topic.name);
    }
    Ok(())
}

fn entry(record: Record<'_>) -> Entry {
    let command = serde_json::from_slice::<StockCommand>(record.bytes).ok();
    let command = command.filter(|command| command.key() == record.key);
    Entry { partition: record.partition, offset: record.offset, command }
}

/// Every sale as the log has it up to the cursors, without what was put aside.
pub(super) fn replay(log: &Log, stage: &Stage) -> BTreeMap<i64, Sale> {
    let mut sales: BTreeMap<i64, Sale> = BTreeMap::new();
    for entry in decided(log, stage).filter(|entry| !is_letter(entry, stage)) {
        if let Some(command) = &entry.command {
            sales.entry(command.product_id().0).or_default().take(entry.offset, command);
        }
    }
    sales
}

fn decided<'a>(log: &'a Log, stage: &'a Stage) -> impl Iterator<Item = &'a Entry> {
    log.commands.iter().filter(|entry| is_decided(entry, stage))
}

fn is_decided(entry: &Entry, stage: &Stage) -> bool {
    stage.cursors.get(&entry.partition).is_some_and(|next| entry.offset < *next)
}

fn is_letter(entry: &Entry, stage: &Stage) -> bool {
    stage.letters.contains_key(&(entry.partition, entry.offset))
}

/// What must hold of the log. `sales` are its replay.
pub(super) fn checks(log: &Log, stage: &Stage, sales: &BTreeMap<i64, Sale>) -> Vec<Check> {
    let adds_up = |record: &&StockDecided| {
        let StockDecided { total, available, reserved, sold, .. } = record;
        available + reserved + sold == *total && [available, reserved, sold].iter().all(|n| **n >= 0)
    };
    let wrong = log.decisions.iter().filter(|record| !adds_up(record));
    let wrong = wrong.map(|record| format!("product {}: {}", record.product_id, record.last));
    let unread = decided(log, stage)
        .filter(|entry| entry.command.is_none() && !is_letter(entry, stage))
        .map(|entry| format!("partition {}, offset {}", entry.partition, entry.offset));
    let waiting = log.commands.iter().filter(|entry| !is_decided(entry, stage));
    let waiting = waiting.map(|entry| format!("partition {}, offset {}", entry.partition, entry.offset));
    let mut checks = vec![
        Check::new(AREA, "units in every decision add up", wrong),
        Check::new(AREA, "a command that cannot be used is a dead letter", unread),
        Check::new(AREA, "no command waits for the stock stage", waiting),
    ];
    // A log without its beginning cannot be replayed.
    if !log.shortened.contains(STOCK_COMMANDS.name) {
        checks.extend(results(stage, sales));
        if !log.shortened.contains(STOCK_DECISIONS.name) {
            checks.extend(answers::checks(&log.decisions, sales));
        }
    }
    checks
}

fn results(stage: &Stage, sales: &BTreeMap<i64, Sale>) -> [Check; 2] {
    let counts = |product: &i64| sales.get(product).and_then(Sale::counts);
    let other = stage.products.iter().filter(|(product, stock)| counts(product) != Some(stock.counts));
    let other = other.map(|(product, stock)| {
        (about(product), format!("{}: the log gives {:?}", row(product, stock), counts(product)))
    });
    let gone = sales.iter().filter(|(product, _)| !stage.products.contains_key(product));
    let gone = gone.filter_map(|(product, sale)| {
        Some((about(product), format!("product {product} has none: the log gives {:?}", sale.counts()?)))
    });
    let mut units = stage.units.clone();
    let mut different = Vec::new();
    for (product, sale) in sales {
        for (order, expected) in sale.units() {
            let found = units.remove(&(order.0, *product)).unwrap_or_default();
            if found != expected {
                different.push(format!("{order}, product {product}: {found:?}, the log gives {expected:?}"));
            }
        }
    }
    different
        .extend(units.keys().map(|(order, product)| format!("{order}, product {product}: not in the log")));
    [
        Check::about(AREA, "the log replayed gives the stock row", other.chain(gone)),
        Check::new(AREA, "the log replayed gives the reservations", different),
    ]
}

#[cfg(test)]
mod tests {
    use common::wire::event::{Decision, Outcome, Refusal, Reserve, Terms};
    use common::wire::id::{OrderId, UserId};

    use super::super::stock::{Stock, Units};
    use super::*;

    const PRODUCT: ProductId = ProductId(1);

    fn order(n: u128) -> OrderId {
        OrderId(uuid::Uuid::from_u128(n))
    }

    fn at(offset: i64, command: StockCommand) -> Entry {
        Entry { partition: 0, offset, command: Some(command) }
    }

    fn reserve(n: u128) -> StockCommand {
        let at = chrono::DateTime::from_timestamp(50, 0).unwrap();
        let user_id = UserId(i64::try_from(n).unwrap());
        StockCommand::Reserve(Reserve {
            product_id: PRODUCT,
            order_id: order(n),
            attempt: 1,
            user_id,
            quantity: 1,
            price_version: 1,
            at,
        })
    }

    fn decided(n: u128, last: i64, reason: Option<Refusal>) -> StockDecided {
        let result = if reason.is_some() { Outcome::Rejected } else { Outcome::Reserved };
        let decisions = vec![Decision { order_id: order(n), attempt: 1, result, reason }];
        StockDecided {
            product_id: PRODUCT,
            first: last,
            last,
            total: 1,
            available: 0,
            reserved: 1,
            sold: 0,
            decisions,
        }
    }

    /// One unit: the first order gets it, the second comes too late.
    fn clean() -> (Log, Stage) {
        let time = |s| chrono::DateTime::from_timestamp(s, 0).unwrap();
        let terms = StockCommand::Terms(Terms {
            product_id: PRODUCT,
            version: 1,
            price_version: 1,
            purchase_limit: 1,
            opens_at: time(0),
            closes_at: time(100),
            stock: 1,
            by: UserId(9),
        });
        let log = Log {
            commands: vec![at(0, terms), at(1, reserve(1)), at(2, reserve(2))],
            decisions: vec![decided(1, 1, None), decided(2, 2, Some(Refusal::SoldOut))],
            ..Log::default()
        };
        let stock = Stock { counts: [1, 0, 1, 0], ..Stock::default() };
        let units = [((order(1).0, 1), Units { held: 1, confirmed: 0 })].into();
        let stage =
            Stage { products: [(1, stock)].into(), units, cursors: [(0, 3)].into(), ..Stage::default() };
        (log, stage)
    }

    fn broken(change: impl FnOnce(&mut Log, &mut Stage)) -> Vec<&'static str> {
        let (mut log, mut stage) = clean();
        change(&mut log, &mut stage);
        let checks = checks(&log, &stage, &replay(&log, &stage));
        checks.into_iter().filter(|check| check.broken > 0).map(|check| check.rule).collect()
    }

    const MISSING: &str = "every reserve is decided";
    const SURPLUS: &str = "only reserves are decided";
    const DIFFERENT: &str = "every decision is the one that the log asks for";
    const ORDER: &str = "decisions follow the commands' order";
    const ROW: &str = "the log replayed gives the stock row";
    const UNITS: &str = "the log replayed gives the reservations";

    #[test]
    fn a_decided_log_is_clean_also_when_a_record_came_twice() {
        assert!(broken(|_, _| {}).is_empty());
        assert!(broken(|log, _| log.decisions.insert(1, log.decisions[0].clone())).is_empty());
    }

    #[test]
    fn a_command_that_nobody_decides_is_found() {
        let waits = ["no command waits for the stock stage"];
        assert_eq!(broken(|log, _| log.commands.push(at(3, reserve(3)))), waits);
        let other = |log: &mut Log, _: &mut Stage| {
            log.commands.push(Entry { partition: 1, ..at(0, reserve(3)) });
        };
        assert_eq!(broken(other), waits);
    }

    /// Refusals that were decided again after a crash come in other batches; in another way they must not, and what took
    /// a unit must not come in another batch.
    #[test]
    fn refusals_may_be_decided_again_and_nothing_else() {
        let again = |first, answers: &[(u128, Option<Refusal>)]| {
            let decisions = answers.iter().flat_map(|(n, reason)| decided(*n, 2, *reason).decisions);
            StockDecided { first, decisions: decisions.collect(), ..decided(2, 3, None) }
        };
        let third = |log: &mut Log, stage: &mut Stage, record| {
            log.commands.push(at(3, reserve(3)));
            stage.cursors.insert(0, 4);
            log.decisions.push(record);
        };
        let late = |reason| [(2, Some(Refusal::SoldOut)), (3, Some(reason))];
        assert!(broken(|log, stage| third(log, stage, again(2, &late(Refusal::SoldOut)))).is_empty());
        assert_eq!(broken(|log, stage| third(log, stage, again(2, &late(Refusal::Limit)))), [DIFFERENT]);
        let all = [(1, None), (2, Some(Refusal::SoldOut)), (3, Some(Refusal::SoldOut))];
        assert_eq!(broken(|log, stage| third(log, stage, again(1, &all))), [SURPLUS]);
        let without = [(3, Some(Refusal::SoldOut))];
        assert_eq!(broken(|log, stage| third(log, stage, again(2, &without))), [MISSING]);
    }

    #[test]
    fn forgotten_invented_and_moved_decisions_are_found() {
        assert_eq!(broken(|log, _| drop(log.decisions.remove(1))), [MISSING]);
        assert_eq!(broken(|log, _| log.decisions.push(decided(3, 4, Some(Refusal::Closed)))), [SURPLUS]);
        assert_eq!(broken(|log, _| log.decisions.swap(0, 1)), [ORDER]);
        assert_eq!(broken(|log, _| log.decisions[1].first = 3), [ORDER]);
    }

    #[test]
    fn who_came_second_and_got_the_unit_is_found() {
        let swapped = |log: &mut Log, stage: &mut Stage| {
            log.decisions = vec![decided(1, 1, Some(Refusal::SoldOut)), decided(2, 2, None)];
            stage.units = [((order(2).0, 1), Units { held: 1, confirmed: 0 })].into();
        };
        assert_eq!(broken(swapped), [UNITS, DIFFERENT]);
        let oversold = |log: &mut Log, _: &mut Stage| log.decisions[1] = decided(2, 2, None);
        assert_eq!(broken(oversold), [DIFFERENT]);
        let other_reason = |log: &mut Log, _: &mut Stage| {
            log.decisions[1] = decided(2, 2, Some(Refusal::Limit));
        };
        assert_eq!(broken(other_reason), [DIFFERENT]);
    }

    #[test]
    fn tables_that_are_not_what_the_log_gives_are_found() {
        let counts = |_: &mut Log, stage: &mut Stage| {
            stage.products.get_mut(&1).unwrap().counts = [1, 1, 0, 0];
        };
        assert_eq!(broken(counts), [ROW]);
        assert_eq!(broken(|_, stage| stage.products.clear()), [ROW]);
        assert_eq!(broken(|_, stage| stage.units.clear()), [UNITS]);
        let stranger = |_: &mut Log, stage: &mut Stage| {
            stage.units.insert((order(9).0, 1), Units { held: 1, confirmed: 0 });
        };
        assert_eq!(broken(stranger), [UNITS]);
        let numbers = |log: &mut Log, _: &mut Stage| log.decisions[0].sold = 7;
        assert_eq!(broken(numbers), ["units in every decision add up"]);
    }

    #[test]
    fn a_command_that_vanished_is_found_and_a_dead_letter_is_none() {
        let poison = |log: &mut Log, stage: &mut Stage| {
            log.commands.push(Entry { partition: 0, offset: 3, command: None });
            stage.cursors.insert(0, 4);
        };
        assert_eq!(broken(poison), ["a command that cannot be used is a dead letter"]);
        let buried = |log: &mut Log, stage: &mut Stage| {
            poison(log, stage);
            stage.letters.insert((0, 3), "1".into());
        };
        assert!(broken(buried).is_empty());
        // A command that was put aside has no decision and no effect.
        let aside = |log: &mut Log, stage: &mut Stage| {
            stage.letters.insert((0, 2), "1".into());
            log.decisions.pop();
        };
        assert!(broken(aside).is_empty());
    }
}
