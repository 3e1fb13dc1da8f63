//! Orders: placed by shoppers, decided by the stock, ended by payment, time or cancel.
//!
//! - [`rules`]: the state machine, and what a stock decision means for an order. Pure.
//! - [`draft`]: what an order will hold and cost. Pure.
//! - [`http`]: place, list, show, cancel.
//! - [`place`]: gathers the orders that wait into batches; [`batch`]: a batch's rows.
//! - [`sold_out`]: orders that need not ask the stock.
//! - [`events`]: stock decisions come in.
//! - [`expire`]: gives back units that nobody paid in time.
//! - [`resend`]: asks the stock again when it does not answer.
//! - [`live`]: tells those who watch an order of its transitions.
//! - [`view`]: orders as their owners read them.
//! - [`store`]: the rows. Every transition is a compare-and-swap on state and number, in one transaction with its
//!   history, its event and its stock commands.
//!
//! The order's row is the lock for everything about it; several are always taken in the order of their ids.

pub mod batch;
pub mod draft;
pub mod events;
pub mod expire;
pub mod http;
pub mod live;
pub mod place;
pub mod resend;
pub mod rules;
pub mod sold_out;
pub mod store;
pub mod view;

use std::fmt;

use common::wire::Time;
use common::wire::event::{OrderChanged, OrderLine, Reserve, Settle, StockCommand};
use common::wire::id::{OrderId, ProductId, Ticket, UserId};
use common::wire::money::Won;
use common::wire::order::OrderState;

/// Name of this service in the events it sends.
pub const SOURCE: &str = "order";
/// The first reserve of an order.
pub const FIRST_ATTEMPT: i32 = 1;

/// An order as the rules see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Its id.
    pub id: OrderId,
    /// The buyer.
    pub user: UserId,
    /// Where it stands.
    pub state: OrderState,
    /// Paid after it had ended: the stock is asked again. Only while `paying`.
    pub reviving: bool,
    /// Number of its last transition.
    pub seq: i64,
    /// What it costs.
    pub total: Won,
    /// Until when it can be paid, once the stock has said yes.
    pub expires_at: Option<Time>,
    /// How often the stock was asked again.
    pub resends: i32,
    /// When it was placed.
    pub created_at: Time,
    /// What it asks of the stock, one per product.
    pub holds: Vec<Hold>,
}

/// What an order asks of one product's stock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hold {
    /// The product.
    pub product: ProductId,
    /// Units, summed over the lines.
    pub quantity: u32,
    /// The ticket that gave the right to order.
    pub ticket: Ticket,
    /// Price version the lines were calculated with.
    pub price_version: i64,
    /// The reserve that was sent.
    pub attempt: i32,
    /// The stock said yes to it.
    pub held: bool,
}

/// Who causes a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    /// A person.
    User(UserId),
    /// The service itself, or an event that no person caused.
    System,
}

impl fmt::Display for By {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User(user) => user.fmt(f),
            Self::System => f.write_str("system"),
        }
    }
}

/// One transition with everything that goes with it.
#[derive(Debug, Clone, PartialEq)]
pub struct Step {
    /// State before.
    pub from: OrderState,
    /// State after.
    pub to: OrderState,
    /// Whether the stock is asked again from here.
    pub reviving: bool,
    /// Until when the order can be paid.
    pub expires_at: Option<Time>,
    /// What happened, for the history.
    pub cause: &'static str,
    /// Who did it.
    pub by: By,
    /// What the other services are told.
    pub event: OrderChanged,
    /// What the stock is told.
    pub commands: Vec<StockCommand>,
    /// How long the stock's answer took, where this is the answer.
    pub stock_wait: Option<chrono::Duration>,
}

impl Order {
    /// Whether the time to pay is over.
    pub fn is_over(&self, now: Time) -> bool {
        self.expires_at.is_none_or(|at| at <= now)
    }

    /// The event that tells of the order as it stands.
    pub fn event(&self, reason: Option<String>, at: Time) -> OrderChanged {
        let lines = self.holds.iter().map(|hold| OrderLine {
            product_id: hold.product,
            quantity: hold.quantity,
            tkt: hold.ticket,
        });
        OrderChanged {
            order_id: self.id,
            seq: self.seq,
            user_id: self.user,
            state: self.state,
            reason,
            lines: lines.collect(),
            at,
        }
    }

    /// The commands that ask the stock for what is not held yet: the same ones however often they are sent.
    pub fn reserves(&self) -> Vec<StockCommand> {
        let waiting = self.holds.iter().filter(|hold| !hold.held);
        let reserve = |hold: &Hold| Reserve {
            product_id: hold.product,
            order_id: self.id,
            attempt: hold.attempt,
            user_id: self.user,
            quantity: hold.quantity,
            price_version: hold.price_version,
            at: self.created_at,
        };
        waiting.map(|hold| StockCommand::Reserve(reserve(hold))).collect()
    }

    /// What settles one hold.
    pub fn settle(&self, hold: &Hold, reason: &str, at: Time) -> Settle {
        Settle {
            product_id: hold.product,
            order_id: self.id,
            attempt: hold.attempt,
            user_id: self.user,
            reason: reason.to_owned(),
            at,
        }
    }
}
