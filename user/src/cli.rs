//! The command line: settings of the service, or one of its tools.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use common::auth::key::SigningKey;
use common::config::Pg;
use common::stop::Stop;

use crate::{Config, MIGRATIONS, account, keys};

/// What the process is to do.
pub type Task = common::cli::Task<Config, Tool>;

/// Things to do once.
#[derive(Debug, Subcommand)]
pub enum Tool {
    /// Makes the accounts `admin`, `manager`, `seller` and `shopper` with published passwords, and shoppers for
    /// load; prints them as JSON. For development: may run again, changes nothing that is there.
    Seed(Seed),
    /// Moves the signing keys on: the key that signs retires, the next one signs, a new one is the next. Makes those that
    /// are missing instead. Running services see the change within seconds.
    RotateKeys {
        /// Three files: the key that signs, the next and the retired one.
        #[arg(env = "IDENTITY_KEY_FILE", value_delimiter = ',', required = true)]
        files: Vec<PathBuf>,
        /// Also when the last rotation was a moment ago: a key is in wrong hands. Logins of the key that goes must be
        /// refreshed.
        #[arg(long)]
        force: bool,
    },
    /// Writes a new signing key to FILE and prints its name.
    Keygen {
        /// Where to; must not exist.
        file: PathBuf,
    },
}

/// Settings of `user seed`.
#[derive(Debug, Args)]
pub struct Seed {
    #[command(flatten)]
    pg: Pg,
    /// Load shoppers `s000001`, `s000002`, …: accounts that nobody can log in to, with contiguous ids.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=account::seed::SHOPPERS_MAX))]
    shoppers: u32,
}

impl Tool {
    /// Does it; what comes back is for standard output.
    ///
    /// # Errors
    /// When the database or the file is not as it should be.
    pub async fn run(self, stop: Stop) -> anyhow::Result<String> {
        match self {
            Self::RotateKeys { files, force } => keys::rotate(&files, force),
            Self::Keygen { file } => SigningKey::generate(&file),
            Self::Seed(seed) => {
                let pg = common::pg::open(&seed.pg, &MIGRATIONS, &stop).await?;
                let seeded = account::seed::run(&pg, seed.shoppers).await?;
                pg.close().await;
                Ok(serde_json::to_string(&seeded)?)
            }
        }
    }
}
