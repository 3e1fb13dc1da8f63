//! Orders as the rules see them: locked and moved. How they are placed is [`super::batch`]; how their owners see them is
//! [`super::view`].

use std::collections::BTreeMap;

use common::outbox::Letters;
use common::wire::Time;
use common::wire::event::{OrderChanged, StockCommand};
use common::wire::id::{OrderId, ProductId, Ticket, UserId};
use common::wire::money::Won;
use common::wire::order::OrderState;
use sqlx::PgConnection;
use uuid::Uuid;

use super::{Hold, Order, SOURCE, Step, rules};
use crate::error::Error;

/// Locks orders, in the order of their ids. Those that do not exist are not in the answer.
///
/// # Errors
/// The database's.
pub async fn lock(tx: &mut PgConnection, ids: &[OrderId]) -> Result<BTreeMap<OrderId, Order>, sqlx::Error> {
    if ids.is_empty() {
        return Ok(BTreeMap::new());
    }
    let ids: Vec<Uuid> = ids.iter().map(|id| id.0).collect();
    let rows = sqlx::query!(
        r#"SELECT order_id AS "id: OrderId", user_id AS "user: UserId", state AS "state: OrderState", reviving, seq,
                  total_price AS "total: Won", expires_at, resends, created_at
           FROM orders WHERE order_id = ANY($1) ORDER BY order_id FOR UPDATE"#,
        &ids,
    )
    .fetch_all(&mut *tx)
    .await?;
    let mut orders: BTreeMap<OrderId, Order> = rows
        .into_iter()
        .map(|row| {
            let order = Order {
                id: row.id,
                user: row.user,
                state: row.state,
                reviving: row.reviving,
                seq: row.seq,
                total: row.total,
                expires_at: row.expires_at,
                resends: row.resends,
                created_at: row.created_at,
                holds: Vec::new(),
            };
            (row.id, order)
        })
        .collect();
    for (id, hold) in holds(tx, &ids).await? {
        if let Some(order) = orders.get_mut(&id) {
            order.holds.push(hold);
        }
    }
    Ok(orders)
}

/// Locks one order.
///
/// # Errors
/// The database's.
pub async fn lock_one(tx: &mut PgConnection, id: OrderId) -> Result<Option<Order>, sqlx::Error> {
    Ok(lock(tx, &[id]).await?.remove(&id))
}

/// Orders that nobody paid in time, locked; those that somebody else works on are passed over.
///
/// # Errors
/// The database's.
pub async fn lock_expired(tx: &mut PgConnection, now: Time, max: i64) -> Result<Vec<Order>, sqlx::Error> {
    let ids = sqlx::query_scalar!(
        r#"SELECT order_id AS "id: OrderId" FROM orders WHERE state = 'reserved' AND expires_at <= $1
           ORDER BY expires_at LIMIT $2 FOR UPDATE SKIP LOCKED"#,
        now,
        max,
    )
    .fetch_all(&mut *tx)
    .await?;
    Ok(lock(tx, &ids).await?.into_values().collect())
}

/// Orders that the stock has left without an answer, locked; those that somebody else works on are passed over.
///
/// # Errors
/// The database's.
pub async fn lock_silent(tx: &mut PgConnection, now: Time, max: i64) -> Result<Vec<Order>, sqlx::Error> {
    let ids = sqlx::query_scalar!(
        r#"SELECT order_id AS "id: OrderId" FROM orders WHERE (state = 'received' OR reviving) AND resend_at <= $1
           ORDER BY resend_at LIMIT $2 FOR UPDATE SKIP LOCKED"#,
        now,
        max,
    )
    .fetch_all(&mut *tx)
    .await?;
    Ok(lock(tx, &ids).await?.into_values().collect())
}

async fn holds(tx: &mut PgConnection, orders: &[Uuid]) -> Result<Vec<(OrderId, Hold)>, sqlx::Error> {
    let rows = sqlx::query!(
        r#"SELECT order_id AS "order: OrderId", product_id AS "product: ProductId", quantity,
                  ticket AS "ticket: Ticket", price_version, attempt, held
           FROM order_hold WHERE order_id = ANY($1) ORDER BY order_id, product_id"#,
        orders,
    )
    .fetch_all(tx)
    .await?;
    let hold = rows.into_iter().map(|row| {
        let hold = Hold {
            product: row.product,
            quantity: row.quantity.unsigned_abs(),
            ticket: row.ticket,
            price_version: row.price_version,
            attempt: row.attempt,
            held: row.held,
        };
        (row.order, hold)
    });
    Ok(hold.collect())
}

/// Notes that the stock said yes to these holds.
///
/// # Errors
/// The database's.
pub async fn mark_held(tx: &mut PgConnection, held: &[(OrderId, ProductId)]) -> Result<(), sqlx::Error> {
    if held.is_empty() {
        return Ok(());
    }
    let (orders, products): (Vec<Uuid>, Vec<i64>) =
        held.iter().map(|(order, product)| (order.0, product.0)).unzip();
    sqlx::query!(
        "UPDATE order_hold SET held = true FROM UNNEST($1::uuid[], $2::bigint[]) AS yes (order_id, product_id)
         WHERE order_hold.order_id = yes.order_id AND order_hold.product_id = yes.product_id",
        &orders,
        &products,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Notes that an order that begins again asks for every product as a new attempt, and when it asks once more.
///
/// # Errors
/// The database's.
pub async fn begin_again(tx: &mut PgConnection, order: OrderId, resend_at: Time) -> Result<(), sqlx::Error> {
    sqlx::query!(
        "WITH patient AS (UPDATE orders SET resends = 0, resend_at = $2 WHERE order_id = $1)
         UPDATE order_hold SET attempt = attempt + 1, held = false WHERE order_id = $1",
        order.0,
        resend_at,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Notes that nothing is held for these orders any more.
///
/// # Errors
/// The database's.
pub async fn mark_not_held(tx: &mut PgConnection, orders: &[OrderId]) -> Result<(), sqlx::Error> {
    if orders.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = orders.iter().map(|id| id.0).collect();
    sqlx::query!("UPDATE order_hold SET held = false WHERE order_id = ANY($1) AND held", &ids)
        .execute(tx)
        .await?;
    Ok(())
}

/// Notes that the stock was asked again.
///
/// # Errors
/// The database's.
pub async fn mark_resent(tx: &mut PgConnection, orders: &[OrderId], next: Time) -> Result<(), sqlx::Error> {
    let ids: Vec<Uuid> = orders.iter().map(|id| id.0).collect();
    sqlx::query!(
        "UPDATE orders SET resends = resends + 1, resend_at = $2 WHERE order_id = ANY($1)",
        &ids,
        next,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Writes transitions of locked orders with their history, events and stock commands.
///
/// # Errors
/// The database's; and when an order is not in the state and at the number that its step starts from.
pub async fn advance(tx: &mut PgConnection, steps: &[Step], now: Time) -> Result<(), Error> {
    if steps.is_empty() {
        return Ok(());
    }
    let ids: Vec<Uuid> = steps.iter().map(|step| step.event.order_id.0).collect();
    let seqs: Vec<i64> = steps.iter().map(|step| step.event.seq).collect();
    let before: Vec<String> = steps.iter().map(|step| rules::name(step.from).to_owned()).collect();
    let after: Vec<String> = steps.iter().map(|step| rules::name(step.to).to_owned()).collect();
    let reasons: Vec<Option<String>> = steps.iter().map(|step| step.event.reason.clone()).collect();
    let ends: Vec<Option<Time>> = steps.iter().map(|step| step.expires_at).collect();
    let reviving: Vec<bool> = steps.iter().map(|step| step.reviving).collect();
    let causes: Vec<String> = steps.iter().map(|step| step.cause.to_owned()).collect();
    let by: Vec<String> = steps.iter().map(|step| step.by.to_string()).collect();
    let moved = sqlx::query_file_scalar!(
        "src/order/sql/advance.sql",
        &ids,
        &seqs,
        &before,
        &after,
        &reasons as &[Option<String>],
        &ends as &[Option<Time>],
        &causes,
        &by,
        now,
        &reviving,
    )
    .fetch_one(&mut *tx)
    .await?;
    if usize::try_from(moved) != Ok(steps.len()) {
        let of = steps.len();
        return Err(anyhow::anyhow!("{moved} of {of} orders moved: a row changed under its lock").into());
    }
    let commands: Vec<StockCommand> = steps.iter().flat_map(|step| step.commands.clone()).collect();
    let events: Vec<OrderChanged> = steps.iter().map(|step| step.event.clone()).collect();
    Ok(tell(tx, &commands, &events, now).await?)
}

/// Puts commands and events into the outbox.
///
/// # Errors
/// The database's.
pub async fn tell(
    tx: &mut PgConnection,
    commands: &[StockCommand],
    events: &[OrderChanged],
    now: Time,
) -> Result<(), sqlx::Error> {
    Letters::new(SOURCE, now).with(commands).with(events).put(tx).await
}
