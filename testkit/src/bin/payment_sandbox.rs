//! `payment-sandbox`: the payment provider's stand-in as a process.

use clap::Parser as _;
use common::stop::Stop;
use testkit::sandbox::{Config, serve};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = Config::parse();
    common::telemetry::start("payment-sandbox", &config.telemetry)?;
    let listener = common::http::listen(config.listen)?;
    serve(listener, config, Stop::on_signals()?).await
}
