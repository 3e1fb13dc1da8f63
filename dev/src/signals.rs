//! Ctrl-C and SIGTERM.

use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use testkit::error::{Context, Result};
use testkit::process::cancel;

/// From now on the first signal stops in order, and the second one at once: then the children die with this process.
pub(crate) fn listen() -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot listen for Ctrl-C")?;
    thread::spawn(move || {
        for (count, _signal) in signals.forever().enumerate() {
            if count > 0 {
                std::process::exit(130);
            }
            cancel();
        }
    });
    Ok(())
}
