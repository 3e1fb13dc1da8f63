//! The command line: settings of the service, or its one tool.

use std::path::PathBuf;

use clap::{CommandFactory as _, FromArgMatches as _, Subcommand};

use crate::Config;

/// What the process is to do.
#[derive(Debug)]
pub enum Task {
    /// Serve, which is the default.
    Serve(Box<Config>),
    /// Write a new key to this file and end.
    Keygen(PathBuf),
}

#[derive(Debug, Subcommand)]
enum Tool {
    /// Writes a new signing key to FILE and prints its name.
    Keygen {
        /// Where to; must not exist.
        file: PathBuf,
    },
}

impl Task {
    /// Reads the command line and the environment; ends the process with a message when they are wrong.
    #[must_use]
    pub fn from_args() -> Self {
        // The service's settings stay at the top level, so that `--help` shows them; the tool does not need them.
        let command = Tool::augment_subcommands(Config::command()).subcommand_negates_reqs(true);
        let matches = command.subcommand_required(false).arg_required_else_help(false).get_matches();
        let task = match matches.subcommand_name() {
            Some(_) => Tool::from_arg_matches(&matches).map(|Tool::Keygen { file }| Self::Keygen(file)),
            None => Config::from_arg_matches(&matches).map(|config| Self::Serve(Box::new(config))),
        };
        task.unwrap_or_else(|error| error.exit())
    }
}
