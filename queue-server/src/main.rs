//! `queue-server`: the service by default; `queue-server keygen FILE` makes its key.

use std::io::Write as _;

use common::auth::key::SigningKey;
use common::stop::Stop;
use queue_server::cli::{Task, Tool};

/// Requests are made of small allocations that end on other threads: glibc took a tenth of the time for them. Of 100,000
/// streams each takes 15 KB with this one, 22 KB with mimalloc.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = match Task::from_args() {
        Task::Serve(config) => config,
        Task::Tool(Tool::Keygen { file }) => {
            return Ok(writeln!(std::io::stdout(), "{}", SigningKey::generate(&file)?)?);
        }
    };
    common::telemetry::start("queue-server", &config.telemetry)?;
    common::http::allow_connections();
    let listener = common::http::listen(config.listen)?;
    queue_server::serve(listener, *config, Stop::on_signals()?).await
}
