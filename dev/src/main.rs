//! `cargo dev`: see `cargo dev --help`.

use std::process::ExitCode;

fn main() -> ExitCode {
    dev::run(std::env::args().skip(1))
}
