//! `cargo dev check`: formatting, clippy and documentation; a warning is a failure.

use std::process::ExitCode;
use std::time::Instant;

use testkit::packages::Purpose;

use crate::test::FEATURES;
use crate::{Failure, cargo, folder, packages, report, signals};

pub(crate) fn run() -> Result<ExitCode, Failure> {
    signals::listen()?;
    // Clippy compiles what the services link.
    packages::install(&folder::prepare(&crate::root().join(".dev"))?, Purpose::Build)?;
    let clippy =
        [&["clippy", "--workspace", "--all-targets"], &FEATURES[..], &["--", "-D", "warnings"]].concat();
    let steps = [
        ("formatting", cargo::spec(&["fmt", "--all", "--check"])),
        ("clippy", cargo::spec(&clippy)),
        (
            "documentation",
            cargo::spec(&["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-Dwarnings"),
        ),
    ];
    for (name, spec) in steps {
        let started = Instant::now();
        cargo::run_ok(spec, name)?;
        report::say(&format!("{name}: right, after {:.1} s", started.elapsed().as_secs_f64()));
    }
    Ok(ExitCode::SUCCESS)
}
