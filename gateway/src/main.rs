//! The gateway's process.

use clap::Parser as _;
use common::stop::Stop;
use common::telemetry;
use gateway::Config;

/// 10,000 idle streams take 116 MiB with this one. (When each had a connection to its service, 270; 294 with glibc's.)
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// This thread accepts; the workers, which the door starts, do the rest.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    config.check()?;
    telemetry::start("gateway", &config.telemetry)?;
    common::http::allow_connections();
    let public = common::http::listen(config.listen)?;
    let private = common::http::listen(config.admin_listen)?;
    gateway::serve(public, private, config, Stop::on_signals()?).await
}
