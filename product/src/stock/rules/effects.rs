//! What a batch changed: everything its journal and its record need.

use std::collections::BTreeMap;

use common::wire::event::{Adjust, Decision, StockDecided};
use common::wire::id::{OrderId, ProductId};

use super::{Counts, Hold};

/// The key of a reservation within its product.
type HoldKey = (OrderId, i32);

/// The changes of one batch, each thing once, in its final state.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Effects {
    /// Products that the batch spoke of.
    pub products: BTreeMap<ProductId, Change>,
    /// Reservations made or settled.
    pub holds: BTreeMap<(ProductId, HoldKey), HoldChange>,
    /// Adjustments decided.
    pub adjustments: Vec<Adjusted>,
}

/// One product's part of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// Lowest offset that spoke of it.
    pub first: i64,
    /// Highest one.
    pub last: i64,
    /// Counts before the batch; all zero when it had no sale.
    pub before: Counts,
    /// Counts after it.
    pub after: Counts,
    /// The sale was registered in this batch.
    pub is_new: bool,
    /// Newer terms came.
    pub terms_changed: bool,
    /// Answers to reserves, in the log's order.
    pub decisions: Vec<Decision>,
}

/// A reservation made or settled in a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct HoldChange {
    /// As it is after the batch.
    pub hold: Hold,
    /// It was made in this batch.
    pub is_new: bool,
    /// The last command that changed it.
    pub offset: i64,
    /// Why it was settled.
    pub reason: Option<String>,
}

/// An adjustment that was decided.
#[derive(Debug, Clone, PartialEq)]
pub struct Adjusted {
    /// The command.
    pub adjust: Adjust,
    /// It would have taken more than was available.
    pub refused: bool,
    /// Its place in the log.
    pub offset: i64,
}

impl Change {
    /// Units moved, or the sale is new.
    #[must_use]
    pub fn moved(&self) -> bool {
        self.is_new || self.before != self.after
    }

    /// The record that tells of it, when there is something to tell.
    #[must_use]
    pub fn record(&self, product: ProductId) -> Option<StockDecided> {
        (self.moved() || !self.decisions.is_empty()).then(|| StockDecided {
            product_id: product,
            first: self.first,
            last: self.last,
            total: self.after.total,
            available: self.after.available,
            reserved: self.after.reserved,
            sold: self.after.sold,
            decisions: self.decisions.clone(),
        })
    }
}

impl Effects {
    /// Whether nothing is other than before: every command was refused, or known already.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.holds.is_empty()
            && self.adjustments.is_empty()
            && !self.products.values().any(|change| change.moved() || change.terms_changed)
    }

    /// Notes that the record at `offset` speaks of the product, whose counts are `now` before it is decided.
    pub(super) fn touch(&mut self, product: ProductId, offset: i64, now: Option<Counts>) {
        let counts = now.unwrap_or_default();
        let change = self.products.entry(product).or_insert_with(|| Change {
            first: offset,
            last: offset,
            before: counts,
            after: counts,
            is_new: false,
            terms_changed: false,
            decisions: Vec::new(),
        });
        change.last = offset;
    }

    pub(super) fn change(&mut self, product: ProductId) -> &mut Change {
        self.products.get_mut(&product).expect("every command touches its product first")
    }

    pub(super) fn made(&mut self, product: ProductId, key: HoldKey, hold: Hold, offset: i64) {
        let change = HoldChange { hold, is_new: true, offset, reason: None };
        self.holds.insert((product, key), change);
    }

    pub(super) fn settled(&mut self, product: ProductId, key: HoldKey, hold: Hold, offset: i64) {
        let change = self.holds.entry((product, key)).or_insert(HoldChange {
            hold,
            is_new: false,
            offset,
            reason: None,
        });
        change.hold = hold;
        change.offset = offset;
    }

    pub(super) fn explain(&mut self, product: ProductId, key: HoldKey, reason: &str) {
        if let Some(change) = self.holds.get_mut(&(product, key)) {
            change.reason = Some(reason.to_owned());
        }
    }
}
