//! What the launcher prints: results on standard output, failures on standard error. A reader that went away
//! (`| head`) is no reason to stop, so failed writes are ignored.

use std::io::{Write, stderr, stdout};
use std::path::Path;

/// One line or text.
pub(crate) fn say(text: &str) {
    writeln!(stdout(), "{}", text.trim_end()).ok();
}

/// One failure.
pub(crate) fn fail(text: &str) {
    writeln!(stderr(), "error: {}", text.trim_end()).ok();
}

/// One running thing: name, address, pid, log.
pub(crate) fn thing(name: &str, address: &str, pid: u32, log: &Path) {
    let log = short(log);
    say(&format!("  {name:<16} {address:<44} pid {pid:<8} {log}"));
}

/// A path as seen from where the reader stands.
pub(crate) fn short(path: &Path) -> String {
    let here = std::env::current_dir().unwrap_or_default();
    path.strip_prefix(here).unwrap_or(path).display().to_string()
}
