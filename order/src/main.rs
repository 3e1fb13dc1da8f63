//! `order`: the service by default; `order dead-letters` is its tool.

use std::io::Write as _;

use common::stop::Stop;
use common::telemetry;
use order::cli::Task;

/// An order passes through many small buffers, of this process and of librdkafka: with glibc's allocator they take a
/// quarter of its time.
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
    telemetry::start("order", &config.telemetry)?;
    let listener = common::http::listen(config.listen)?;
    order::serve(listener, *config, Stop::on_signals()?).await
}
