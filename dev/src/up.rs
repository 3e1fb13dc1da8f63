//! `cargo dev up`: from a fresh machine to a platform that has just sold out.

use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use testkit::error::{Error, Result};
use testkit::packages::Purpose;
use testkit::process::{self, Spec, is_cancelled};

use crate::args::Up;
use crate::servers::Addresses;
use crate::services::REPLICATED;
use crate::stack::{Options, Stack};
use crate::{Failure, cargo, demo, folder, packages, report, signals};

/// How often the running processes are looked at.
const WATCH: Duration = Duration::from_millis(250);

pub(crate) fn run(up: &Up) -> std::result::Result<ExitCode, Failure> {
    signals::listen()?;
    let dir = folder::prepare(&up.dir)?;
    let _lock = folder::lock(&dir)?;
    let external = if up.external { Some(Addresses::external().map_err(Failure::caller)?) } else { None };
    packages::install(&dir, if external.is_none() { Purpose::Run } else { Purpose::Build })?;
    build(up)?;

    let started = Instant::now();
    if !up.keep {
        folder::wipe(&dir)?;
    }
    report::say("starting");
    let mut stack = Stack::start(options(up, &dir, external))?;
    report::say(&format!("ready after {:.1} s", started.elapsed().as_secs_f64()));
    let verdict = use_it(up, &stack)?;
    let stopping = Instant::now();
    stack.stop();
    report::say(&format!("everything stopped after {:.1} s", stopping.elapsed().as_secs_f64()));
    Ok(verdict)
}

/// The demo shop, the simulated sale, and then as long as the reader likes.
fn use_it(up: &Up, stack: &Stack) -> Result<ExitCode> {
    let product = demo::open(&stack.json())?;
    let verdict = if up.rush { rush(up, stack)? } else { ExitCode::SUCCESS };
    if up.once {
        return Ok(verdict);
    }
    pages(stack, &product);
    watch(stack);
    Ok(ExitCode::SUCCESS)
}

fn build(up: &Up) -> Result<()> {
    let mut args = vec!["build", "--bins", "--features", "testkit/sandbox"];
    if !up.debug {
        args.push("--release");
    }
    for name in REPLICATED.iter().chain(&["loadtest", "testkit"]) {
        args.extend(["-p", name]);
    }
    report::say(if up.debug { "building" } else { "building with optimisation" });
    let started = Instant::now();
    cargo::run_ok(cargo::spec(&args), "the build")?;
    report::say(&format!("built after {:.1} s", started.elapsed().as_secs_f64()));
    Ok(())
}

fn options(up: &Up, dir: &Path, external: Option<Addresses>) -> Options {
    let mut options = Options::new(dir);
    options.programs = crate::programs(if up.debug { "debug" } else { "release" });
    options.servers = external;
    options.replicas = up.replicas.clone();
    options.shoppers = up.shoppers;
    options.progress = report::thing;
    options
}

/// Runs the load generator; its verdict is the exit code.
fn rush(up: &Up, stack: &Stack) -> Result<ExitCode> {
    report::say(&format!("a flash sale: {} shoppers, {} units", up.shoppers, up.units));
    let spec = Spec::new("loadtest", stack.program("loadtest"))
        .args(["rush", "--stack"])
        .args([stack.json_path()])
        .args(["--shoppers", &up.shoppers.to_string(), "--units", &up.units.to_string()])
        .dir(crate::root());
    match process::run(spec)? {
        Some(status) if status.success() => Ok(ExitCode::SUCCESS),
        Some(status) => {
            report::fail(&format!("the flash sale did not end as it must ({status})"));
            Ok(ExitCode::FAILURE)
        }
        None => Err(Error::new("told to stop during the flash sale")),
    }
}

/// Where to look; the product is one to wait for.
fn pages(stack: &Stack, product: &Value) {
    let gateway = stack.gateway();
    report::say("pages");
    let web = crate::root().join("web");
    let mut folders: Vec<String> = fs::read_dir(&web)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.path().join("index.html").exists())
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    folders.sort();
    report::say(&format!("  {gateway}/"));
    for page in [
        format!("product.html?id={product}"),
        format!("queue/{product}/wait"),
        format!("queue/{product}/plain"),
    ] {
        report::say(&format!("  {gateway}/{page}"));
    }
    for folder in folders {
        report::say(&format!("  {gateway}/{folder}/"));
    }
    report::say(&format!("addresses and accounts: {}", report::short(&stack.json_path())));
    report::say(&format!("logs: {}", report::short(&stack.logs())));
    report::say("Ctrl-C stops everything");
}

/// Stays until told to stop, and says when a process ends by itself.
fn watch(stack: &Stack) {
    let mut known = Vec::new();
    while !is_cancelled() {
        for (name, line) in stack.dead() {
            if !known.contains(&name) {
                report::fail(&line);
                known.push(name);
            }
        }
        thread::sleep(WATCH);
    }
}
