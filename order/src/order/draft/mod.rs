//! What an order will hold and cost: rights, sale window, options, limits and the shop's prices. Pure.

use std::collections::BTreeMap;

use common::auth::Caller;
use common::wire::Time;
use common::wire::id::{OrderId, ProductId, Ticket, UserId};
use common::wire::money::Won;
use common::wire::order::{LineView, OrderState, OrderView, PlaceOrder, WantedLine};
use common::wire::problem::FieldError;
use common::wire::product::ProductSnapshot;

use super::{FIRST_ATTEMPT, Hold, Order};
use crate::error::Error;
use crate::product::Products;

/// An order that can be stored.
#[derive(Debug, Clone)]
pub struct Draft {
    /// As the rules see it.
    pub order: Order,
    /// As its owner sees it.
    pub view: OrderView,
}

/// The ticket for each product of the lines, in the order of the products.
///
/// # Errors
/// [`Error::PassNeeded`] naming the lines without one.
pub fn tickets(caller: &Caller, lines: &[WantedLine]) -> Result<BTreeMap<ProductId, Ticket>, Error> {
    let mut tickets = BTreeMap::new();
    let mut missing = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        // A shopper who was let in twice may still carry the older token: its ticket may be used up.
        let rights = caller.passes.iter().filter(|right| right.pid == line.product_id);
        match rights.map(|right| right.tkt).max() {
            Some(ticket) => drop(tickets.insert(line.product_id, ticket)),
            None => missing.push(FieldError {
                field: format!("lines[{index}].productId"),
                message: "needs an access token for this product".into(),
            }),
        }
    }
    if missing.is_empty() { Ok(tickets) } else { Err(Error::PassNeeded(missing)) }
}

/// The order that a wish becomes at `now`.
///
/// # Errors
/// What the product's facts say against it.
pub fn draft(
    user: UserId,
    wish: &PlaceOrder,
    tickets: &BTreeMap<ProductId, Ticket>,
    products: &Products,
    now: Time,
) -> Result<Draft, Error> {
    let mut lines = Vec::with_capacity(wish.lines.len());
    let mut total = Won(0);
    for (index, wanted) in wish.lines.iter().enumerate() {
        let product = products.get(&wanted.product_id).ok_or(Error::UnknownProduct(wanted.product_id))?;
        is_open(product, now)?;
        let line = price(product, wanted, index)?;
        let cost = line.unit_price.checked_times(line.quantity).ok_or(Error::TotalTooLarge)?;
        total = total.checked_add(cost).ok_or(Error::TotalTooLarge)?;
        lines.push(line);
    }
    let order = Order {
        id: OrderId::new(),
        user,
        state: OrderState::Received,
        reviving: false,
        seq: 1,
        total,
        expires_at: None,
        resends: 0,
        created_at: now,
        holds: holds(&lines, tickets, products)?,
    };
    let view = OrderView {
        order_id: order.id,
        state: order.state,
        lines,
        total_price: total,
        expires_at: None,
        reason: None,
        shipping_address: wish.shipping_address.clone(),
        memo: wish.memo.clone(),
        created_at: now,
        updated_at: now,
    };
    Ok(Draft { order, view })
}

fn is_open(product: &ProductSnapshot, now: Time) -> Result<(), Error> {
    if product.deleted || product.sale_end_time <= now {
        return Err(Error::SaleClosed(product.product_id));
    }
    if now < product.sale_start_time {
        return Err(Error::SaleNotOpen(product.product_id));
    }
    Ok(())
}

fn price(product: &ProductSnapshot, wanted: &WantedLine, index: usize) -> Result<LineView, Error> {
    let extra = match wanted.option_id {
        Some(id) => {
            let option = product.product_options.iter().find(|option| option.option_id == id);
            option.ok_or(Error::UnknownOption(product.product_id))?.option_price
        }
        None if product.product_options.is_empty() => Won(0),
        None => {
            let field = format!("lines[{index}].optionId");
            return Err(Error::Invalid(vec![FieldError {
                field,
                message: "one of the options is needed".into(),
            }]));
        }
    };
    let unit_price = product.discounted_price.checked_add(extra).filter(|price| *price >= Won(0));
    Ok(LineView {
        product_id: product.product_id,
        product_name: product.product_name.clone(),
        option_id: wanted.option_id,
        quantity: u32::try_from(wanted.quantity).map_err(|_| Error::TotalTooLarge)?,
        unit_price: unit_price.ok_or(Error::TotalTooLarge)?,
    })
}

/// One hold per product, lines summed: two lines of one product must not pass a limit that their sum breaks.
fn holds(
    lines: &[LineView],
    tickets: &BTreeMap<ProductId, Ticket>,
    products: &Products,
) -> Result<Vec<Hold>, Error> {
    let mut holds = Vec::with_capacity(tickets.len());
    for (id, ticket) in tickets {
        let product = products.get(id).ok_or(Error::UnknownProduct(*id))?;
        let quantity = lines.iter().filter(|line| line.product_id == *id).map(|line| line.quantity).sum();
        if quantity > product.purchase_limit {
            return Err(Error::OverLimit { product: *id, limit: product.purchase_limit });
        }
        holds.push(Hold {
            product: *id,
            quantity,
            ticket: *ticket,
            price_version: product.price_version,
            attempt: FIRST_ATTEMPT,
            held: false,
        });
    }
    Ok(holds)
}

#[cfg(test)]
mod tests;
