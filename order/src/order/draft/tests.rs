use std::sync::Arc;

use chrono::Duration;
use common::wire::id::{CompanyId, OptionId, SessionId};
use common::wire::product::{OptionView, QueuePolicy};
use common::wire::token::{Right, Role};
use proptest::prelude::{prop, proptest};
use uuid::Uuid;

use super::*;

fn now() -> Time {
    Time::from_timestamp(1_800_000_000, 0).unwrap()
}

fn product(id: i64) -> ProductSnapshot {
    let option = |id, price| OptionView {
        option_id: OptionId(id),
        option_name: "colour".into(),
        option_value: "red".into(),
        option_price: Won(price),
    };
    ProductSnapshot {
        product_id: ProductId(id),
        version: 1,
        price_version: 3,
        company_id: CompanyId(1),
        seller_id: UserId(1),
        product_name: format!("product {id}"),
        original_price: Won(2_000),
        discounted_price: Won(1_000),
        product_options: if id == 1 { vec![option(11, 500), option(12, 0)] } else { Vec::new() },
        sale_start_time: now() - Duration::seconds(10),
        sale_end_time: now() + Duration::seconds(10),
        purchase_limit: 5,
        queue: QueuePolicy::default(),
        deleted: false,
        state: None,
        state_version: 0,
        changed_by: UserId(1),
    }
}

fn line(product: i64, option: Option<i64>, quantity: i64) -> WantedLine {
    WantedLine { product_id: ProductId(product), option_id: option.map(OptionId), quantity }
}

fn caller(products: &[(i64, i64)]) -> Caller {
    let right = |&(pid, tkt): &(i64, i64)| Right {
        pid: ProductId(pid),
        tkt: Ticket(tkt),
        jti: Uuid::nil(),
        epoch: 0,
        exp: 0,
    };
    Caller {
        user: UserId(7),
        role: Role::Customer,
        sid: SessionId::new(),
        passes: products.iter().map(right).collect(),
        until: 0,
    }
}

fn order_at(lines: Vec<WantedLine>, products: &[ProductSnapshot], at: Time) -> Result<Draft, Error> {
    let wish = PlaceOrder { lines, shipping_address: None, memo: None };
    let tickets = tickets(&caller(&[(1, 100), (2, 200)]), &wish.lines)?;
    let products = products.iter().map(|product| (product.product_id, Arc::new(product.clone()))).collect();
    draft(UserId(7), &wish, &tickets, &products, at)
}

fn order(lines: Vec<WantedLine>) -> Result<Draft, Error> {
    order_at(lines, &[product(1), product(2)], now())
}

#[test]
fn prices_are_the_shops_with_the_option_included() {
    let draft = order(vec![line(1, Some(11), 2), line(2, None, 1), line(1, Some(12), 1)]).unwrap();
    let units: Vec<i64> = draft.view.lines.iter().map(|line| line.unit_price.0).collect();
    assert_eq!(units, [1_500, 1_000, 1_000]);
    assert_eq!(draft.view.total_price, Won(5_000));
    let holds: Vec<_> = draft.order.holds.iter().map(|h| (h.product.0, h.quantity, h.ticket.0)).collect();
    assert_eq!(holds, [(1, 3, 100), (2, 1, 200)], "lines of one product are summed");
    assert_eq!(draft.order.reserves().len(), 2);
}

#[test]
fn every_product_needs_a_right() {
    let lines = [line(2, None, 1), line(3, None, 1)];
    let Err(Error::PassNeeded(fields)) = tickets(&caller(&[(2, 1)]), &lines) else { panic!("not refused") };
    assert_eq!(fields.iter().map(|f| f.field.as_str()).collect::<Vec<_>>(), ["lines[1].productId"]);
}

#[test]
fn the_newest_of_two_rights_counts() {
    let tickets = tickets(&caller(&[(2, 5), (2, 9), (2, 7)]), &[line(2, None, 1)]).unwrap();
    assert_eq!(tickets[&ProductId(2)], Ticket(9));
}

#[test]
fn a_product_with_options_needs_one_of_its_own() {
    let Err(Error::Invalid(fields)) = order(vec![line(2, None, 1), line(1, None, 1)]) else { panic!() };
    assert_eq!(fields[0].field, "lines[1].optionId");
    assert!(matches!(order(vec![line(1, Some(99), 1)]), Err(Error::UnknownOption(ProductId(1)))));
    assert!(matches!(order(vec![line(2, Some(11), 1)]), Err(Error::UnknownOption(ProductId(2)))));
}

#[test]
fn the_limit_counts_the_sum_of_a_products_lines() {
    assert!(order(vec![line(1, Some(11), 3), line(1, Some(12), 2)]).is_ok());
    let over = order(vec![line(1, Some(11), 3), line(1, Some(12), 3)]);
    assert!(matches!(over, Err(Error::OverLimit { product: ProductId(1), limit: 5 })));
}

#[test]
fn the_sale_window_is_closed_at_its_end_and_open_at_its_start() {
    let products = [product(2)];
    let at = |seconds| order_at(vec![line(2, None, 1)], &products, now() + Duration::seconds(seconds));
    assert!(matches!(at(-11), Err(Error::SaleNotOpen(_))));
    assert!(at(-10).is_ok());
    assert!(at(9).is_ok());
    assert!(matches!(at(10), Err(Error::SaleClosed(_))));
    let gone = ProductSnapshot { deleted: true, ..product(2) };
    assert!(matches!(order_at(vec![line(2, None, 1)], &[gone], now()), Err(Error::SaleClosed(_))));
}

proptest! {
    #[test]
    fn totals_are_the_sum_of_the_lines(quantities in prop::collection::vec(1..=100_i64, 1..=20)) {
        let open = ProductSnapshot { purchase_limit: 10_000, discounted_price: Won::PRICE_MAX, ..product(2) };
        let lines = quantities.iter().map(|quantity| line(2, None, *quantity)).collect();
        let draft = order_at(lines, &[open], now()).unwrap();
        let units: i64 = quantities.iter().sum();
        assert_eq!(draft.view.total_price, Won(Won::PRICE_MAX.0 * units));
        assert_eq!(i64::from(draft.order.holds[0].quantity), units);
    }
}
