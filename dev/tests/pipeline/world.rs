//! A small world: one stock stage, one order service, one payment provider, and what is on its way between them.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt::Write as _;
use std::hash::{Hash as _, Hasher as _};

use common::wire::Time;
use common::wire::event::{Event as _, Outcome, StockCommand, Terms};
use common::wire::id::{OrderId, ProductId, Ticket, UserId};
use common::wire::money::Won;
use common::wire::order::OrderState;
use order::order::rules::{Told, Trigger, decide as take_answers};
use order::order::{By, Hold, Order, Step as Transition};
use order::payment::rules::{awaits_approval, paid_late};
use product::stock::rules::{Effects, HoldState, Memory, decide as decide_stock};
use uuid::Uuid;

/// How large the world is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) orders: u8,
    /// Each order wants one unit of each.
    pub(crate) products: i64,
    /// Units of each product.
    pub(crate) stock: i64,
    /// How often something dies between an effect and the note that it happened.
    pub(crate) crashes: u8,
}

/// Everything there is.
#[derive(Debug, Clone)]
pub(crate) struct World {
    memory: Memory,
    /// Commands that the stock stage has not read, by product.
    log: BTreeMap<ProductId, VecDeque<StockCommand>>,
    /// Answers that the order service has not taken, by product.
    answers: BTreeMap<ProductId, VecDeque<Told>>,
    orders: BTreeMap<OrderId, Order>,
    /// The order service's outbox.
    outbox: VecDeque<StockCommand>,
    payments: BTreeMap<OrderId, Payment>,
    /// Orders whose reserves were sent a second time.
    asked_again: BTreeSet<OrderId>,
    crashes: u8,
}

/// One payment of one order: what the order service booked, and what the provider has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Payment {
    booked: Booked,
    bank: Bank,
    /// Its money is owed to the buyer.
    owed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Booked {
    /// Written before the call: it may have arrived.
    Sent,
    Approved,
    Declined,
    Surplus,
    Cancelled,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Bank {
    /// The call has not arrived.
    Waits,
    Refused,
    Has,
    GaveBack,
}

/// What may happen next.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Step {
    /// The relay sends the oldest command; dying before the row is deleted, it will be sent again.
    Relay { dies: bool },
    /// The stock stage decides the product's next command. Dying before the commit nothing has happened.
    Decide(ProductId),
    /// The order service takes the product's next answer; dying before the offset is committed, it comes again.
    Take { product: ProductId, dies: bool },
    /// The stock is asked again.
    Ask(OrderId),
    /// The stock did not answer for so long that the order fails.
    GiveUp(OrderId),
    /// Nobody paid in time.
    Expire(OrderId),
    /// The buyer cancels.
    Cancel(OrderId),
    /// The buyer pays: the attempt is written.
    Pay(OrderId),
    /// The call arrives at the provider.
    Arrive { order: OrderId, pays: bool },
    /// The provider's answer is stored, whether it came by itself or was asked for.
    Settle { order: OrderId, in_time: bool },
    /// The provider is asked while the call is still under way and knows nothing of it: it counts as declined.
    Overtake { order: OrderId, in_time: bool },
    /// The provider hints that a payment which counts as declined was paid after all.
    Hint(OrderId),
    /// Money that is owed goes back.
    Return(OrderId),
}

impl Step {
    /// Whether it need not happen. Everything else happens by itself sooner or later.
    pub(crate) fn is_optional(self) -> bool {
        matches!(self, Self::Expire(_) | Self::Cancel(_) | Self::Pay(_) | Self::Ask(_) | Self::GiveUp(_))
    }
}

fn now() -> Time {
    Time::from_timestamp(1_800_000_000, 0).unwrap()
}

fn until() -> Time {
    now() + chrono::Duration::seconds(300)
}

impl World {
    pub(crate) fn new(shape: Shape) -> Self {
        let products = || (1..=shape.products).map(ProductId);
        let mut memory = Memory::default();
        for product_id in products() {
            let terms = Terms {
                product_id,
                version: 1,
                price_version: 1,
                purchase_limit: 1,
                opens_at: now(),
                closes_at: until(),
                stock: shape.stock,
                by: UserId(9),
            };
            decide_stock(&mut memory, &mut Effects::default(), 0, &StockCommand::Terms(terms));
        }
        let orders: BTreeMap<OrderId, Order> = (1..=shape.orders)
            .map(|number| placed(number, products()))
            .map(|order| (order.id, order))
            .collect();
        Self {
            memory,
            log: products().map(|product| (product, VecDeque::new())).collect(),
            answers: products().map(|product| (product, VecDeque::new())).collect(),
            outbox: orders.values().flat_map(Order::reserves).collect(),
            orders,
            payments: BTreeMap::new(),
            asked_again: BTreeSet::new(),
            crashes: shape.crashes,
        }
    }

    /// Two worlds with the same one have the same future.
    pub(crate) fn fingerprint(&self) -> u128 {
        let mut text = String::with_capacity(2_048);
        let mut sales: Vec<_> = self.memory.sales.iter().collect();
        sales.sort_by_key(|(product, _)| **product);
        for (product, sale) in sales {
            let mut holds: Vec<_> =
                sale.holds.iter().map(|((order, attempt), hold)| (order, attempt, hold.state)).collect();
            holds.sort_by_key(|(order, attempt, _)| (**order, **attempt));
            write!(text, "{product}{:?}{holds:?}", sale.counts).expect("writing to a string does not fail");
        }
        for (product, log) in &self.log {
            write!(text, "|{product}").expect("as above");
            log.iter().for_each(|command| write_command(&mut text, command));
        }
        text.push('|');
        self.outbox.iter().for_each(|command| write_command(&mut text, command));
        let Self { answers, payments, asked_again, crashes, .. } = self;
        write!(text, "{answers:?}{payments:?}{asked_again:?}{crashes}").expect("as above");
        for order in self.orders.values() {
            let holds = order.holds.iter().map(|hold| (hold.attempt, hold.held)).collect::<Vec<_>>();
            write!(text, "{:?}{}{holds:?}", order.state, order.reviving).expect("as above");
        }
        let half = |salt: u8| {
            let mut hasher = DefaultHasher::new();
            (salt, &text).hash(&mut hasher);
            u128::from(hasher.finish())
        };
        half(0) << 64 | half(1)
    }

    /// Everything that may happen now.
    pub(crate) fn steps(&self) -> Vec<Step> {
        let deaths = if self.crashes > 0 { &[false, true][..] } else { &[false] };
        let mut steps = Vec::new();
        if !self.outbox.is_empty() {
            steps.extend(deaths.iter().map(|dies| Step::Relay { dies: *dies }));
        }
        steps.extend(
            self.log.iter().filter(|(_, log)| !log.is_empty()).map(|(product, _)| Step::Decide(*product)),
        );
        for (product, _) in self.answers.iter().filter(|(_, answers)| !answers.is_empty()) {
            steps.extend(deaths.iter().map(|dies| Step::Take { product: *product, dies: *dies }));
        }
        for order in self.orders.values() {
            self.steps_of(order, &mut steps);
        }
        steps
    }

    fn steps_of(&self, order: &Order, steps: &mut Vec<Step>) {
        let id = order.id;
        match order.state {
            OrderState::Received => steps.push(Step::GiveUp(id)),
            OrderState::Paying if order.reviving => steps.push(Step::GiveUp(id)),
            OrderState::Reserved => {
                steps.extend([Step::Expire(id), Step::Cancel(id)]);
                if !self.payments.contains_key(&id) {
                    steps.push(Step::Pay(id));
                }
            }
            OrderState::Paid => steps.push(Step::Cancel(id)),
            _ => {}
        }
        if order.state == OrderState::Received && !self.asked_again.contains(&id) {
            steps.push(Step::Ask(id));
        }
        let Some(payment) = self.payments.get(&id) else { return };
        let both = [true, false];
        if payment.bank == Bank::Waits {
            steps.extend(both.map(|pays| Step::Arrive { order: id, pays }));
            if payment.booked == Booked::Sent && self.crashes > 0 {
                steps.extend(both.map(|in_time| Step::Overtake { order: id, in_time }));
            }
        }
        match (payment.booked, payment.bank) {
            (Booked::Sent, Bank::Has) => steps.push(Step::Settle { order: id, in_time: true }),
            (Booked::Sent, Bank::Refused) => {
                steps.extend(both.map(|in_time| Step::Settle { order: id, in_time }));
            }
            (Booked::Declined, Bank::Has) => steps.push(Step::Hint(id)),
            _ => {}
        }
        if payment.owed {
            steps.push(Step::Return(id));
        }
    }

    /// Takes a step that may be taken.
    pub(crate) fn take(&mut self, step: Step) {
        match step {
            Step::Relay { dies } => self.relay(dies),
            Step::Decide(product) => self.decide(product),
            Step::Take { product, dies } => self.take_answer(product, dies),
            Step::Ask(id) => {
                self.asked_again.insert(id);
                self.outbox.extend(self.orders[&id].reserves());
            }
            Step::GiveUp(id) => self.step(id, Trigger::Unanswered),
            Step::Expire(id) => self.step(id, Trigger::TimeOver),
            Step::Cancel(id) if self.orders[&id].state == OrderState::Paid => {
                self.step(id, Trigger::RefundAsked { cancels: true });
                self.payment(id).owed = true;
            }
            Step::Cancel(id) => self.step(id, Trigger::Cancelled),
            Step::Pay(id) => {
                self.step(id, Trigger::PaymentStarted);
                self.payments.insert(id, Payment { booked: Booked::Sent, bank: Bank::Waits, owed: false });
            }
            Step::Arrive { order, pays } => {
                self.payment(order).bank = if pays { Bank::Has } else { Bank::Refused };
            }
            Step::Settle { order, in_time } => match self.payments[&order].bank {
                Bank::Has => self.approved(order),
                _ => self.declined(order, in_time),
            },
            Step::Overtake { order, in_time } => {
                self.crashes -= 1;
                self.declined(order, in_time);
            }
            Step::Hint(order) => self.approved(order),
            Step::Return(id) => self.give_back(id),
        }
    }

    fn payment(&mut self, id: OrderId) -> &mut Payment {
        self.payments.get_mut(&id).unwrap()
    }

    fn relay(&mut self, dies: bool) {
        let command = self.outbox.front().cloned().unwrap();
        self.log.get_mut(&command.product_id()).unwrap().push_back(command);
        if dies {
            self.crashes -= 1;
        } else {
            self.outbox.pop_front();
        }
    }

    fn decide(&mut self, product: ProductId) {
        let command = self.log.get_mut(&product).unwrap().pop_front().unwrap();
        let mut effects = Effects::default();
        decide_stock(&mut self.memory, &mut effects, 0, &command);
        let answers = self.answers.get_mut(&product).unwrap();
        answers.extend(effects.products[&product].decisions.iter().map(|decision| Told {
            order: decision.order_id,
            product,
            attempt: decision.attempt,
            refused: decision.reason.filter(|_| decision.result == Outcome::Rejected),
        }));
    }

    fn take_answer(&mut self, product: ProductId, dies: bool) {
        let answers = self.answers.get_mut(&product).unwrap();
        let told = *answers.front().unwrap();
        if dies {
            self.crashes -= 1;
        } else {
            answers.pop_front();
        }
        let decided = take_answers(&mut self.orders, &[told], until(), now());
        self.outbox.extend(decided.strays);
        for transition in decided.steps {
            self.tell(transition);
        }
    }

    fn step(&mut self, id: OrderId, trigger: Trigger) {
        let transition = self.orders.get_mut(&id).unwrap().take(trigger, By::System, now());
        self.tell(transition.unwrap());
    }

    /// What is written with a transition: commands, and a refund that is owed.
    fn tell(&mut self, transition: Transition) {
        if transition.from == OrderState::Paying && transition.to == OrderState::RefundPending {
            self.payment(transition.event.order_id).owed = true;
        }
        self.outbox.extend(transition.commands);
    }

    fn approved(&mut self, id: OrderId) {
        let (state, reviving) = (self.orders[&id].state, self.orders[&id].reviving);
        let waits = self.payments[&id].booked == Booked::Sent && awaits_approval(state, reviving);
        let triggers = if waits { &[Trigger::Approved][..] } else { paid_late(state, true) };
        let payment = self.payment(id);
        payment.booked = if triggers.is_empty() { Booked::Surplus } else { Booked::Approved };
        payment.owed = triggers.is_empty();
        for trigger in triggers {
            self.step(id, *trigger);
        }
    }

    fn declined(&mut self, id: OrderId, in_time: bool) {
        self.payment(id).booked = Booked::Declined;
        self.step(id, Trigger::Declined { in_time });
    }

    fn give_back(&mut self, id: OrderId) {
        let payment = self.payment(id);
        let pays_order = payment.booked == Booked::Approved;
        *payment = Payment { booked: Booked::Cancelled, bank: Bank::GaveBack, owed: false };
        if pays_order {
            self.step(id, Trigger::Refunded { whole: true, restock: true });
        }
    }

    /// What must hold always, and `at_rest`: when nothing more happens by itself.
    pub(crate) fn check(&self, at_rest: bool) -> Result<(), String> {
        for (product, sale) in &self.memory.sales {
            let counts = sale.counts;
            if counts.available < 0 || counts.available + counts.reserved + counts.sold != counts.total {
                return Err(format!("product {product}: {counts:?}"));
            }
        }
        if !at_rest {
            return Ok(());
        }
        self.orders.values().try_for_each(|order| self.check_at_rest(order))
    }

    fn check_at_rest(&self, order: &Order) -> Result<(), String> {
        let has_money = self.payments.get(&order.id).is_some_and(|payment| payment.bank == Bank::Has);
        let units = |state: HoldState| {
            let of_sale = |sale: &product::stock::rules::Sale| {
                sale.holds.iter().filter(|((id, _), hold)| *id == order.id && hold.state == state).count()
            };
            self.memory.sales.values().map(of_sale).sum::<usize>()
        };
        let (held, sold) = (units(HoldState::Held), units(HoldState::Confirmed));
        let all = order.holds.len();
        let expected = match order.state {
            OrderState::Reserved => (all, 0, false),
            OrderState::Paid => (0, all, true),
            OrderState::Rejected
            | OrderState::Failed
            | OrderState::Expired
            | OrderState::Cancelled
            | OrderState::Refunded => (0, 0, false),
            state => return Err(format!("{} rests in {state:?}", order.id)),
        };
        let found = (held, sold, has_money);
        let say =
            || format!("{} is {:?}: held, sold, money {found:?}, not {expected:?}", order.id, order.state);
        if found == expected { Ok(()) } else { Err(say()) }
    }
}

/// What a command means for the future: everything else in it is always the same.
fn write_command(text: &mut String, command: &StockCommand) {
    let (order, attempt) = match command {
        StockCommand::Reserve(c) => (c.order_id, c.attempt),
        StockCommand::Confirm(c) | StockCommand::Release(c) | StockCommand::Restock(c) => {
            (c.order_id, c.attempt)
        }
        StockCommand::Terms(_) | StockCommand::Adjust(_) => unreachable!("nobody here sends them"),
    };
    let (kind, product) = (command.kind(), command.product_id());
    write!(text, " {kind}{product}{order}{attempt}").expect("writing to a string does not fail");
}

fn placed(number: u8, products: impl Iterator<Item = ProductId>) -> Order {
    let holds = products.map(|product| Hold {
        product,
        quantity: 1,
        ticket: Ticket(number.into()),
        price_version: 1,
        attempt: 1,
        held: false,
    });
    Order {
        id: OrderId(Uuid::from_u128(number.into())),
        user: UserId(number.into()),
        state: OrderState::Received,
        reviving: false,
        seq: 1,
        total: Won(1_000),
        expires_at: None,
        resends: 0,
        created_at: now(),
        holds: holds.collect(),
    }
}
