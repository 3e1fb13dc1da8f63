//! The order service's process.

use clap::Parser as _;
use common::stop::Stop;
use common::telemetry;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = order::Config::parse();
    telemetry::start("order", &config.telemetry)?;
    tracing::info!(?config, "starting");
    let listener = TcpListener::bind(config.listen).await?;
    order::serve(listener, config, Stop::on_signals()?).await
}
