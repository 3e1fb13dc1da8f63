//! `cargo dev`: the launcher of the whole platform, and the library of its end-to-end tests.
//!
//! | room | what |
//! |---|---|
//! | [`stack`] | [`stack::Stack`]: servers and services, each its own process, for `up` and for tests |
//! | [`servers`] | Redis, PostgreSQL and Kafka together |
//! | [`services`] | the table of services: program, settings, readiness |
//! | `args` | the command line |
//! | `up`, `down`, `test`, `check`, `seed`, `sqlx`, `packages` | one file per command |
//! | `demo` | the demo shop, registered through the gateway |
//! | `keys`, `cargo`, `folder`, `signals`, `report` | key files, builds, `.dev`, Ctrl-C, what is printed |
//!
//! It depends on nothing that needs a system package, because it installs them.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

mod args;
mod cargo;
mod check;
mod demo;
mod down;
mod folder;
mod keys;
mod packages;
mod report;
mod seed;
pub mod servers;
pub mod services;
mod signals;
mod sqlx;
pub mod stack;
mod test;
mod up;

use args::Command;

/// Runs the command that these arguments name, and says how to exit: 2 for what the caller has to change first.
pub fn run(args: impl Iterator<Item = String>) -> ExitCode {
    let command = match args::parse(args) {
        Ok(command) => command,
        Err(error) => {
            report::fail(&error);
            return ExitCode::from(2);
        }
    };
    let result = match command {
        Command::Help(text) => {
            report::say(text);
            Ok(ExitCode::SUCCESS)
        }
        Command::Up(options) => up::run(&options),
        Command::Down { dir } => down::run(&dir),
        Command::Test(options) => test::run(&options),
        Command::Check => check::run(),
        Command::Seed { dir } => seed::run(&dir),
        Command::Sqlx { services } => sqlx::run(&services),
        Command::Packages => packages::run(),
    };
    result.unwrap_or_else(|failure| {
        report::fail(&failure.to_string());
        ExitCode::from(failure.code())
    })
}

/// Why a command ended early: its line for the reader, and the exit code.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The caller has to do something first, as installing a package: 2.
    Caller(String),
    /// Anything else: 1; 130 when Ctrl-C was the reason.
    Other(testkit::Error),
}

impl Failure {
    fn caller(error: testkit::Error) -> Self {
        Self::Caller(error.to_string())
    }

    fn code(&self) -> u8 {
        match self {
            Self::Caller(_) => 2,
            Self::Other(_) if testkit::process::is_cancelled() => 130,
            Self::Other(_) => 1,
        }
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Caller(line) => f.write_str(line),
            Self::Other(error) => error.fmt(f),
        }
    }
}

impl From<testkit::Error> for Failure {
    fn from(error: testkit::Error) -> Self {
        Self::Other(error)
    }
}

/// The repository's folder: as cargo says when it starts this program, for one that was built in another clone with the
/// same target folder, or before the clone was moved, lies elsewhere by its own account.
pub(crate) fn root() -> PathBuf {
    const BUILT_IN: &str = env!("CARGO_MANIFEST_DIR");
    let dev = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from(BUILT_IN), PathBuf::from);
    dev.parent().expect("the crate is a folder of the repository").to_owned()
}

/// The folder of programs built with `profile` (`debug` or `release`).
pub(crate) fn programs(profile: &str) -> PathBuf {
    // This program or test lies in target/<profile> or in target/<profile>/deps.
    let own = std::env::current_exe().unwrap_or_default();
    let own = own.parent().unwrap_or(Path::new("."));
    let built = if own.ends_with("deps") { own.parent().unwrap_or(own) } else { own };
    built.with_file_name(profile)
}
