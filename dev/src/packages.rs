//! `cargo dev packages`: what has to be on the machine before anything can be built or started.

use std::path::Path;
use std::process::ExitCode;

use testkit::jars;
use testkit::packages::{self, Purpose};

use crate::{Failure, folder, report, signals};

pub(crate) fn run() -> Result<ExitCode, Failure> {
    signals::listen()?;
    install(&folder::prepare(&crate::root().join(".dev"))?, Purpose::Test)?;
    report::say("all packages are here");
    Ok(ExitCode::SUCCESS)
}

/// Installs packages, and where servers will run fetches Kafka's jars too; says so when there is something to do.
pub(crate) fn install(dir: &Path, purpose: Purpose) -> Result<(), Failure> {
    packages::ensure(purpose, &dir.join("apt.log"), report::say).map_err(Failure::caller)?;
    if purpose >= Purpose::Run && !jars::are_here(dir) {
        let log = report::short(&dir.join("maven.log"));
        report::say(&format!("fetching Apache Kafka {} (log: {log})", jars::version()));
        jars::ensure(dir)?;
    }
    Ok(())
}
