//! Which transition an order may make, and what goes with it. Pure.
//!
//! | from | trigger | to | the stock is told |
//! |---|---|---|---|
//! | received | every product held | reserved | |
//! | received | a product refused | rejected | release what is held |
//! | received | no answer | failed | release everything |
//! | reserved | cancelled | cancelled | release |
//! | reserved | time over | expired | release |
//! | reserved | payment started | paying | |
//! | paying | approved | paid | confirm |
//! | paying | declined in time | reserved | |
//! | paying | declined too late | expired | release |
//! | expired, cancelled, failed | paid after all | paying, reviving | reserve again, as a new attempt |
//! | paying, reviving | every product held | paid | confirm |
//! | paying, reviving | a product refused, or no answer | refundPending | release |
//! | paid, partiallyRefunded | a refund is asked for | refundPending | |
//! | refundPending | all money went back | refunded | restock, where the shop wants it |
//! | refundPending | a part of it went back | partiallyRefunded | |
//! | refundPending | the provider gives nothing back | paid, partiallyRefunded | |

use std::collections::BTreeMap;

use common::wire::Time;
use common::wire::event::{Refusal, Settle, StockCommand};
use common::wire::id::{OrderId, ProductId, UserId};
use common::wire::order::OrderState;

use super::{By, Order, Step};

/// What moves an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// The stock holds every product.
    Held {
        /// Until when.
        until: Time,
    },
    /// The stock refused a product.
    Refused {
        /// Why.
        reason: Refusal,
    },
    /// The stock did not answer, however often it was asked.
    Unanswered,
    /// The buyer cancelled.
    Cancelled,
    /// Nobody paid in time.
    TimeOver,
    /// A payment goes to the provider.
    PaymentStarted,
    /// The provider has the money.
    Approved,
    /// The provider said no, or the money went back before it was ever counted.
    Declined {
        /// There is time for another payment.
        in_time: bool,
    },
    /// The provider has the money for an order that has ended.
    PaidLate,
    /// Money is to go back.
    RefundAsked {
        /// The buyer cancels; else a refund was asked for by name.
        cancels: bool,
    },
    /// Money went back.
    Refunded {
        /// All of it.
        whole: bool,
        /// The units are sold again.
        restock: bool,
    },
    /// The provider does not give the money back.
    RefundRefused {
        /// An earlier refund did give a part of it.
        partly: bool,
    },
}

/// A trigger that the state does not know.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("an order that is {} does not take {trigger:?}", name(*.from))]
pub struct Illegal {
    /// The state.
    pub from: OrderState,
    /// The trigger.
    pub trigger: Trigger,
}

/// The state that `trigger` leads to. `reviving` tells the two kinds of `paying` apart.
///
/// # Errors
/// [`Illegal`] for everything that the table does not list.
pub fn next((from, reviving): (OrderState, bool), trigger: Trigger) -> Result<OrderState, Illegal> {
    use OrderState::{
        Cancelled, Expired, Failed, Paid, PartiallyRefunded, Paying, Received, RefundPending, Refunded,
        Rejected, Reserved,
    };
    match (from, trigger) {
        (Received, Trigger::Held { .. }) => Ok(Reserved),
        (Received, Trigger::Refused { .. }) => Ok(Rejected),
        (Received, Trigger::Unanswered) => Ok(Failed),
        (Reserved, Trigger::Cancelled) => Ok(Cancelled),
        (Reserved, Trigger::TimeOver) => Ok(Expired),
        (Reserved, Trigger::PaymentStarted) => Ok(Paying),
        (Paying, Trigger::Held { .. }) if reviving => Ok(Paid),
        (Paying, Trigger::Refused { .. } | Trigger::Unanswered) if reviving => Ok(RefundPending),
        (Paying, Trigger::Approved) if !reviving => Ok(Paid),
        (Paying, Trigger::Declined { in_time: true }) if !reviving => Ok(Reserved),
        (Paying, Trigger::Declined { in_time: false }) if !reviving => Ok(Expired),
        (Expired | Cancelled | Failed, Trigger::PaidLate) => Ok(Paying),
        (Paid | PartiallyRefunded, Trigger::RefundAsked { .. }) => Ok(RefundPending),
        (RefundPending, Trigger::Refunded { whole: true, .. }) => Ok(Refunded),
        (RefundPending, Trigger::Refunded { whole: false, .. }) => Ok(PartiallyRefunded),
        (RefundPending, Trigger::RefundRefused { partly: true }) => Ok(PartiallyRefunded),
        (RefundPending, Trigger::RefundRefused { partly: false }) => Ok(Paid),
        _ => Err(Illegal { from, trigger }),
    }
}

/// A state's name, as on the wire and in the table.
pub fn name(state: OrderState) -> &'static str {
    match state {
        OrderState::Received => "received",
        OrderState::Reserved => "reserved",
        OrderState::Rejected => "rejected",
        OrderState::Paying => "paying",
        OrderState::Paid => "paid",
        OrderState::Expired => "expired",
        OrderState::Cancelled => "cancelled",
        OrderState::Failed => "failed",
        OrderState::RefundPending => "refundPending",
        OrderState::Refunded => "refunded",
        OrderState::PartiallyRefunded => "partiallyRefunded",
    }
}

impl Trigger {
    /// For the history.
    fn cause(self) -> &'static str {
        match self {
            Self::Held { .. } => "stock-held",
            Self::Refused { .. } => "stock-refused",
            Self::Unanswered => "stock-silent",
            Self::Cancelled => "buyer-cancelled",
            Self::TimeOver => "time-over",
            Self::PaymentStarted => "payment-started",
            Self::Approved => "payment-approved",
            Self::Declined { .. } => "payment-declined",
            Self::PaidLate => "payment-late",
            Self::RefundAsked { cancels: true } => "buyer-cancelled",
            Self::RefundAsked { cancels: false } => "refund-asked",
            Self::Refunded { .. } => "refund-done",
            Self::RefundRefused { .. } => "refund-refused",
        }
    }

    /// For the buyer, where the order ends other than paid. An order that is refunded keeps the reason why.
    fn reason(self) -> Option<&'static str> {
        match self {
            Self::Refused { reason } => Some(reason.as_str()),
            Self::Unanswered => Some("noDecision"),
            Self::Cancelled | Self::RefundAsked { cancels: true } => Some("cancelled"),
            Self::RefundAsked { cancels: false } => Some("refund"),
            Self::TimeOver | Self::Declined { in_time: false } => Some("notPaidInTime"),
            _ => None,
        }
    }
}

impl Order {
    /// Moves the order.
    ///
    /// # Errors
    /// [`Illegal`]; the order stays as it was.
    pub fn take(&mut self, trigger: Trigger, by: By, now: Time) -> Result<Step, Illegal> {
        let from = self.state;
        let to = next((from, self.reviving), trigger)?;
        self.state = to;
        self.seq += 1;
        match trigger {
            Trigger::Held { until } if !self.reviving => self.expires_at = Some(until),
            Trigger::PaidLate => self.begin_again(now),
            _ => {}
        }
        self.reviving = trigger == Trigger::PaidLate;
        let commands = self.commands(trigger, now);
        if to == OrderState::RefundPending && from == OrderState::Paying {
            self.holds.iter_mut().for_each(|hold| hold.held = false);
        }
        Ok(Step {
            from,
            to,
            reviving: self.reviving,
            expires_at: self.expires_at,
            cause: trigger.cause(),
            by,
            event: self.event(trigger.reason().map(str::to_owned), now),
            commands,
            stock_wait: (from == OrderState::Received).then(|| now - self.created_at),
        })
    }

    /// Every product is asked for once more, as if never before.
    fn begin_again(&mut self, now: Time) {
        self.expires_at.get_or_insert(now);
        for hold in &mut self.holds {
            hold.attempt += 1;
            hold.held = false;
        }
    }

    /// What the stock is told of the state that was just entered.
    fn commands(&self, trigger: Trigger, now: Time) -> Vec<StockCommand> {
        let held = self.holds.iter().filter(|hold| hold.held);
        let settle = |hold| self.settle(hold, trigger.cause(), now);
        match (self.state, trigger) {
            (OrderState::Rejected | OrderState::Cancelled | OrderState::Expired, _) => {
                held.map(settle).map(StockCommand::Release).collect()
            }
            // The reserves may still be on their way: a release that comes first keeps them out.
            (OrderState::Failed, _) | (OrderState::RefundPending, Trigger::Unanswered) => {
                self.holds.iter().map(settle).map(StockCommand::Release).collect()
            }
            (OrderState::RefundPending, Trigger::Refused { .. }) => {
                held.map(settle).map(StockCommand::Release).collect()
            }
            (OrderState::Paying, Trigger::PaidLate) => self.reserves(),
            (OrderState::Paid, Trigger::Approved | Trigger::Held { .. }) => {
                held.map(settle).map(StockCommand::Confirm).collect()
            }
            (OrderState::Refunded, Trigger::Refunded { restock: true, .. }) => {
                held.map(settle).map(StockCommand::Restock).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Whether units of this order, once held, stay held or are sold.
    fn keeps_units(&self) -> bool {
        !matches!(
            self.state,
            OrderState::Rejected | OrderState::Expired | OrderState::Cancelled | OrderState::Failed
        )
    }

    /// Whether the stock's answer decides what becomes of it.
    fn waits_for_stock(&self) -> bool {
        self.state == OrderState::Received || self.reviving
    }
}

/// One answer of the stock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Told {
    /// The order.
    pub order: OrderId,
    /// The product.
    pub product: ProductId,
    /// The attempt that is answered.
    pub attempt: i32,
    /// Why not; units are held when there is no reason.
    pub refused: Option<Refusal>,
}

/// What a batch of answers changes.
#[derive(Debug, Default)]
pub struct Decided {
    /// Holds that the stock said yes to.
    pub held: Vec<(OrderId, ProductId)>,
    /// Transitions; at most one per order.
    pub steps: Vec<Step>,
    /// Units that were held for nobody.
    pub strays: Vec<StockCommand>,
}

/// Takes the stock's answers. `orders` holds those of them that exist, locked.
///
/// A yes that no order waits for and no order keeps is given back at once; that is what keeps repeated commands,
/// and answers that come after the order failed, harmless.
pub fn decide(orders: &mut BTreeMap<OrderId, Order>, told: &[Told], until: Time, now: Time) -> Decided {
    let mut decided = Decided::default();
    for told in told {
        let order = orders.get_mut(&told.order);
        match told.refused {
            None => held(order, told, (until, now), &mut decided),
            Some(reason) => refused(order, told, reason, now, &mut decided),
        }
    }
    decided
}

fn held(order: Option<&mut Order>, told: &Told, (until, now): (Time, Time), decided: &mut Decided) {
    let user = order.as_ref().map_or(UserId(0), |order| order.user);
    if let Some(order) = order {
        let (waits, keeps) = (order.waits_for_stock(), order.keeps_units());
        let hold =
            order.holds.iter_mut().find(|hold| hold.product == told.product && hold.attempt == told.attempt);
        match hold {
            // A repeat of the answer that was taken.
            Some(hold) if keeps && hold.held => return,
            Some(hold) if waits => {
                hold.held = true;
                decided.held.push((told.order, told.product));
                if order.holds.iter().all(|hold| hold.held) {
                    decided.steps.extend(order.take(Trigger::Held { until }, By::System, now));
                }
                return;
            }
            _ => {}
        }
    }
    decided.strays.push(StockCommand::Release(Settle {
        product_id: told.product,
        order_id: told.order,
        attempt: told.attempt,
        user_id: user,
        reason: "not-awaited".into(),
        at: now,
    }));
}

fn refused(order: Option<&mut Order>, told: &Told, reason: Refusal, now: Time, decided: &mut Decided) {
    let Some(order) = order else { return };
    let awaited =
        order.holds.iter().any(|h| h.product == told.product && h.attempt == told.attempt && !h.held);
    if awaited {
        // Illegal when the order has ended, or another product was refused first: nothing is held here then.
        decided.steps.extend(order.take(Trigger::Refused { reason }, By::System, now));
    }
}

#[cfg(test)]
mod tests;
