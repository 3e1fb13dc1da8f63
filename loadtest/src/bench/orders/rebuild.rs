//! How long a writer needs for its memory when it is given a partition: one hot product with many reservations, on the
//! platform's PostgreSQL.

use anyhow::Context as _;
use common::wire::id::ProductId;
use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::time::{Duration, timeout};

use super::Run;
use super::stage::Stage;
use crate::bench::board::{Asked, Part};

/// A service that has not read its tables by then is stuck.
const PATIENCE: Duration = Duration::from_secs(60);
const HOT: ProductId = ProductId(1);
/// Reservations of one unit each, as the stage would have made them, three of four paid.
const FILL: &str = "
    WITH made AS (
        INSERT INTO reservation (order_id, product_id, attempt, slot, user_id, state, command_offset, created_at, updated_at)
        SELECT gen_random_uuid(), $1, 1, 0, 1000000 + n, CASE WHEN n % 4 = 0 THEN 'held' ELSE 'confirmed' END, n,
               now(), now()
        FROM generate_series(1, $2) AS n RETURNING state)
    UPDATE stock SET total = total + $2, reserved = reserved + held, sold = sold + $2 - held
    FROM (SELECT count(*) FILTER (WHERE state = 'held') AS held FROM made) AS counted WHERE product_id = $1";

/// Measures it.
pub(super) async fn measure(run: &Run<'_>) -> anyhow::Result<Part> {
    let mut part = Part::new("a stock writer that is given a partition: its memory, read from the tables");
    let mut stage = Stage::open(run).await?;
    // Makes the tables and the product.
    stage.drain(HOT, 1, 1).await?;
    sqlx::query(FILL).bind(HOT.0).bind(i64::from(run.args.reservations)).execute(&stage.pg).await?;
    sqlx::query("VACUUM ANALYZE").execute(&stage.pg).await?;
    let mut best = f64::INFINITY;
    for _ in 0..run.args.rounds {
        best = best.min(timeout(PATIENCE, loaded(&stage)).await.context("nothing was loaded")??);
    }
    stage.close().await?;
    part.asked(format!("{} reservations", run.args.reservations), best, "ms", Asked::AtMost(1_000.0));
    Ok(part)
}

/// A line of the service's log.
#[derive(Debug, Deserialize)]
struct Line {
    fields: Fields,
}

#[derive(Debug, Deserialize)]
struct Fields {
    message: String,
    #[serde(default)]
    sales: u64,
    #[serde(default)]
    ms: f64,
}

/// Milliseconds, by the word of a service that is started for it.
async fn loaded(stage: &Stage<'_>) -> anyhow::Result<f64> {
    let mut service = stage.start("product=info")?;
    let mut lines = BufReader::new(service.stdout.take().context("no log")?).lines();
    while let Some(line) = lines.next_line().await? {
        let Line { fields } = serde_json::from_str(&line).with_context(|| line.clone())?;
        if fields.message == "partition loaded" && fields.sales > 0 {
            service.kill().await?;
            return Ok(fields.ms);
        }
    }
    anyhow::bail!("the product service has ended")
}
