//! One batch, one transaction: cursor, counts, reservations, adjustments, ledger, dead letters, outbox.

use common::dead_letter;
use common::kafka::unreadable::Unreadable;
use common::outbox::Letters;
use common::wire::Time;
use common::wire::event::{STOCK_COMMANDS, StockDecided};
use common::wire::id::ProductId;
use sqlx::postgres::PgPool;
use sqlx::{Connection as _, PgConnection};

use super::rules::{Bounds, Change, Counts, Effects, HoldChange, LIMIT_MAX, Memory};
use super::store::Place;
use super::turns;
use crate::app::SOURCE;

const BEGIN: &str = "BEGIN";
/// Of a batch that moves nothing while more commands wait, as most are once a sale is sold out: its commit does not wait
/// for the disk. A crash of the server may take back the last such batches and nothing before them. The commands that
/// waited make the writer try the next batch, and find the cursor back where it was; those that were taken back are then
/// decided again, from the same counts, in the same order and so in the same way, and who hears of it twice hears the same.
const BEGIN_IDLE: &str = "BEGIN; SET LOCAL synchronous_commit = off";

/// Why a batch was not journalled. Whatever it is, the writer's memory is ahead of the tables and must go.
#[derive(Debug, thiserror::Error)]
pub enum Failed {
    /// Another writer moved the cursor, or a crash of the database took it back.
    #[error("the cursor is not where this writer left it")]
    Fenced,
    /// The tables are not as the writer remembered them.
    #[error("{what}: {rows} rows changed instead of {expected}")]
    Differs {
        /// Which of them.
        what: &'static str,
        /// Rows that were as remembered.
        rows: u64,
        /// Rows that should have been.
        expected: usize,
    },
    /// The cursor stands before what was taken from the log: the tables were set back.
    #[error("the cursor stands before what was read")]
    Behind,
    /// The database's word.
    #[error(transparent)]
    Sql(#[from] sqlx::Error),
}

impl Failed {
    /// Whether a record of the batch is to blame: SQLSTATE class 22 (data) or 23 (constraints), or a value that no
    /// statement can carry. Everything else may work later with the same records.
    #[must_use]
    pub fn blames_a_record(&self) -> bool {
        match self {
            Self::Sql(sqlx::Error::Encode(_)) => true,
            Self::Sql(error) => {
                let class = common::pg::code(error).and_then(|state| state.get(..2));
                matches!(class, Some("22" | "23"))
            }
            _ => false,
        }
    }
}

/// A decided batch.
#[derive(Debug)]
pub struct Batch<'a> {
    /// Where its records came from.
    pub place: &'a Place,
    /// The cursor that the decision stood on.
    pub from: i64,
    /// The cursor after it.
    pub to: i64,
    /// What it changed.
    pub effects: &'a Effects,
    /// What was known after it.
    pub memory: &'a Memory,
    /// Records that are put aside.
    pub letters: &'a [Unreadable],
    /// When.
    pub now: Time,
    /// More commands wait to be decided.
    pub commands_wait: bool,
}

impl Batch<'_> {
    fn begin(&self) -> &'static str {
        let moves_nothing = self.effects.is_idle() && self.letters.is_empty();
        if moves_nothing && self.commands_wait { BEGIN_IDLE } else { BEGIN }
    }
}

/// Writes the batch, all of it or nothing.
///
/// # Errors
/// [`Failed`], never [`Failed::Behind`].
pub async fn write(pool: &PgPool, batch: &Batch<'_>) -> Result<(), Failed> {
    let mut db = pool.acquire().await?;
    let mut tx = db.begin_with(batch.begin()).await?;
    move_cursor(&mut tx, batch).await?;
    write_counts(&mut tx, batch).await?;
    write_holds(&mut tx, batch).await?;
    write_adjustments(&mut tx, batch).await?;
    write_ledger(&mut tx, batch).await?;
    turns::write(&mut tx, batch.effects).await?;
    dead_letter::store::bury(&mut tx, STOCK_COMMANDS, batch.letters, batch.now).await?;
    let records: Vec<StockDecided> =
        batch.effects.products.iter().filter_map(|(product, change)| change.record(*product)).collect();
    Letters::new(SOURCE, batch.now).with(&records).put(&mut tx).await?;
    tx.commit().await?;
    Ok(())
}

/// The first statement: its row lock makes a second writer wait, and then find the cursor moved.
async fn move_cursor(tx: &mut PgConnection, batch: &Batch<'_>) -> Result<(), Failed> {
    let moved = sqlx::query!(
        "UPDATE stock_cursor SET next_offset = $4 WHERE topic = $1 AND partition = $2 AND next_offset = $3",
        batch.place.topic,
        batch.place.partition,
        batch.from,
        batch.to,
    )
    .execute(tx)
    .await?;
    if moved.rows_affected() == 1 { Ok(()) } else { Err(Failed::Fenced) }
}

/// Columns of the stock rows of a batch.
#[derive(Default)]
struct Columns {
    product: Vec<i64>,
    was: [Vec<i64>; 4],
    now: [Vec<i64>; 4],
    version: Vec<i64>,
    price_version: Vec<i64>,
    limit: Vec<i32>,
    opens_at: Vec<Time>,
    closes_at: Vec<Time>,
    by: Vec<i64>,
}

impl Columns {
    fn push(&mut self, product: ProductId, change: &Change, terms: &Bounds) {
        self.product.push(product.0);
        for (columns, counts) in [(&mut self.was, change.before), (&mut self.now, change.after)] {
            for (column, count) in columns.iter_mut().zip(parts(counts)) {
                column.push(count);
            }
        }
        self.version.push(terms.version);
        self.price_version.push(terms.price_version);
        self.limit.push(i32::try_from(terms.limit).unwrap_or(i32::MAX));
        self.opens_at.push(terms.opens_at);
        self.closes_at.push(terms.closes_at);
        self.by.push(terms.by.0);
    }
}

fn parts(counts: Counts) -> [i64; 4] {
    [counts.total, counts.available, counts.reserved, counts.sold]
}

async fn write_counts(tx: &mut PgConnection, batch: &Batch<'_>) -> Result<(), Failed> {
    let (mut new, mut known) = (Columns::default(), Columns::default());
    for (product, change) in &batch.effects.products {
        let Some(sale) = batch.memory.sales.get(product) else { continue };
        if change.is_new {
            new.push(*product, change, &sale.terms);
        } else if change.moved() || change.terms_changed {
            known.push(*product, change, &sale.terms);
        }
    }
    if !known.product.is_empty() {
        let rows = update(tx, batch, &known).await?;
        expect("stock", rows, known.product.len())?;
    }
    if !new.product.is_empty() {
        register(tx, batch, &new).await?;
    }
    Ok(())
}

async fn update(tx: &mut PgConnection, batch: &Batch<'_>, rows: &Columns) -> Result<u64, sqlx::Error> {
    let [total_was, available_was, reserved_was, sold_was] = &rows.was;
    let [total, available, reserved, sold] = &rows.now;
    let done = sqlx::query_file!(
        "src/stock/sql/move_counts.sql",
        batch.now,
        batch.place.partition,
        &rows.product,
        total_was,
        available_was,
        reserved_was,
        sold_was,
        total,
        available,
        reserved,
        sold,
        &rows.version,
        &rows.price_version,
        &rows.limit,
        &rows.opens_at,
        &rows.closes_at,
        &rows.by,
    );
    Ok(done.execute(tx).await?.rows_affected())
}

async fn register(tx: &mut PgConnection, batch: &Batch<'_>, rows: &Columns) -> Result<(), sqlx::Error> {
    let [total, available, reserved, sold] = &rows.now;
    let done = sqlx::query_file!(
        "src/stock/sql/register.sql",
        batch.now,
        batch.place.partition,
        &rows.product,
        total,
        available,
        reserved,
        sold,
        &rows.version,
        &rows.price_version,
        &rows.limit,
        &rows.opens_at,
        &rows.closes_at,
        &rows.by,
    );
    done.execute(tx).await?;
    Ok(())
}

fn expect(what: &'static str, rows: u64, expected: usize) -> Result<(), Failed> {
    if usize::try_from(rows) == Ok(expected) { Ok(()) } else { Err(Failed::Differs { what, rows, expected }) }
}

/// Columns of the reservations of a batch. `slots` and `users` are for new ones only.
#[derive(Default)]
struct Units {
    orders: Vec<uuid::Uuid>,
    products: Vec<i64>,
    attempts: Vec<i32>,
    slots: Vec<i16>,
    users: Vec<i64>,
    states: Vec<&'static str>,
    reasons: Vec<Option<String>>,
    offsets: Vec<i64>,
}

impl Units {
    fn push(
        &mut self,
        (product, (order, attempt)): (ProductId, (common::wire::id::OrderId, i32)),
        change: &HoldChange,
    ) {
        self.orders.push(order.0);
        self.products.push(product.0);
        self.attempts.push(attempt);
        self.users.push(change.hold.user.0);
        self.states.push(change.hold.state.as_str());
        self.reasons.push(change.reason.clone());
        self.offsets.push(change.offset);
    }
}

/// Settles before it adds: a slot that the batch freed may be taken again in the same batch.
async fn write_holds(tx: &mut PgConnection, batch: &Batch<'_>) -> Result<(), Failed> {
    let (mut settled, mut made, mut units) = (Units::default(), Units::default(), 0);
    for (key, change) in &batch.effects.holds {
        if !change.is_new {
            settled.push(*key, change);
            units += change.hold.slots.count_ones() as usize;
            continue;
        }
        for slot in (0..LIMIT_MAX).filter(|slot| change.hold.slots >> slot & 1 == 1) {
            made.push(*key, change);
            made.slots.push(i16::try_from(slot).expect("below LIMIT_MAX"));
        }
    }
    if !settled.orders.is_empty() {
        let done = sqlx::query_file!(
            "src/stock/sql/settle.sql",
            batch.now,
            &settled.orders,
            &settled.products,
            &settled.attempts,
            &settled.states as _,
            &settled.reasons as _,
            &settled.offsets,
        );
        expect("reservation", done.execute(&mut *tx).await?.rows_affected(), units)?;
    }
    if !made.orders.is_empty() {
        let done = sqlx::query_file!(
            "src/stock/sql/hold.sql",
            batch.now,
            &made.orders,
            &made.products,
            &made.attempts,
            &made.slots,
            &made.users,
            &made.states as _,
            &made.reasons as _,
            &made.offsets,
        );
        done.execute(tx).await?;
    }
    Ok(())
}

/// One statement each: a seller's hand is slow.
async fn write_adjustments(tx: &mut PgConnection, batch: &Batch<'_>) -> Result<(), sqlx::Error> {
    for adjusted in &batch.effects.adjustments {
        sqlx::query!(
            "INSERT INTO stock_adjustment (product_id, adjustment_id, delta, refused, command_offset, created_at,
                                           created_by)
             VALUES ($1, $2, $3, $4, $5, $6, $7)",
            adjusted.adjust.product_id.0,
            adjusted.adjust.adjustment_id,
            adjusted.adjust.delta,
            adjusted.refused,
            adjusted.offset,
            adjusted.adjust.at,
            adjusted.adjust.by.0,
        )
        .execute(&mut *tx)
        .await?;
    }
    Ok(())
}

async fn write_ledger(tx: &mut PgConnection, batch: &Batch<'_>) -> Result<(), sqlx::Error> {
    let mut columns: [Vec<i64>; 8] = Default::default();
    let adjusted = |product| batch.effects.adjustments.iter().any(|a| a.adjust.product_id == product);
    for (product, change) in &batch.effects.products {
        if !change.moved() && !adjusted(*product) {
            continue;
        }
        let [total, available, reserved, sold] =
            [0, 1, 2, 3].map(|n| parts(change.after)[n] - parts(change.before)[n]);
        let row =
            [product.0, change.first, change.last, total, available, reserved, sold, change.after.available];
        for (column, value) in columns.iter_mut().zip(row) {
            column.push(value);
        }
    }
    let [products, first, last, total, available, reserved, sold, after] = &columns;
    if products.is_empty() {
        return Ok(());
    }
    let done = sqlx::query_file!(
        "src/stock/sql/ledger.sql",
        batch.now,
        products,
        first,
        last,
        total,
        available,
        reserved,
        sold,
        after
    );
    done.execute(tx).await?;
    Ok(())
}
