//! What buyers were told, beside what the log of the commands asks for.

use std::collections::{BTreeMap, BTreeSet};

use common::wire::event::StockDecided;

use super::check::Check;
use super::replay::{Expected, Sale};
use super::topics::AREA;

/// What was told of one product, beside what its log asks for. Each record is judged by the commands that it names,
/// lowest to highest: a relay that was killed sends its last records again, and a stage whose database lost its last
/// moment decides those commands once more, in other batches.
#[derive(Debug, Default)]
struct Answers {
    missing: Vec<String>,
    surplus: Vec<String>,
    different: Vec<String>,
    moved: Vec<String>,
}

impl Answers {
    fn judge(&mut self, product: i64, expected: &[Expected], records: &[&StockDecided]) {
        let mut told = BTreeSet::new();
        let mut reached = -1;
        for record in records {
            let begin = expected.partition_point(|one| one.offset < record.first);
            let end = expected.partition_point(|one| one.offset <= record.last);
            let mut asked = expected.get(begin..end).unwrap_or_default().iter();
            for one in &record.decisions {
                let name = format!("product {product}: {}, attempt {}", one.order_id, one.attempt);
                let is_it = |asked: &&Expected| asked.order == one.order_id && asked.attempt == one.attempt;
                let Some(found) = asked.by_ref().find(is_it) else {
                    match expected.iter().find(is_it) {
                        Some(elsewhere) => {
                            told.insert(elsewhere.offset);
                            self.moved.push(format!("{name}: offset {}", elsewhere.offset));
                        }
                        None => self.surplus.push(name),
                    }
                    continue;
                };
                if found.answer != (one.result, one.reason) {
                    self.different.push(format!("{name}: {one:?}, the log asks for {:?}", found.answer));
                }
                if told.insert(found.offset) && found.offset < reached {
                    self.moved.push(format!("{name}: offset {}", found.offset));
                }
                reached = reached.max(found.offset);
            }
        }
        let open = expected.iter().filter(|one| !told.contains(&one.offset));
        self.missing
            .extend(open.map(|one| format!("product {product}: {}, attempt {}", one.order, one.attempt)));
    }
}

/// What must hold of the decisions that were told; `sales` are the replay of the commands.
pub(super) fn checks(decisions: &[StockDecided], sales: &BTreeMap<i64, Sale>) -> [Check; 4] {
    let mut told: BTreeMap<i64, Vec<&StockDecided>> = BTreeMap::new();
    for record in decisions {
        told.entry(record.product_id.0).or_default().push(record);
    }
    let mut answers = Answers::default();
    let products: BTreeSet<&i64> = told.keys().chain(sales.keys()).collect();
    for product in products {
        let expected = sales.get(product).map(|sale| &*sale.expected).unwrap_or_default();
        answers.judge(*product, expected, told.get(product).map(|records| &**records).unwrap_or_default());
    }
    let Answers { missing, surplus, different, moved } = answers;
    [
        Check::new(AREA, "every reserve is decided", missing),
        Check::new(AREA, "only reserves are decided", surplus),
        Check::new(AREA, "every decision is the one that the log asks for", different),
        Check::new(AREA, "decisions follow the commands' order", moved),
    ]
}
