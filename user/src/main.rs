//! `user`: the service by default; `user seed`, `user rotate-keys` and `user keygen` are its tools.

use std::io::Write as _;

use common::stop::Stop;
use user::cli::Task;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = match Task::from_args() {
        Task::Serve(config) => config,
        Task::Tool(tool) => {
            let answer = tool.run(Stop::on_signals()?).await?;
            return Ok(writeln!(std::io::stdout(), "{answer}")?);
        }
    };
    common::telemetry::start("user", &config.telemetry)?;
    let listener = common::http::listen(config.listen)?;
    user::serve(listener, *config, Stop::on_signals()?).await
}
