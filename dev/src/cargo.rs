//! Runs cargo.

use std::ffi::OsString;

use testkit::error::{Error, Result};
use testkit::process::{Spec, run};

/// Cargo in the repository with these arguments, its output on the terminal.
pub(crate) fn spec(args: &[&str]) -> Spec {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut spec = Spec::new(format!("cargo {}", args[0]), program)
        .args(args)
        .dir(crate::root())
        // Queries are checked from the committed descriptions, never from a database that happens to be named.
        .env("SQLX_OFFLINE", "true")
        .env_remove("DATABASE_URL");
    // `cargo run` sets these for this program; build scripts of others would take them for their own.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST_") || text == "OUT_DIR" {
            spec = spec.env_remove(&name);
        }
    }
    spec
}

/// Runs it to its end.
///
/// # Errors
/// It fails; cargo has said why.
pub(crate) fn run_ok(spec: Spec, what: &str) -> Result<()> {
    match run(spec)? {
        Some(status) if status.success() => Ok(()),
        Some(_) => Err(Error::new(format!("{what} failed, see above"))),
        None => Err(Error::new(format!("told to stop during {what}"))),
    }
}
