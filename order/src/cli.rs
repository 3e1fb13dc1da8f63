//! The command line: settings of the service, or its tool.

use clap::Subcommand;
use common::dead_letter::cli::Tool as DeadLetters;
use common::stop::Stop;

use crate::MIGRATIONS;
use crate::config::Config;

/// What the process is to do.
pub type Task = common::cli::Task<Config, Tool>;

/// Things to do once.
#[derive(Debug, Subcommand)]
pub enum Tool {
    /// Records that nobody could use, of all topics but the stock's commands.
    DeadLetters(DeadLetters),
}

impl Tool {
    /// Does it; what comes back is for standard output.
    ///
    /// # Errors
    /// When the database is not as it should be, or there is no such letter.
    pub async fn run(self, stop: &Stop) -> anyhow::Result<String> {
        let Self::DeadLetters(tool) = self;
        tool.run(&MIGRATIONS, stop).await
    }
}
