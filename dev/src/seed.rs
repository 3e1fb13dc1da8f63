//! `cargo dev seed`: the demo shop once more, on the platform that runs.

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use testkit::error::{Context, Error};

use crate::{Failure, demo, folder, report};

pub(crate) fn run(dir: &Path) -> Result<ExitCode, Failure> {
    if folder::holder(dir).is_none() {
        let dir = report::short(dir);
        return Err(Error::new(format!("no `cargo dev up` runs in {dir}")).into());
    }
    let path = dir.join("stack.json");
    let text = fs::read_to_string(&path).context(format!("cannot read {}", path.display()))?;
    let stack = serde_json::from_str(&text).context(format!("{} is not JSON", path.display()))?;
    demo::open(&stack)?;
    Ok(ExitCode::SUCCESS)
}
