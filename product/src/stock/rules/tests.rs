//! Single rules by example; everything that must hold for every log by random logs.

use std::collections::{BTreeMap, HashMap, HashSet};

use chrono::{DateTime, TimeDelta};
use proptest::prelude::*;

use super::*;

const PRODUCT: ProductId = ProductId(7);

fn at(second: i64) -> Time {
    DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
}

fn terms(version: i64, limit: u32, stock: i64) -> StockCommand {
    StockCommand::Terms(Terms {
        product_id: PRODUCT,
        version,
        price_version: 1,
        purchase_limit: limit,
        opens_at: at(0),
        closes_at: at(100),
        stock,
        by: UserId(1),
    })
}

fn order(number: u128) -> OrderId {
    OrderId(Uuid::from_u128(number))
}

fn reserve(number: u128, user: i64, quantity: u32) -> Reserve {
    Reserve {
        product_id: PRODUCT,
        order_id: order(number),
        attempt: 1,
        user_id: UserId(user),
        quantity,
        price_version: 1,
        at: at(10),
    }
}

fn end(number: u128, user: i64) -> Settle {
    Settle {
        product_id: PRODUCT,
        order_id: order(number),
        attempt: 1,
        user_id: UserId(user),
        reason: "expired".into(),
        at: at(20),
    }
}

fn add(number: u128, delta: i64) -> StockCommand {
    let adjustment_id = Uuid::from_u128(number);
    StockCommand::Adjust(Adjust { product_id: PRODUCT, adjustment_id, delta, by: UserId(1), at: at(5) })
}

/// Decides a log as one batch.
fn run(log: &[StockCommand]) -> (Memory, Effects) {
    let (mut memory, mut effects) = (Memory::default(), Effects::default());
    for (offset, command) in (0..).zip(log) {
        decide(&mut memory, &mut effects, offset, command);
    }
    (memory, effects)
}

fn answers(log: &[StockCommand]) -> Vec<Option<Refusal>> {
    let (_, effects) = run(log);
    effects.products[&PRODUCT].decisions.iter().map(|decision| decision.reason).collect()
}

#[test]
fn each_refusal_has_its_reason() {
    let mut early = reserve(2, 1, 1);
    early.at = at(-1);
    let mut late = reserve(3, 1, 1);
    late.at = at(100);
    let mut dear = reserve(4, 1, 1);
    dear.price_version = 2;
    let log = [
        StockCommand::Reserve(reserve(1, 1, 1)),
        terms(1, 2, 3),
        StockCommand::Reserve(early),
        StockCommand::Reserve(late),
        StockCommand::Reserve(dear),
        StockCommand::Reserve(reserve(5, 1, 3)),
        StockCommand::Reserve(reserve(6, 1, 2)),
        StockCommand::Reserve(reserve(7, 1, 1)),
        StockCommand::Reserve(reserve(8, 2, 2)),
        StockCommand::Reserve(reserve(9, 2, 1)),
    ];
    let refused = [
        Some(Refusal::UnknownProduct),
        Some(Refusal::Closed),
        Some(Refusal::Closed),
        Some(Refusal::PriceChanged),
        Some(Refusal::Limit),
        None,
        Some(Refusal::Limit),
        Some(Refusal::SoldOut),
        None,
    ];
    assert_eq!(answers(&log), refused);
}

#[test]
fn a_release_that_overtook_its_reserve_bars_it() {
    let log = [terms(1, 1, 1), StockCommand::Release(end(1, 1)), StockCommand::Reserve(reserve(1, 1, 1))];
    let (memory, effects) = run(&log);
    assert_eq!(answers(&log), [Some(Refusal::SoldOut)]);
    assert_eq!(memory.sales[&PRODUCT].counts.available, 1);
    assert!(memory.sales[&PRODUCT].slots.is_empty());
    assert_eq!(effects.holds.len(), 1);
}

#[test]
fn a_repeat_of_a_held_reserve_is_reserved_and_of_a_released_one_sold_out() {
    let log = [
        terms(1, 1, 5),
        StockCommand::Reserve(reserve(1, 1, 1)),
        StockCommand::Reserve(reserve(1, 1, 1)),
        StockCommand::Confirm(end(1, 1)),
        StockCommand::Reserve(reserve(1, 1, 1)),
        StockCommand::Restock(end(1, 1)),
        StockCommand::Reserve(reserve(1, 1, 1)),
    ];
    assert_eq!(answers(&log), [None, None, None, Some(Refusal::SoldOut)]);
    let counts = run(&log).0.sales[&PRODUCT].counts;
    assert_eq!(counts, Counts { total: 5, available: 5, reserved: 0, sold: 0 });
}

#[test]
fn after_the_end_only_reserves_are_refused() {
    let mut closing = terms(2, 1, 0);
    if let StockCommand::Terms(terms) = &mut closing {
        terms.closes_at = at(15);
    }
    let mut late = reserve(2, 2, 1);
    late.at = at(15);
    let log = [
        terms(1, 1, 5),
        StockCommand::Reserve(reserve(1, 1, 1)),
        closing,
        StockCommand::Confirm(end(1, 1)),
        StockCommand::Reserve(late),
    ];
    assert_eq!(answers(&log), [None, Some(Refusal::Closed)]);
    assert_eq!(run(&log).0.sales[&PRODUCT].counts.sold, 1);
}

#[test]
fn older_terms_change_nothing_and_later_ones_never_the_stock() {
    let (memory, effects) = run(&[terms(2, 3, 10), terms(1, 9, 99), terms(3, 4, 99)]);
    let sale = &memory.sales[&PRODUCT];
    assert_eq!((sale.terms.version, sale.terms.limit, sale.counts.total), (3, 4, 10));
    assert!(effects.products[&PRODUCT].is_new);
}

#[test]
fn an_adjustment_below_what_is_available_is_refused() {
    let log = [
        terms(1, 5, 5),
        StockCommand::Reserve(reserve(1, 1, 3)),
        add(1, -3),
        add(2, -2),
        add(2, -2),
        add(3, i64::MAX),
        add(4, 7),
    ];
    let (memory, effects) = run(&log);
    assert_eq!(memory.sales[&PRODUCT].counts, Counts { total: 10, available: 7, reserved: 3, sold: 0 });
    let refused: Vec<bool> = effects.adjustments.iter().map(|adjusted| adjusted.refused).collect();
    assert_eq!(refused, [true, false, true, false]);
}

#[test]
fn what_changed_nothing_and_decided_nothing_needs_no_record() {
    let (_, effects) = run(&[StockCommand::Confirm(end(1, 1))]);
    assert!(effects.products[&PRODUCT].record(PRODUCT).is_none());
    let (_, effects) = run(&[terms(1, 1, 0)]);
    assert!(effects.products[&PRODUCT].record(PRODUCT).is_some());
}

#[test]
fn a_command_that_no_service_sends_is_none() {
    assert!(check(&StockCommand::Reserve(reserve(1, 1, 0))).is_err());
    assert!(check(&terms(1, 0, 1)).is_err());
    assert!(check(&terms(1, 101, 1)).is_err());
    assert!(check(&terms(1, 100, -1)).is_err());
    assert!(check(&terms(1, 100, 0)).is_ok());
}

/// The journal as the tables would hold it, with their constraints.
#[derive(Default)]
struct Journal {
    sales: BTreeMap<ProductId, (Bounds, Counts)>,
    units: BTreeMap<(ProductId, OrderId, i32, u32), (UserId, HoldState)>,
    adjustments: HashSet<(ProductId, Uuid)>,
}

impl Journal {
    /// Applies a batch in the order of the store's statements: first what settles rows, then what adds them.
    fn apply(&mut self, effects: &Effects, memory: &Memory) {
        for (product, change) in &effects.products {
            let Some(sale) = memory.sales.get(product) else { continue };
            let known = self.sales.insert(*product, (sale.terms, change.after));
            assert_eq!(known.is_none(), change.is_new);
            assert!(known.is_none_or(|(_, counts)| counts == change.before));
            let Counts { total, available, reserved, sold } = change.after;
            assert!(available >= 0 && available + reserved + sold == total);
        }
        for is_new in [false, true] {
            for ((product, (order, attempt)), change) in
                effects.holds.iter().filter(|(_, c)| c.is_new == is_new)
            {
                for slot in (0..LIMIT_MAX).filter(|slot| change.hold.slots >> slot & 1 == 1) {
                    let row = (change.hold.user, change.hold.state);
                    let was = self.units.insert((*product, *order, *attempt, slot), row);
                    assert_eq!(was.is_none(), is_new);
                }
                self.one_live_unit_per_slot();
            }
        }
        for adjusted in &effects.adjustments {
            let key = (adjusted.adjust.product_id, adjusted.adjust.adjustment_id);
            assert!(self.adjustments.insert(key));
        }
    }

    fn one_live_unit_per_slot(&self) {
        let mut seen = HashSet::new();
        for ((product, _, _, slot), (user, state)) in &self.units {
            assert!(!state.is_live() || seen.insert((*product, *user, *slot)));
        }
    }

    fn load(&self) -> Memory {
        let sales =
            self.sales.iter().map(|(product, (terms, counts))| (*product, Sale::new(*terms, *counts)));
        let mut memory = Memory { sales: sales.collect() };
        for ((product, order, attempt, slot), (user, state)) in &self.units {
            let unit = Hold { user: *user, slots: 1 << slot, state: *state };
            memory.sales.get_mut(product).unwrap().restore(*order, *attempt, unit);
        }
        for (product, adjustment) in &self.adjustments {
            memory.sales.get_mut(product).unwrap().adjustments.insert(*adjustment);
        }
        memory
    }
}

fn command() -> impl Strategy<Value = StockCommand> {
    let who = (0..24_u128, 0..5_i64, 1..4_u32, 0..3_i32);
    let wish = (who.clone(), -5..105_i64, 1..3_i64).prop_map(
        |((number, user, quantity, attempt), second, price)| {
            let price_version = if price == 2 && number % 8 == 0 { 2 } else { 1 };
            Reserve { attempt, price_version, at: at(second), ..reserve(number, user, quantity) }
        },
    );
    let settle = who.prop_map(|(number, user, _, attempt)| Settle { attempt, ..end(number, user) });
    prop_oneof![
        1 => (1..5_i64, 1..6_u32, 0..30_i64).prop_map(|(version, limit, stock)| terms(version, limit, stock)),
        8 => wish.prop_map(StockCommand::Reserve),
        3 => settle.clone().prop_map(StockCommand::Confirm),
        3 => settle.clone().prop_map(StockCommand::Release),
        2 => settle.prop_map(StockCommand::Restock),
        1 => (0..6_u128, -20..20_i64).prop_map(|(number, delta)| add(number, delta)),
    ]
}

/// Logs that begin with a registration more often than not, with repeats of earlier commands.
fn log() -> impl Strategy<Value = Vec<StockCommand>> {
    let registered = (1..6_u32, 0..30_i64).prop_map(|(limit, stock)| vec![terms(1, limit, stock)]);
    let start = prop_oneof![4 => registered, 1 => Just(Vec::new())];
    let repeats = prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..30);
    (start, prop::collection::vec(command(), 1..120), repeats).prop_map(|(mut log, commands, repeats)| {
        log.extend(commands);
        for (from, to) in repeats {
            let again = log[from.index(log.len())].clone();
            log.insert(to.index(log.len() + 1), again);
        }
        log
    })
}

/// The same command about another product.
fn about(product: ProductId, command: &StockCommand) -> StockCommand {
    let mut command = command.clone();
    match &mut command {
        StockCommand::Terms(c) => c.product_id = product,
        StockCommand::Reserve(c) => c.product_id = product,
        StockCommand::Confirm(c) | StockCommand::Release(c) | StockCommand::Restock(c) => {
            c.product_id = product
        }
        StockCommand::Adjust(c) => c.product_id = product,
    }
    command
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn units_are_conserved_and_match_the_reservations(log in log()) {
        let (mut memory, mut effects) = Default::default();
        for (offset, command) in (0..).zip(&log) {
            decide(&mut memory, &mut effects, offset, command);
            for sale in memory.sales.values() {
                let Counts { total, available, reserved, sold } = sale.counts;
                prop_assert!(available >= 0 && reserved >= 0 && sold >= 0);
                prop_assert_eq!(available + reserved + sold, total);
                let units = |state| -> i64 {
                    sale.holds.values().filter(|hold| hold.state == state).map(Hold::quantity).sum()
                };
                prop_assert_eq!(reserved, units(HoldState::Held));
                prop_assert_eq!(sold, units(HoldState::Confirmed));
            }
        }
    }

    #[test]
    fn nobody_gets_more_than_the_limit_at_the_time(log in log()) {
        let (mut memory, mut effects) = Default::default();
        let mut live: HashMap<UserId, u32> = HashMap::new();
        for (offset, command) in (0..).zip(&log) {
            decide(&mut memory, &mut effects, offset, command);
            let Some(sale) = memory.sales.get(&PRODUCT) else { continue };
            let mut counted: HashMap<UserId, (u32, u128)> = HashMap::new();
            for hold in sale.holds.values().filter(|hold| hold.state.is_live()) {
                let (units, slots) = counted.entry(hold.user).or_default();
                *units += hold.slots.count_ones();
                *slots |= hold.slots;
            }
            for (user, (units, slots)) in &counted {
                // No two live reservations share a slot, and a rise keeps the limit of its moment.
                prop_assert_eq!(*units, slots.count_ones());
                prop_assert_eq!(*slots, sale.slots[user]);
                let rose = *units > live.get(user).copied().unwrap_or_default();
                prop_assert!(!rose || *units <= sale.terms.limit);
            }
            prop_assert_eq!(counted.len(), sale.slots.len());
            live = counted.into_iter().map(|(user, (units, _))| (user, units)).collect();
        }
    }

    #[test]
    fn a_repeat_gives_the_same_answer_and_notes_nothing(log in log()) {
        let (mut memory, mut before) = Default::default();
        for (offset, command) in (0..).zip(&log) {
            decide(&mut memory, &mut before, offset, command);
            let (known, mut first, mut again) = (memory.clone(), Effects::default(), Effects::default());
            decide(&mut memory, &mut first, offset + 1, command);
            decide(&mut memory, &mut again, offset + 2, command);
            prop_assert_eq!(&memory, &known);
            prop_assert!(again.is_idle());
            let (first, again) = (&first.products[&PRODUCT], &again.products[&PRODUCT]);
            prop_assert_eq!(&first.decisions, &again.decisions);
        }
    }

    #[test]
    fn the_journal_gives_the_memory_back_however_the_log_is_cut(log in log(), cut in 1..20_usize) {
        let (mut memory, mut journal) = (Memory::default(), Journal::default());
        for (batch, commands) in (0..).zip(log.chunks(cut)) {
            let (known, mut effects) = (memory.clone(), Effects::default());
            for (offset, command) in (batch * 1_000..).zip(commands) {
                decide(&mut memory, &mut effects, offset, command);
            }
            journal.apply(&effects, &memory);
            prop_assert_eq!(&journal.load(), &memory);
            prop_assert!(!effects.is_idle() || memory == known);
        }
        // The same log decided in one batch ends the same.
        prop_assert_eq!(run(&log).0, memory);
    }

    #[test]
    fn products_do_not_see_each_other_however_their_commands_mix(
        logs in prop::collection::vec(log(), 3),
        mix in prop::collection::vec(0..3_usize, 0..400),
        again in any::<prop::sample::Index>(),
    ) {
        let products: Vec<_> = (1..4).map(ProductId).collect();
        let own: Vec<Vec<_>> = products
            .iter()
            .zip(&logs)
            .map(|(product, log)| log.iter().map(|command| about(*product, command)).collect())
            .collect();
        // Each product's commands keep their order; whose comes next is left to chance.
        let mut open: Vec<_> = own.iter().map(|log: &Vec<_>| log.iter()).collect();
        let mut mixed: Vec<_> = mix.iter().filter_map(|product| open[*product].next().cloned()).collect();
        mixed.extend(open.iter_mut().flat_map(|rest| rest.by_ref().cloned()));
        let (memory, effects) = run(&mixed);
        for (product, log) in products.iter().zip(&own) {
            let (alone, decided) = run(log);
            prop_assert_eq!(memory.sales.get(product), alone.sales.get(product));
            prop_assert_eq!(&effects.products[product].decisions, &decided.products[product].decisions);
        }
        // Decided anew from the beginning it ends the same, and what stands twice in a row counts once.
        prop_assert_eq!(&run(&mixed).0, &memory);
        let twice = again.index(mixed.len());
        mixed.insert(twice, mixed[twice].clone());
        prop_assert_eq!(&run(&mixed).0, &memory);
    }

    #[test]
    fn single_units_go_to_the_first_who_ask(stock in 0..20_i64, wishes in 0..60_u128) {
        let wish = |number| StockCommand::Reserve(reserve(number, i64::try_from(number).unwrap(), 1));
        let log: Vec<_> = [terms(1, 1, stock)].into_iter().chain((0..wishes).map(wish)).collect();
        if wishes == 0 {
            return Ok(());
        }
        let expected: Vec<_> = (0..i64::try_from(wishes).unwrap())
            .map(|number| (number >= stock).then_some(Refusal::SoldOut))
            .collect();
        prop_assert_eq!(answers(&log), expected);
    }

    #[test]
    fn the_window_is_the_commands_own(second in -200..200_i64, nanos in 0..1_000_000_000_i64) {
        let mut wish = reserve(1, 1, 1);
        wish.at = at(second) + TimeDelta::nanoseconds(nanos);
        let open = wish.at >= at(0) && wish.at < at(100);
        let answer = answers(&[terms(1, 1, 1), StockCommand::Reserve(wish)]);
        prop_assert_eq!(answer, [(!open).then_some(Refusal::Closed)]);
    }
}
