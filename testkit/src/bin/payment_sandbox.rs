//! `payment-sandbox`: the payment provider's stand-in as a process.

use clap::Parser as _;
use common::stop::Stop;
use testkit::sandbox::{Config, serve};
use tokio::net::TcpListener;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    common::telemetry::start("payment-sandbox", &config.telemetry)?;
    let listener = TcpListener::bind(config.listen).await?;
    serve(listener, config, Stop::on_signals()?).await
}
