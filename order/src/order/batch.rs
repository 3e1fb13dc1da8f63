//! The rows of a batch of new orders: what only one may have is taken first, the rest is written for those who got it.

use std::collections::{HashMap, HashSet};

use common::wire::Time;
use common::wire::event::{OrderChanged, StockCommand};
use common::wire::id::OrderId;
use sqlx::PgConnection;
use uuid::Uuid;

use super::draft::Draft;
use super::{FIRST_ATTEMPT, Step, resend, rules, store};
use crate::idempotency::{Answer, Claim};

/// An order that waits for being placed.
#[derive(Debug)]
pub struct Wanted {
    /// The order.
    pub draft: Draft,
    /// The key that it is placed under.
    pub claim: Claim,
    /// What its buyer is told.
    pub answer: Answer,
    /// How it ends at once, where the stock need not be asked.
    pub refused: Option<Step>,
}

/// What became of one order of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Key and tickets are its own.
    Free,
    /// The key has had its request.
    KeyTaken,
    /// A ticket has had its order; nothing of this one is left.
    TicketTaken,
    /// A ticket was taken by an order of this batch that is not placed either: to be tried again.
    Again,
}

/// Takes the keys and tickets of all, gives back what those who do not get everything got, and says who got what.
///
/// # Errors
/// The database's.
pub async fn claim(tx: &mut PgConnection, wanted: &[&Wanted]) -> Result<Vec<Verdict>, sqlx::Error> {
    let mut names = HashSet::with_capacity(wanted.len());
    // The second of two with one key finds the first one's answer, or that it has none.
    let first: Vec<bool> = wanted.iter().map(|wanted| names.insert(wanted.claim.name())).collect();
    let tried: Vec<&Wanted> =
        wanted.iter().zip(&first).filter_map(|(w, first)| first.then_some(*w)).collect();
    let taken = take(tx, &tried).await?;
    let has_key = |one: &Wanted| {
        let (user, _, key) = one.claim.name();
        taken.keys.contains(&(user, key.to_owned()))
    };
    let tickets = |one: &Wanted| taken.tickets.get(&one.draft.order.id.0).copied().unwrap_or_default();
    let mut verdicts = Vec::with_capacity(wanted.len());
    let mut returned: Vec<&Wanted> = Vec::new();
    let mut contested = false;
    for (one, first) in wanted.iter().zip(&first) {
        let verdict = match (*first && has_key(one), tickets(one)) {
            (false, _) => Verdict::KeyTaken,
            (true, tickets) if tickets == one.draft.order.holds.len() => Verdict::Free,
            (true, _) => Verdict::TicketTaken,
        };
        if *first && verdict != Verdict::Free {
            contested |= tickets(one) > 0;
            returned.push(one);
        }
        verdicts.push(verdict);
    }
    give_back(tx, &returned, has_key).await?;
    // One that is alone lost to somebody who keeps what they have.
    if contested && wanted.len() > 1 {
        let lost = verdicts.iter_mut().filter(|verdict| **verdict == Verdict::TicketTaken);
        lost.for_each(|verdict| *verdict = Verdict::Again);
    }
    Ok(verdicts)
}

/// What a batch was given.
struct Taken {
    /// Keys, with their accounts.
    keys: HashSet<(i64, String)>,
    /// Tickets by order.
    tickets: HashMap<Uuid, usize>,
}

/// The tickets of orders, as columns of `order_ticket`.
#[derive(Default)]
struct Tickets {
    products: Vec<i64>,
    buyers: Vec<i64>,
    tickets: Vec<i64>,
    orders: Vec<Uuid>,
}

impl Tickets {
    fn of(wanted: &[&Wanted]) -> Self {
        let mut columns = Self::default();
        for order in wanted.iter().map(|one| &one.draft.order) {
            for hold in &order.holds {
                columns.products.push(hold.product.0);
                columns.buyers.push(order.user.0);
                columns.tickets.push(hold.ticket.0);
                columns.orders.push(order.id.0);
            }
        }
        columns
    }
}

async fn take(tx: &mut PgConnection, tried: &[&Wanted]) -> Result<Taken, sqlx::Error> {
    let claims = || tried.iter().map(|one| &one.claim);
    let users: Vec<i64> = claims().map(|claim| claim.name().0).collect();
    let routes: Vec<String> = claims().map(|claim| claim.name().1.to_owned()).collect();
    let keys: Vec<String> = claims().map(|claim| claim.name().2.to_owned()).collect();
    let fingerprints: Vec<Vec<u8>> = claims().map(|claim| claim.fingerprint().to_vec()).collect();
    let statuses: Vec<i32> = tried.iter().map(|one| i32::from(one.answer.status.as_u16())).collect();
    let bodies: Vec<&str> = tried.iter().map(|one| &*one.answer.body).collect();
    let times: Vec<Time> = tried.iter().map(|one| one.draft.order.created_at).collect();
    let asks: HashSet<OrderId> =
        tried.iter().filter(|one| one.refused.is_none()).map(|one| one.id()).collect();
    let tickets = Tickets::of(tried);
    let used: Vec<bool> = tickets.orders.iter().map(|id| asks.contains(&OrderId(*id))).collect();
    let rows = sqlx::query_file!(
        "src/order/sql/claim.sql",
        &users,
        &routes,
        &keys,
        &fingerprints,
        &statuses,
        &bodies as &[&str],
        &times,
        &tickets.products,
        &tickets.buyers,
        &tickets.tickets,
        &tickets.orders,
        &used,
    )
    .fetch_all(tx)
    .await?;
    let mut taken = Taken { keys: HashSet::with_capacity(rows.len()), tickets: HashMap::new() };
    for row in rows {
        taken.keys.extend(row.user_id.zip(row.key));
        if let Some(order) = row.order_id {
            *taken.tickets.entry(order).or_default() += 1;
        }
    }
    Ok(taken)
}

/// A refusal leaves its key free, and an order that is not placed holds no ticket.
async fn give_back(
    tx: &mut PgConnection,
    returned: &[&Wanted],
    has_key: impl Fn(&Wanted) -> bool,
) -> Result<(), sqlx::Error> {
    if returned.is_empty() {
        return Ok(());
    }
    let claims = || returned.iter().filter(|one| has_key(one)).map(|one| one.claim.name());
    let users: Vec<i64> = claims().map(|(user, ..)| user).collect();
    let routes: Vec<String> = claims().map(|(_, route, _)| route.to_owned()).collect();
    let keys: Vec<String> = claims().map(|(.., key)| key.to_owned()).collect();
    let tickets = Tickets::of(returned);
    sqlx::query!(
        "WITH freed AS (
             DELETE FROM order_ticket USING UNNEST($4::bigint[], $5::bigint[], $6::bigint[], $7::uuid[])
                 AS mine (product_id, user_id, ticket, order_id)
             WHERE order_ticket.product_id = mine.product_id AND order_ticket.user_id = mine.user_id
               AND order_ticket.ticket = mine.ticket AND order_ticket.order_id = mine.order_id)
         DELETE FROM idempotency USING UNNEST($1::bigint[], $2::text[], $3::text[]) AS mine (user_id, route, key)
         WHERE idempotency.user_id = mine.user_id AND idempotency.route = mine.route AND idempotency.key = mine.key",
        &users,
        &routes,
        &keys,
        &tickets.products,
        &tickets.buyers,
        &tickets.tickets,
        &tickets.orders,
    )
    .execute(tx)
    .await?;
    Ok(())
}

/// Stores new orders, whose keys and tickets are their own, and asks the stock for those that it has to decide.
///
/// # Errors
/// The database's.
pub async fn insert(tx: &mut PgConnection, wanted: &[&Wanted]) -> Result<(), sqlx::Error> {
    let Some(first) = wanted.first() else { return Ok(()) };
    let now = first.draft.order.created_at;
    let of_all = || wanted.iter().map(|one| (one.id().0, &one.draft));
    let lines = || {
        of_all().flat_map(|(id, draft)| draft.view.lines.iter().zip(1..).map(move |(line, n)| (id, n, line)))
    };
    let holds = || of_all().flat_map(|(id, draft)| draft.order.holds.iter().map(move |hold| (id, hold)));
    let ends = || wanted.iter().filter_map(|one| one.refused.as_ref());
    sqlx::query_file!(
        "src/order/sql/place.sql",
        &of_all().map(|(id, _)| id).collect::<Vec<Uuid>>(),
        &of_all().map(|(_, draft)| draft.order.user.0).collect::<Vec<i64>>(),
        &of_all().map(|(_, draft)| draft.order.total.0).collect::<Vec<i64>>(),
        &of_all().map(|(_, draft)| draft.view.shipping_address.clone()).collect::<Vec<_>>()
            as &[Option<String>],
        &of_all().map(|(_, draft)| draft.view.memo.clone()).collect::<Vec<_>>() as &[Option<String>],
        &of_all().map(|(_, draft)| draft.order.created_at).collect::<Vec<Time>>(),
        f64::from(i32::try_from(resend::PATIENCE_S).unwrap_or(i32::MAX)),
        &lines().map(|(id, ..)| id).collect::<Vec<Uuid>>(),
        &lines().map(|(_, n, _)| n).collect::<Vec<i32>>(),
        &lines().map(|(.., line)| line.product_id.0).collect::<Vec<i64>>(),
        &lines().map(|(.., line)| line.product_name.clone()).collect::<Vec<String>>(),
        &lines().map(|(.., line)| line.option_id.map(|id| id.0)).collect::<Vec<_>>() as &[Option<i64>],
        &lines().map(|(.., line)| line.quantity.cast_signed()).collect::<Vec<i32>>(),
        &lines().map(|(.., line)| line.unit_price.0).collect::<Vec<i64>>(),
        &holds().map(|(id, _)| id).collect::<Vec<Uuid>>(),
        &holds().map(|(_, hold)| hold.product.0).collect::<Vec<i64>>(),
        &holds().map(|(_, hold)| hold.quantity.cast_signed()).collect::<Vec<i32>>(),
        &holds().map(|(_, hold)| hold.ticket.0).collect::<Vec<i64>>(),
        &holds().map(|(_, hold)| hold.price_version).collect::<Vec<i64>>(),
        FIRST_ATTEMPT,
        &ended(wanted, |end| Some(rules::name(end.to).to_owned())) as &[Option<String>],
        &ended(wanted, |end| Some(end.event.seq)) as &[Option<i64>],
        &ended(wanted, |end| end.event.reason.clone()) as &[Option<String>],
        &ended(wanted, |end| Some(end.cause.to_owned())) as &[Option<String>],
        &ended(wanted, |end| Some(end.by.to_string())) as &[Option<String>],
    )
    .execute(&mut *tx)
    .await?;
    let asking = wanted.iter().filter(|one| one.refused.is_none());
    let commands: Vec<StockCommand> = asking.flat_map(|one| one.draft.order.reserves()).collect();
    let placed = of_all().map(|(_, draft)| draft.order.event(None, draft.order.created_at));
    let events: Vec<OrderChanged> = placed.chain(ends().map(|end| end.event.clone())).collect();
    store::tell(tx, &commands, &events, now).await
}

/// A fact of the end of each order that ends at once, in the order of all.
fn ended<T>(wanted: &[&Wanted], fact: impl Fn(&Step) -> Option<T>) -> Vec<Option<T>> {
    wanted.iter().map(|one| one.refused.as_ref().and_then(&fact)).collect()
}

impl Wanted {
    /// Which order it would be.
    pub fn id(&self) -> OrderId {
        self.draft.order.id
    }
}
