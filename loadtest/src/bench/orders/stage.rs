//! The stock stage alone: commands for one hot product wait in the log, and a product service of its own, on the
//! platform's PostgreSQL and Kafka, decides them, journals them and tells of them.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use common::clock::Clock;
use common::config::Kafka;
use common::kafka::create_topics;
use common::kafka::producer::{Outgoing, Producer};
use common::stop::Stop;
use common::wire::event::{
    Event as _, PRODUCT_EVENTS, Reserve, STOCK_COMMANDS, STOCK_DECISIONS, StockCommand, Terms,
};
use common::wire::id::{OrderId, ProductId, UserId};
use sqlx::postgres::{PgPool, PgPoolOptions};
use tokio::process::{Child, Command};
use tokio::time::Instant;
use uuid::Uuid;

use super::Run;
use super::cost::{Cost, Spent};
use super::lock::{self, Manner, Scratch};
use crate::bench::board::{Asked, Part};
use crate::bench::process::Process;

/// Commands sent at once.
const CHUNK: usize = 10_000;
const LOOK: Duration = Duration::from_millis(10);
/// A stage that does nothing for so long is stuck.
const PATIENCE: Duration = Duration::from_secs(60);
/// The row lock is measured for this share of the time, in each manner.
const SHORTER: u32 = 2;

/// Measures it.
pub(super) async fn measure(run: &Run<'_>) -> anyhow::Result<Vec<Part>> {
    let mut part = Part::new("stock stage: one hot product, one writer, commands waiting in the log");
    let mut stage = Stage::open(run).await?;
    let count = i64::from(run.args.commands);
    let (mut yes, mut no) = (None::<Drained>, None::<Drained>);
    for round in 0..i64::from(run.args.rounds) {
        for (units, best) in [(count, &mut yes), (0, &mut no)] {
            let drained = stage.drain(ProductId(1 + 2 * round + i64::from(units == 0)), units, count).await?;
            if best.as_ref().is_none_or(|best| best.per_s() < drained.per_s()) {
                *best = Some(drained);
            }
        }
    }
    stage.close().await?;
    let (yes, no) = yes.zip(no).context("no rounds")?;
    let database = run.stack.database("product")?;
    let usual = lock::measure(database, Manner::ReadFirst, run.time / SHORTER).await?.per_s();
    let tuned = lock::measure(database, Manner::WriteLast, run.time / SHORTER).await?.per_s();
    part.asked(
        "units given, until all others are told",
        yes.per_s(),
        "decisions/s",
        Asked::AtLeast(20_000.0),
    );
    part.asked("of a row lock per order", yes.per_s() / usual, "×", Asked::AtLeast(10.0));
    part.seen("row lock per order: read, write, insert", usual, "orders/s");
    part.seen("row lock per order, tuned: insert, write last", tuned, "orders/s");
    yes.spent.show(&mut part, yes.commands);
    let mut sold_out = Part::new("the same after the last unit is gone");
    sold_out.asked("refusals, beside units given", no.per_s() / yes.per_s(), "×", Asked::AtLeast(2.0));
    sold_out.seen("until all others are told", no.per_s(), "decisions/s");
    no.spent.show(&mut sold_out, no.commands);
    Ok(vec![part, sold_out])
}

/// A log that was decided to its end.
pub(super) struct Drained {
    commands: u64,
    took: Duration,
    spent: Spent,
}

impl Drained {
    fn per_s(&self) -> f64 {
        self.commands as f64 / self.took.as_secs_f64()
    }
}

/// A product service's surroundings.
pub(super) struct Stage<'a> {
    run: &'a Run<'a>,
    scratch: Scratch,
    pub(super) pg: PgPool,
    kafka: Kafka,
    producer: Producer,
    folder: std::path::PathBuf,
    /// Records put into the log so far.
    put: i64,
}

impl<'a> Stage<'a> {
    pub(super) async fn open(run: &'a Run<'a>) -> anyhow::Result<Self> {
        let scratch = Scratch::make(run.stack.database("product")?, "stage").await?;
        let kafka = Kafka {
            // A log of its own each time: the next one would read what this one left.
            kafka_topic_prefix: format!("loadtest-stage-{}.", Uuid::new_v4()),
            ..run.stack.kafka()
        };
        create_topics(&kafka, &[STOCK_COMMANDS, STOCK_DECISIONS, PRODUCT_EVENTS], &Stop::new()).await?;
        let folder = std::env::temp_dir().join(&scratch.name);
        std::fs::create_dir_all(&folder)?;
        // Nobody calls this service.
        std::fs::write(folder.join("internal.key"), "0".repeat(64))?;
        let pg = PgPoolOptions::new().max_connections(1).connect_lazy_with(scratch.options.clone());
        let producer = Producer::new(&kafka)?;
        Ok(Self { run, scratch, pg, kafka, producer, folder, put: 0 })
    }

    /// A product service that logs what `log` says, as JSON.
    pub(super) fn start(&self, log: &str) -> anyhow::Result<Child> {
        let (server, _) = self.run.stack.database("product")?.rsplit_once('/').context("postgres.product")?;
        let program = std::env::current_exe()?.with_file_name("product");
        Command::new(&program)
            .env("PRODUCT_LISTEN", "127.0.0.1:0")
            .env("DATABASE_URL", format!("{server}/{}", self.scratch.name))
            .env("KAFKA_BOOTSTRAP", &self.kafka.kafka_bootstrap)
            .env("KAFKA_TOPIC_PREFIX", &self.kafka.kafka_topic_prefix)
            .env("INTERNAL_KEY_FILE", self.folder.join("internal.key"))
            .env("LOG", log)
            .env("LOG_FORMAT", "json")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("{}: was it built?", program.display()))
    }

    /// Puts a product with `units` and `count` commands for it into the log and has them decided.
    pub(super) async fn drain(
        &mut self,
        product: ProductId,
        units: i64,
        count: i64,
    ) -> anyhow::Result<Drained> {
        self.put(&[terms(product, units)]).await?;
        for from in (0..count).step_by(CHUNK) {
            let part: Vec<_> = (from..count.min(from + CHUNK as i64)).map(|n| reserve(product, n)).collect();
            self.put(&part).await?;
        }
        let mut service = self.start("off")?;
        let process = Process::numbered(service.id().context("the service has ended")?);
        let before = self.put - count;
        let first = self.until(&mut service, |cursor, _| cursor >= before).await?;
        let stores = ["postgres", "kafka"].into_iter().flat_map(|name| {
            Process::all(self.run.stack, name).into_iter().map(move |process| (name, process))
        });
        let cost = Cost::of([("product", process)].into_iter().chain(stores))?;
        let begun = Instant::now();
        self.until(&mut service, |cursor, unsent| cursor == self.put && unsent == 0).await?;
        let (took, spent) = (begun.elapsed(), cost.end()?);
        let commands = u64::try_from(self.put - first)?;
        service.kill().await?;
        Ok(Drained { commands, took, spent })
    }

    async fn put(&mut self, commands: &[StockCommand]) -> anyhow::Result<()> {
        let topic = self.kafka.topic(STOCK_COMMANDS);
        let record = |command: &StockCommand| {
            let body = serde_json::to_vec(command)?;
            let headers = vec![("ce_type".to_owned(), command.kind().to_owned())];
            Ok(Outgoing { topic: topic.clone(), key: command.key(), headers, body })
        };
        let records = commands.iter().map(record).collect::<anyhow::Result<Vec<_>>>()?;
        self.producer.send(&records).await?;
        self.put += i64::try_from(records.len())?;
        Ok(())
    }

    /// Waits until commands decided, and records not sent, are as wanted; returns the former.
    async fn until(&self, service: &mut Child, wanted: impl Fn(i64, i64) -> bool) -> anyhow::Result<i64> {
        let until = Instant::now() + PATIENCE;
        loop {
            ensure!(service.try_wait()?.is_none(), "the product service has ended");
            // The tables come with the service's start.
            let seen: Result<(i64, i64), _> = sqlx::query_as(
                "SELECT coalesce(sum(next_offset), 0)::bigint,
                        (SELECT coalesce(sum(records), 0)::bigint FROM outbox)
                 FROM stock_cursor",
            )
            .fetch_one(&self.pg)
            .await;
            if let Ok((cursor, unsent)) = seen
                && wanted(cursor, unsent)
            {
                return Ok(cursor);
            }
            ensure!(Instant::now() < until, "commands and records not sent: {seen:?} of {}", self.put);
            tokio::time::sleep(LOOK).await;
        }
    }

    pub(super) async fn close(self) -> anyhow::Result<()> {
        self.pg.close().await;
        std::fs::remove_dir_all(&self.folder)?;
        self.scratch.remove().await
    }
}

fn terms(product: ProductId, units: i64) -> StockCommand {
    let now = Clock::system().now();
    let hour = chrono::TimeDelta::hours(1);
    StockCommand::Terms(Terms {
        product_id: product,
        version: 1,
        price_version: 1,
        purchase_limit: 1,
        opens_at: now - hour,
        closes_at: now + hour,
        stock: units,
        by: UserId(1),
    })
}

fn reserve(product: ProductId, number: i64) -> StockCommand {
    StockCommand::Reserve(Reserve {
        product_id: product,
        order_id: OrderId(Uuid::now_v7()),
        attempt: 1,
        user_id: UserId(number),
        quantity: 1,
        price_version: 1,
        at: Clock::system().now(),
    })
}
