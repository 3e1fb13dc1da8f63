//! A seller's file of 10,000 rows.

use std::fmt::Write as _;
use std::time::Duration;

use anyhow::ensure;
use chrono::SecondsFormat;
use common::clock::Clock;
use serde::Deserialize;
use tokio::time::Instant;

use super::Run;
use super::shop::{KINDS, THINGS};
use crate::bench::board::{Asked, Part};
use crate::http::Call;

const ROWS: usize = 10_000;
const ROUNDS: usize = 3;
/// Between two looks at how far it is.
const LOOK: Duration = Duration::from_millis(10);
/// An import that is not over by then is stuck.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Import {
    import_id: String,
    state: String,
    stored: usize,
    known: usize,
}

/// Measures it: new rows, best of three files, and the last one again.
pub(super) async fn measure(run: &Run<'_>) -> anyhow::Result<Part> {
    let mut part = Part::new("a file of 10,000 rows, from the request to its last row");
    let mut best = f64::INFINITY;
    let mut file = String::new();
    for _ in 0..ROUNDS {
        file = rows();
        let (took, import) = send(run, &file).await?;
        ensure!(import.stored == ROWS, "{import:?}");
        best = best.min(took.as_secs_f64());
        told(run).await?;
    }
    part.asked("new rows", best, "s", Asked::AtMost(1.0));
    let (took, import) = send(run, &file).await?;
    ensure!(import.known == ROWS, "{import:?}");
    part.seen("the same rows again", took.as_secs_f64(), "s");
    Ok(part)
}

fn rows() -> String {
    let begin = Clock::system().now();
    let text = |days| (begin + chrono::TimeDelta::days(days)).to_rfc3339_opts(SecondsFormat::Secs, true);
    let (start, end, run) = (text(1), text(2), uuid::Uuid::now_v7());
    let mut file =
        "externalId,productName,description,originalPrice,discountedPrice,stock,categoryCode,saleStartTime,\
                    saleEndTime\n"
            .to_owned();
    for row in 0..ROWS {
        let (kind, thing) = (KINDS[row % KINDS.len()], THINGS[row % THINGS.len()]);
        writeln!(file, "{run}-{row},\"{kind} {thing} I{row}\",A fine thing for the home.,20000,{},100,1000,{start},{end}", 10_000 + row)
            .expect("writing to a string does not fail");
    }
    file
}

async fn send(run: &Run<'_>, file: &str) -> anyhow::Result<(Duration, Import)> {
    let agent = run.net.agent(0);
    let url = format!("{}/api/products/import", run.url()?);
    let start = Instant::now();
    let call = Call::post(format!("{url}?companyId={}", run.seller.company)).bearer(&run.seller.token);
    let mut import: Import = agent.send(&call.csv(file)).await?.success("importing")?;
    let look = Call::get(format!("{url}/{}", import.import_id)).bearer(&run.seller.token);
    while import.state == "running" {
        ensure!(start.elapsed() < PATIENCE, "{import:?}");
        tokio::time::sleep(LOOK).await;
        import = agent.send(&look).await?.success("looking at an import")?;
    }
    Ok((start.elapsed(), import))
}

/// Waits until the products were told: the next file finds a machine with nothing else to do.
async fn told(run: &Run<'_>) -> anyhow::Result<()> {
    let start = Instant::now();
    loop {
        let left: i64 = sqlx::query_scalar(
            "SELECT (SELECT count(*) FROM product WHERE turns_at <= now() OR (state_version = 0 AND deleted_at IS NULL))
                  + (SELECT coalesce(sum(records), 0)::bigint FROM outbox)",
        )
        .fetch_one(&run.pool)
        .await?;
        if left == 0 {
            return Ok(());
        }
        ensure!(start.elapsed() < PATIENCE, "{left} products or records are not told");
        tokio::time::sleep(LOOK * 10).await;
    }
}
