//! The catalogue's figures, each beside what is asked of it, on a shop of 600,000 products.
//!
//! - [`shop`]: makes the products. [`searches`]: what people look for, and how long it takes, alone and beside writes.
//! - [`page`]: one product that everybody reads. [`import`]: 10,000 rows.

mod import;
mod page;
mod searches;
mod shop;

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args as ClapArgs, ValueEnum};
use sqlx::postgres::{PgPool, PgPoolOptions};

use super::board::Board;
use crate::fast;
use crate::http::Net;
use crate::sale::{self, Seller};
use crate::stack::Stack;

/// Options of this benchmark.
#[derive(Debug, Clone, ClapArgs)]
pub(crate) struct Args {
    /// Measures only these.
    #[arg(long, value_enum, value_delimiter = ',')]
    only: Vec<What>,
    /// Products in the shop; missing ones are made.
    #[arg(long, default_value_t = 600_000, value_parser = clap::value_parser!(u32).range(1_000..=5_000_000))]
    products: u32,
    /// People who search.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    clients: u16,
    /// Milliseconds between two searches of one of them: who reads what was found does not ask meanwhile.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..=60_000))]
    think_ms: u64,
    /// Products registered per second, where reads are measured beside writes: 10 are 864,000 a day, more than the whole
    /// shop. Each goes all its way, to the stock stage and to a room of its own.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    writes_per_s: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum What {
    /// Searches by word, filter and order; the first page; both beside writes.
    Search,
    /// One product's page.
    Page,
    /// Bulk import.
    Import,
}

/// What all parts share.
struct Run<'a> {
    stack: &'a Stack,
    args: &'a Args,
    /// Length of one measurement.
    time: Duration,
    net: Net,
    seller: Seller,
    pool: PgPool,
}

impl Run<'_> {
    fn asks(&self, what: What) -> bool {
        self.args.only.is_empty() || self.args.only.contains(&what)
    }

    /// The first product service.
    fn server(&self) -> anyhow::Result<SocketAddr> {
        fast::address(self.url()?)
    }

    fn url(&self) -> anyhow::Result<&str> {
        self.stack.product.first().map(String::as_str).context("stack.json names no product service")
    }
}

/// Measures all that is asked for.
pub(super) async fn run(path: &Path, args: &Args, time: Duration) -> anyhow::Result<Board> {
    let stack = &Stack::read(path)?;
    let net = Net::new(args.clients.into());
    let seller = sale::enter(stack, net.agent(0)).await?;
    let pool = PgPoolOptions::new().max_connections(2).connect(stack.database("product")?).await?;
    let run = Run { stack, args, time, net, seller, pool };
    shop::fill(&run).await?;
    let mut parts = Vec::new();
    if run.asks(What::Search) {
        parts.extend(searches::measure(&run).await?);
    }
    if run.asks(What::Page) {
        parts.push(page::measure(&run).await?);
    }
    if run.asks(What::Import) {
        parts.push(import::measure(&run).await?);
    }
    Ok(Board::new(parts))
}
