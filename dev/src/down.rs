//! `cargo dev down`: stops the `up` of a folder.

use std::path::Path;
use std::process::ExitCode;
use std::thread;
use std::time::{Duration, Instant};

use testkit::error::Error;
use testkit::process::signal;

use crate::{Failure, folder, report};

/// An orderly stop takes at most 10 s.
const WITHIN: Duration = Duration::from_secs(15);

pub(crate) fn run(dir: &Path) -> Result<ExitCode, Failure> {
    let Some(pid) = folder::holder(dir) else {
        report::say(&format!("no `cargo dev up` runs in {}", report::short(dir)));
        return Ok(ExitCode::SUCCESS);
    };
    let asked = Instant::now();
    signal(pid, "TERM");
    while folder::holder(dir).is_some() {
        if asked.elapsed() > WITHIN {
            let within = WITHIN.as_secs();
            return Err(Error::new(format!("`cargo dev up` (pid {pid}) still runs after {within} s")).into());
        }
        thread::sleep(Duration::from_millis(50));
    }
    report::say(&format!("stopped after {:.1} s", asked.elapsed().as_secs_f64()));
    Ok(ExitCode::SUCCESS)
}
