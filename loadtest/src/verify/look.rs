//! One look at everything, and the rules that must hold of what was seen.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use anyhow::Context as _;
use common::wire::event::{ORDER_EVENTS, STOCK_COMMANDS};
use common::wire::id::ProductId;
use sqlx::postgres::{PgPool, PgPoolOptions};
use tokio::time::Instant;

use super::check::Check;
use super::money::{self, Attempt, Payment};
use super::orders::{self, Book};
use super::path::{self, Topic};
use super::replay::Sale;
use super::stock::{self, Stage};
use super::topics::{self, Log, Marks};
use crate::http::Agent;
use crate::stack::Stack;

/// Between two looks at what is still on its way.
const AGAIN: Duration = Duration::from_millis(200);

/// Where to look, and at what.
#[derive(Debug)]
pub(super) struct Eye<'a> {
    stack: &'a Stack,
    agent: &'a Agent,
    product: PgPool,
    orders: PgPool,
    scope: Scope,
}

/// What is looked at.
#[derive(Debug, Clone)]
pub(super) struct Scope {
    /// One product, or all.
    pub(super) product: Option<ProductId>,
    /// Where the topics are read from.
    pub(super) marks: Marks,
    /// Whether the payment provider is asked. The sandbox forgets when it ends.
    pub(super) provider: bool,
}

/// What was seen. Each database is seen at one moment, all of them at nearly the same.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) stage: Stage,
    pub(super) book: Book,
    pub(super) log: Log,
    pub(super) sales: BTreeMap<i64, Sale>,
    attempts: Vec<Attempt>,
    payments: Option<Vec<Payment>>,
    /// Whether it is the whole shop.
    is_all: bool,
}

impl<'a> Eye<'a> {
    pub(super) async fn open(stack: &'a Stack, agent: &'a Agent, scope: Scope) -> anyhow::Result<Self> {
        let product = open(stack.database("product")?).await.context("the product service's database")?;
        let orders = open(stack.database("order")?).await.context("the order service's database")?;
        Ok(Self { stack, agent, product, orders, scope })
    }

    /// Looks once.
    pub(super) async fn look(&self) -> anyhow::Result<Facts> {
        const ONE_MOMENT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        let Scope { product, marks, provider } = self.scope.clone();
        let id = product.map(|product| product.0);
        let mut tx = self.product.begin_with(ONE_MOMENT).await?;
        let stage = stock::read(&mut tx, id, &self.stack.kafka().topic(STOCK_COMMANDS)).await?;
        tx.rollback().await?;
        let mut tx = self.orders.begin_with(ONE_MOMENT).await?;
        let book = orders::read(&mut tx, id).await?;
        let attempts = money::attempts(&mut tx).await?;
        tx.rollback().await?;
        let payments = if provider { Some(money::provider(self.stack, self.agent).await?) } else { None };
        let log = topics::read(self.stack, marks, product).await?;
        let sales = topics::replay(&log, &stage);
        Ok(Facts { stage, book, log, sales, attempts, payments, is_all: product.is_none() })
    }

    /// Looks until every rule holds, or for so long: what was on its way then has arrived, or never will.
    pub(super) async fn settled(&self, within: Duration) -> anyhow::Result<(Facts, Vec<Check>)> {
        let until = Instant::now() + within;
        loop {
            let facts = self.look().await?;
            let checks = facts.rules();
            if Instant::now() > until || checks.iter().all(|check| check.broken == 0) {
                return Ok((facts, checks));
            }
            tokio::time::sleep(AGAIN).await;
        }
    }
}

async fn open(url: &str) -> Result<PgPool, sqlx::Error> {
    PgPoolOptions::new().max_connections(2).acquire_timeout(Duration::from_secs(10)).connect(url).await
}

impl Facts {
    /// Every rule that holds of any shop at rest.
    pub(super) fn rules(&self) -> Vec<Check> {
        let Self { stage, book, log, sales, attempts, payments, is_all } = self;
        let limits: HashMap<i64, i64> =
            sales.iter().map(|(product, sale)| (*product, i64::from(sale.limit_max))).collect();
        let unsent = [("product", stage.unsent), ("order", book.unsent)];
        let unsent = unsent.into_iter().filter_map(|(service, id)| Some(format!("{service}: row {}", id?)));
        let found = format!("{} products, {} commands", stage.products.len(), log.commands.len());
        let is_kept = !log.shortened.contains(STOCK_COMMANDS.name);
        let is_empty = stage.products.is_empty() || is_kept && log.commands.is_empty();
        let mut checks = vec![
            Check::one("topics", "there is something to look at", !is_empty, found),
            Check::new("topics", "no event waits to be sent", unsent),
        ];
        checks.extend(stock::checks(stage, &limits));
        checks.extend(orders::checks(book, stage, *is_all));
        let is_kept = !log.shortened.contains(ORDER_EVENTS.name);
        checks.extend(path::checks(book, Topic { told: &log.told, is_kept, is_all: *is_all }));
        checks.extend(money::checks(book, attempts));
        if let Some(payments) = payments {
            checks.extend(money::provider_checks(book, attempts, payments, *is_all));
        }
        checks.extend(topics::checks(log, stage, sales));
        checks
    }
}
