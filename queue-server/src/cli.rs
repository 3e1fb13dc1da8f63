//! The command line: settings of the service, or its one tool.

use std::path::PathBuf;

use clap::Subcommand;

use crate::Config;

/// What the process is to do.
pub type Task = common::cli::Task<Config, Tool>;

/// The thing to do once.
#[derive(Debug, Subcommand)]
pub enum Tool {
    /// Writes a new signing key to FILE and prints its name.
    Keygen {
        /// Where to; must not exist.
        file: PathBuf,
    },
}
