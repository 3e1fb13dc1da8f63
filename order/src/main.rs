//! `order`: the service by default; `order dead-letters` is its tool.

use std::io::Write as _;

use common::stop::Stop;
use common::telemetry;
use order::cli::Task;
use tokio::net::TcpListener;

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
    let listener = TcpListener::bind(config.listen).await?;
    order::serve(listener, *config, Stop::on_signals()?).await
}
