//! `product`: the service by default; `product dead-letters` is its tool.

use std::io::Write as _;

use common::stop::Stop;
use common::telemetry;
use product::cli::Task;

/// As in the other services that the rush goes through.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = match Task::from_args() {
        Task::Serve(config) => config,
        Task::Tool(tool) => {
            let answer = tool.run(&Stop::on_signals()?).await?;
            return Ok(writeln!(std::io::stdout(), "{answer}")?);
        }
    };
    telemetry::start("product", &config.telemetry)?;
    let stop = Stop::on_signals()?;
    let listener = common::http::listen(config.listen)?;
    product::serve(listener, *config, stop).await
}
