//! `cargo dev test`: the whole suite on real servers of its own.

use std::env;
use std::fs;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, ExitCode};
use std::time::Instant;

use testkit::error::{Context, Error, Result};
use testkit::packages::{Purpose, no_fsync};
use testkit::postgres;
use testkit::process::{self, Spec};

use crate::args::Test;
use crate::servers::{Addresses, Servers};
use crate::{Failure, cargo, folder, packages, report, signals};

/// What the tests of all crates need; the same for the build, so that nothing is built twice.
pub(crate) const FEATURES: [&str; 2] = ["--features", "testkit/clients,testkit/sandbox"];

pub(crate) fn run(test: &Test) -> std::result::Result<ExitCode, Failure> {
    signals::listen()?;
    let base = folder::prepare(&crate::root().join(".dev"))?;
    // What failed runs left behind to be read.
    folder::remove_abandoned(&base);
    folder::remove_abandoned(&crate::programs("stacks"));
    let dir = base.join(format!("test-{}", std::process::id()));
    packages::install(&base, Purpose::Test)?;
    without_fsync()?;

    if whole_workspace(test) {
        build()?;
    }
    let mut servers = Servers::start(&dir)?;
    for (name, address, server) in servers.all() {
        let process = server.process();
        report::thing(name, &address, process.pid(), process.log().unwrap_or(Path::new("-")));
    }
    let started = Instant::now();
    let status = process::run(cargo_test(test, &servers.addresses()))?;
    let seconds = started.elapsed().as_secs_f64();
    servers.stop();
    match status {
        Some(status) if status.success() => {
            report::say(&format!("all tests passed after {seconds:.1} s"));
            remove(&dir)?;
            Ok(ExitCode::SUCCESS)
        }
        Some(status) => {
            report::fail(&format!(
                "tests failed after {seconds:.1} s; logs of the servers: {}",
                dir.display()
            ));
            Ok(ExitCode::from(status.code().and_then(|code| u8::try_from(code).ok()).unwrap_or(1)))
        }
        None => Err(Error::new("told to stop during the tests").into()),
    }
}

/// Starts this command again with a library that makes `fsync` do nothing, for itself and all that it starts.
///
/// Tests kill processes, never the machine, and what a killed process has written is in the kernel. So waiting for the
/// disk proves nothing; but while the disk is busy with something else, as a build, it holds up every commit, and for
/// minutes the recovery of a killed broker or database, which syncs all its files.
fn without_fsync() -> Result<()> {
    const PRELOAD: &str = "LD_PRELOAD";
    let library = no_fsync().ok_or_else(|| Error::new("libeatmydata is missing"))?;
    let mut preload = env::var_os(PRELOAD).unwrap_or_default();
    if env::split_paths(&preload).any(|path| path == library) {
        return Ok(());
    }
    if !preload.is_empty() {
        preload.push(":");
    }
    preload.push(library);
    let this = env::current_exe().context("cannot find this program")?;
    let failed = Command::new(this).args(env::args_os().skip(1)).env(PRELOAD, preload).exec();
    Err(failed).context("cannot start this program again")
}

/// All programs: end-to-end tests start those of other crates.
fn build() -> Result<()> {
    let started = Instant::now();
    // `--tests` makes cargo choose the same features of the dependencies as `cargo test` does.
    let mut build = vec!["build", "--workspace", "--bins", "--tests"];
    build.extend(FEATURES);
    cargo::run_ok(cargo::spec(&build), "the build")?;
    report::say(&format!("built after {:.1} s", started.elapsed().as_secs_f64()));
    Ok(())
}

/// Whether all crates are tested, or `dev`, whose tests start the programs of all.
fn whole_workspace(test: &Test) -> bool {
    let packages = packages_of(test);
    packages.is_empty() || packages.contains(&"dev")
}

/// The packages that the caller named for cargo: `-p order`, `-porder`, `--package=order`.
fn packages_of(test: &Test) -> Vec<&str> {
    let mut args = test.cargo.iter().map(String::as_str).take_while(|arg| *arg != "--");
    let mut packages = Vec::new();
    while let Some(arg) = args.next() {
        match arg.strip_prefix("--package").or_else(|| arg.strip_prefix("-p")) {
            Some("") => packages.extend(args.next()),
            Some(name) => packages.push(name.trim_start_matches('=')),
            None => {}
        }
    }
    packages
}

fn cargo_test(test: &Test, servers: &Addresses) -> Spec {
    let mut args = vec!["test"];
    if packages_of(test).is_empty() {
        args.push("--workspace");
        args.extend(FEATURES);
    }
    args.extend(test.cargo.iter().map(String::as_str));
    let spec = cargo::spec(&args)
        .env("ASTRAPHE_TEST_REDIS", &servers.redis)
        .env("ASTRAPHE_TEST_POSTGRES", &servers.postgres)
        .env("ASTRAPHE_TEST_KAFKA", &servers.kafka);
    if test.long { spec.env("ASTRAPHE_TEST_LONG", "1") } else { spec }
}

fn remove(dir: &Path) -> Result<()> {
    postgres::remove(&dir.join("postgres"))?;
    fs::remove_dir_all(dir).context(format!("cannot remove {}", dir.display()))
}

#[cfg(test)]
mod tests {
    use super::{packages_of, whole_workspace};
    use crate::args::Test;

    fn test(line: &str) -> Test {
        Test { long: false, cargo: line.split_whitespace().map(str::to_owned).collect() }
    }

    #[test]
    fn named_packages_are_found() {
        assert_eq!(
            packages_of(&test("-p order --package=user -pgateway x -- -p y")),
            ["order", "user", "gateway"]
        );
        assert!(packages_of(&test("sold_out -- --nocapture")).is_empty());
    }

    #[test]
    fn all_programs_are_built_for_tests_that_start_them() {
        assert!(whole_workspace(&test("")));
        assert!(whole_workspace(&test("-p order -p dev")));
        assert!(!whole_workspace(&test("-p order")));
    }
}
