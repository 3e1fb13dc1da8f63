//! What the databases, the topics, the room's log and the payment provider say about a run; the shoppers' own
//! notes count only as what was promised to them.
//!
//! - [`stock`]: units. [`orders`]: orders, and that every promise was kept. [`money`]: payments.
//! - [`topics`]: the log between the services. [`room`]: the sale's waiting room by its log in the topic: [`log`] reads
//!   it and holds its chain against the hashes, [`line`](mod@line) replays it.
//! - [`queue`]: the same of any room, whoever ran the sale. [`rehearsal`]: a log to measure that by.

mod line;
mod log;
mod money;
mod orders;
pub(crate) mod queue;
mod rehearsal;
mod room;
mod stock;
mod topics;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use anyhow::Context as _;
use common::wire::id::OrderId;
use serde::Serialize;
use sqlx::postgres::{PgPool, PgPoolOptions};
use tokio::time::Instant;

use crate::http::Agent;
use crate::notes::Seen;
use crate::sale::Sale;
use crate::stack::Stack;
pub(crate) use topics::Marks;

/// What is still on its way gets this long to arrive.
const QUIET_WITHIN: Duration = Duration::from_secs(30);
const QUIET_POLL: Duration = Duration::from_millis(200);
/// Broken cases that are shown per rule.
const EXAMPLES: usize = 5;

/// A run to be judged.
#[derive(Debug)]
pub(crate) struct Case {
    /// What was sold.
    pub(crate) sale: Sale,
    /// Orders that were accepted with 202.
    pub(crate) seen: BTreeMap<OrderId, Seen>,
    /// Ends of the topics before the sale was registered.
    pub(crate) marks: Marks,
}

/// One rule, and how often it was broken.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Check {
    /// Where it was looked.
    pub(crate) area: &'static str,
    /// What must hold.
    pub(crate) rule: &'static str,
    /// How often it does not.
    pub(crate) broken: usize,
    /// Some of the cases.
    pub(crate) examples: Vec<String>,
}

impl Check {
    /// A rule with the cases that break it.
    pub(crate) fn new<T: Display>(
        area: &'static str,
        rule: &'static str,
        broken: impl IntoIterator<Item = T>,
    ) -> Self {
        let mut check = Self { area, rule, broken: 0, examples: Vec::new() };
        for case in broken {
            check.broken += 1;
            if check.examples.len() < EXAMPLES {
                check.examples.push(case.to_string());
            }
        }
        check
    }

    /// A rule that holds or not as a whole.
    pub(crate) fn one(area: &'static str, rule: &'static str, holds: bool, found: impl Display) -> Self {
        Self::new(area, rule, (!holds).then_some(found))
    }
}

/// What was found.
#[derive(Debug)]
pub(crate) struct Findings {
    /// Units sold.
    pub(crate) sold: i64,
    /// Units sold or held beyond those there were.
    pub(crate) oversold: i64,
    /// Shoppers let in before somebody who stood before them.
    pub(crate) inversions: usize,
    /// Orders accepted but not decided.
    pub(crate) undecided: usize,
    /// All rules.
    pub(crate) checks: Vec<Check>,
}

/// Where is looked.
struct Stores {
    product: PgPool,
    orders: PgPool,
}

/// Waits until nothing is on its way any more, then judges once.
pub(crate) async fn judge(stack: &Stack, agent: &Agent, case: &Case) -> anyhow::Result<Findings> {
    let stores = Stores {
        product: open(stack.database("product")?).await.context("the product service's database")?,
        orders: open(stack.database("order")?).await.context("the order service's database")?,
    };
    let product = case.sale.product.0;
    let quiet = quiet(&stores, product).await?;
    let stock = stock::read(&stores.product, product).await?;
    let orders = orders::read(&stores.orders, product).await?;
    let payments = money::provider(stack, agent).await?;
    let attempts = money::attempts(&stores.orders, product).await?;
    let room = room::read(stack, case).await?;
    let log = topics::read(stack, case).await?;

    let undecided = orders::undecided(&case.seen, &orders);
    let mut checks = vec![Check::new("all", "nothing is on its way any more", quiet)];
    checks.extend(stock::checks(&stock, &case.sale));
    checks.extend(orders::checks(&case.seen, &orders, &stock));
    checks.extend(money::checks(&orders, &attempts, &payments));
    checks.extend(topics::checks(&log));
    checks.extend(room::checks(&room));
    Ok(Findings {
        sold: stock.sold,
        oversold: (stock.sold + stock.reserved - case.sale.terms.units).max(0),
        inversions: room.story.inversions.len(),
        undecided: undecided.len(),
        checks,
    })
}

async fn open(url: &str) -> Result<PgPool, sqlx::Error> {
    PgPoolOptions::new().max_connections(2).acquire_timeout(Duration::from_secs(10)).connect(url).await
}

/// Waits until both outboxes are empty, every order is settled and the stock knows it; tells what is left
/// when the time is over.
async fn quiet(stores: &Stores, product: i64) -> anyhow::Result<Option<String>> {
    let until = Instant::now() + QUIET_WITHIN;
    loop {
        let rows = stock::outbox(&stores.product).await? + stock::outbox(&stores.orders).await?;
        let open = orders::open(&stores.orders, product).await?;
        let units = orders::units(&stores.orders, product).await?;
        let stock = stock::read(&stores.product, product).await?;
        if rows == 0 && open == 0 && units == (stock.reserved, stock.sold) {
            return Ok(None);
        }
        if Instant::now() > until {
            let (held, paid) = units;
            return Ok(Some(format!(
                "{rows} events not sent, {open} orders not settled, orders hold {held} and paid {paid} units, \
                 the stock says {} and {}",
                stock.reserved, stock.sold
            )));
        }
        tokio::time::sleep(QUIET_POLL).await;
    }
}
