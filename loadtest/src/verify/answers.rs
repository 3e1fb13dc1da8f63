//! What buyers were told, beside what the log of the commands asks for.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use common::wire::event::{Decision, StockDecided};
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

/// First and last offset that a record names.
type Range = (i64, i64);

/// One product's records, as far as they were judged.
struct Product<'a> {
    id: i64,
    /// In the order of the log.
    expected: &'a [Expected],
    /// Offsets; of what was asked for several times, the last one.
    places: HashMap<(OrderId, i32), i64>,
    /// By offset, the record that told of it last.
    told: HashMap<i64, Range>,
    /// Named by a record that does not tell of them.
    left_out: Vec<(&'a Expected, Range)>,
    /// The highest offset that was told.
    reached: i64,
}

impl<'a> Product<'a> {
    fn new(id: i64, expected: &'a [Expected]) -> Self {
        let places = expected.iter().map(|one| ((one.order, one.attempt), one.offset)).collect();
        Self { id, expected, places, told: HashMap::new(), left_out: Vec::new(), reached: -1 }
    }

    fn name(&self, order: OrderId, attempt: i32) -> String {
        format!("product {}: {order}, attempt {attempt}", self.id)
    }

    /// What the log asks a record to tell.
    fn asked(&self, (first, last): Range) -> &'a [Expected] {
        let begin = self.expected.partition_point(|one| one.offset < first);
        let end = self.expected.partition_point(|one| one.offset <= last);
        self.expected.get(begin..end).unwrap_or_default()
    }
}

impl Answers {
    fn record(&mut self, product: &mut Product<'_>, record: &StockDecided) {
        let range = (record.first, record.last);
        let mut asked = product.asked(range);
        for one in &record.decisions {
            let is_it = |asked: &Expected| asked.order == one.order_id && asked.attempt == one.attempt;
            if let Some(place) = asked.iter().position(is_it) {
                product.left_out.extend(asked[..place].iter().map(|one| (one, range)));
                self.decision(product, &asked[place], range, one);
                asked = &asked[place + 1..];
            } else {
                self.stray(product, range, one);
            }
        }
        product.left_out.extend(asked.iter().map(|one| (one, range)));
    }

    /// A decision where the log asks for it.
    fn decision(&mut self, product: &mut Product<'_>, asked: &Expected, range: Range, one: &Decision) {
        let name = product.name(asked.order, asked.attempt);
        if asked.answer != (one.result, one.reason) {
            self.different.push(format!("{name}: {one:?}, the log asks for {:?}", asked.answer));
        }
        match product.told.insert(asked.offset, range) {
            Some(before) if asked.moves && before != range => {
                self.surplus.push(format!("{name}: decided in {before:?} and in {range:?}"));
            }
            None if asked.offset < product.reached => {
                self.disordered.push(format!("{name}: offset {}", asked.offset));
            }
            _ => {}
        }
        product.reached = product.reached.max(asked.offset);
    }

    /// A decision that the log asks for elsewhere, or not at all.
    fn stray(&mut self, product: &mut Product<'_>, range: Range, one: &Decision) {
        let name = product.name(one.order_id, one.attempt);
        match product.places.get(&(one.order_id, one.attempt)) {
            Some(place) => {
                product.told.entry(*place).or_insert(range);
                self.disordered.push(format!("{name}: offset {place}"));
            }
            None => self.surplus.push(name),
        }
    }

    fn end(&mut self, product: &Product<'_>) {
        let name = |one: &Expected| product.name(one.order, one.attempt);
        let is_told = |one: &Expected| product.told.contains_key(&one.offset);
        self.missing.extend(product.expected.iter().filter(|one| !is_told(one)).map(name));
        let left_out = product.left_out.iter().filter(|(one, _)| is_told(one));
        self.missing.extend(left_out.map(|(one, range)| format!("{}: left out of {range:?}", name(one))));
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
    for id in products {
        let mut product = Product::new(*id, sales.get(id).map(|sale| &*sale.expected).unwrap_or_default());
        for record in told.get(id).into_iter().flatten() {
            answers.record(&mut product, record);
        }
        answers.end(&product);
    }
    let Answers { missing, surplus, different, disordered } = answers;
    [
        Check::new(AREA, "every reserve is decided", missing),
        Check::new(AREA, "only reserves are decided", surplus),
        Check::new(AREA, "every decision is the one that the log asks for", different),
        Check::new(AREA, "decisions follow the commands' order", disordered),
    ]
}
