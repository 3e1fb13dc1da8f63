//! Logs: one subscriber per process, and a panic hook, so that a panic stands in the log like any failure.

use anyhow::Context as _;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::prelude::*;

use crate::config::Telemetry;

/// Starts logging to standard output.
///
/// # Errors
/// When the filter cannot be read or a subscriber is already set.
pub fn start(service: &'static str, config: &Telemetry) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(&config.log).with_context(|| format!("LOG={}", config.log))?;
    let registry = tracing_subscriber::registry().with(filter);
    if config.log_format == "json" {
        registry.with(fmt::layer().json()).try_init()?;
    } else {
        registry.with(fmt::layer().with_ansi(false)).try_init()?;
    }
    let default = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        tracing::error!(panic = %info, service, "panic");
        default(info);
    }));
    Ok(())
}
