//! The command line of a service that has tools: its settings at the top level, so that `--help` shows them; a tool does
//! not need them.

use clap::{CommandFactory, Parser, Subcommand};

/// What a process is to do.
#[derive(Debug)]
pub enum Task<Config, Tool> {
    /// Serve, which is the default.
    Serve(Box<Config>),
    /// Do one thing and end.
    Tool(Tool),
}

impl<Config: Parser + CommandFactory, Tool: Subcommand> Task<Config, Tool> {
    /// Reads the command line and the environment; ends the process with a message when they are wrong.
    #[must_use]
    pub fn from_args() -> Self {
        let command = Tool::augment_subcommands(Config::command()).subcommand_negates_reqs(true);
        let matches = command.subcommand_required(false).arg_required_else_help(false).get_matches();
        let task = match matches.subcommand_name() {
            Some(_) => Tool::from_arg_matches(&matches).map(Self::Tool),
            None => Config::from_arg_matches(&matches).map(|config| Self::Serve(Box::new(config))),
        };
        task.unwrap_or_else(|error| error.exit())
    }
}
