//! What buyers were told, beside what the log of the commands asks for.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use common::wire::event::StockDecided;
use common::wire::id::OrderId;

use super::check::Check;
use super::replay::{Expected, Sale};
use super::topics::AREA;

/// What is wrong with what was told. Each record is judged by the commands that it names, lowest to highest. It may come
/// again as it was, from a relay that was killed; and commands that moved no unit may be decided again, alike but in other
/// batches, after the database lost its last moment.
#[derive(Debug, Default)]
struct Answers {
    missing: Vec<String>,
    surplus: Vec<String>,
    different: Vec<String>,
    disordered: Vec<String>,
}

impl Answers {
    fn judge(&mut self, product: i64, expected: &[Expected], records: &[&StockDecided]) {
        let name = |order, attempt| format!("product {product}: {order}, attempt {attempt}");
        let places: HashMap<(OrderId, i32), i64> =
            expected.iter().map(|one| ((one.order, one.attempt), one.offset)).collect();
        // The first and last command of the record that told of each.
        let mut told: HashMap<i64, (i64, i64)> = HashMap::with_capacity(expected.len());
        let mut reached = -1;
        for record in records {
            let range = (record.first, record.last);
            let begin = expected.partition_point(|one| one.offset < record.first);
            let end = expected.partition_point(|one| one.offset <= record.last);
            let mut asked = expected.get(begin..end).unwrap_or_default();
            for one in &record.decisions {
                let is_it = |asked: &Expected| asked.order == one.order_id && asked.attempt == one.attempt;
                let Some(place) = asked.iter().position(is_it) else {
                    let name = name(one.order_id, one.attempt);
                    match places.get(&(one.order_id, one.attempt)) {
                        Some(elsewhere) => {
                            told.entry(*elsewhere).or_insert(range);
                            self.disordered.push(format!("{name}: offset {elsewhere}"));
                        }
                        None => self.surplus.push(name),
                    }
                    continue;
                };
                let found = &asked[place];
                asked = &asked[place + 1..];
                let name = || name(found.order, found.attempt);
                if found.answer != (one.result, one.reason) {
                    self.different.push(format!("{}: {one:?}, the log asks for {:?}", name(), found.answer));
                }
                match told.insert(found.offset, range) {
                    Some(before) if found.moves && before != range => {
                        self.surplus.push(format!("{}: decided in {before:?} and in {range:?}", name()));
                    }
                    None if found.offset < reached => {
                        self.disordered.push(format!("{}: offset {}", name(), found.offset));
                    }
                    _ => {}
                }
                reached = reached.max(found.offset);
            }
        }
        let open = expected.iter().filter(|one| !told.contains_key(&one.offset));
        self.missing.extend(open.map(|one| name(one.order, one.attempt)));
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
    let Answers { missing, surplus, different, disordered } = answers;
    [
        Check::new(AREA, "every reserve is decided", missing),
        Check::new(AREA, "only reserves are decided", surplus),
        Check::new(AREA, "every decision is the one that the log asks for", different),
        Check::new(AREA, "decisions follow the commands' order", disordered),
    ]
}
