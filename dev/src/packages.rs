//! `cargo dev packages`: what has to be on the machine before anything can be built or started.

use std::path::Path;
use std::process::ExitCode;

use testkit::{jars, packages};

use crate::{Failure, folder, report, signals};

pub(crate) fn run() -> Result<ExitCode, Failure> {
    signals::listen()?;
    install(&folder::prepare(&crate::root().join(".dev"))?, true)?;
    report::say("all packages are here");
    Ok(ExitCode::SUCCESS)
}

/// Installs packages, and with `servers` fetches Kafka's jars too; says so when there is something to do.
pub(crate) fn install(dir: &Path, servers: bool) -> Result<(), Failure> {
    packages::ensure(servers, &dir.join("apt.log"), report::say).map_err(Failure::caller)?;
    if servers && !jars::are_here(dir) {
        let log = report::short(&dir.join("maven.log"));
        report::say(&format!("fetching Apache Kafka {} (log: {log})", jars::version()));
        jars::ensure(dir)?;
    }
    Ok(())
}
