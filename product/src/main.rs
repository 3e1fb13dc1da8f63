//! The product service's process.

use clap::Parser as _;
use common::stop::Stop;
use common::telemetry;
use product::config::Config;
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    telemetry::start("product", &config.telemetry)?;
    let stop = Stop::on_signals()?;
    let listener = TcpListener::bind(config.listen).await?;
    product::serve(listener, config, stop).await
}
