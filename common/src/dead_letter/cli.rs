//! `dead-letters` on a service's command line: the letters that this service keeps.

use clap::{Args, Subcommand};
use sqlx::migrate::Migrator;
use uuid::Uuid;

use super::store::{self, Wanted};
use crate::clock::Clock;
use crate::config::Pg;
use crate::stop::Stop;
use crate::wire::dead_letter::DeadLetters;

/// Lists letters, shows one, sends one again. Without a command it lists those that nobody has sent again.
#[derive(Debug, Args)]
pub struct Tool {
    #[command(flatten)]
    pg: Pg,
    #[command(subcommand)]
    task: Option<Task>,
}

/// What to do with them.
#[derive(Debug, Subcommand)]
enum Task {
    /// The newest letters, without their bodies.
    List(List),
    /// One letter with its original bytes.
    Show {
        /// Its `letterId`.
        id: Uuid,
    },
    /// Sends a letter to its topic again, once; the running service does it from its outbox.
    Redrive {
        /// Its `letterId`.
        id: Uuid,
        /// Who does it: noted beside the letter and in the record.
        #[arg(long, value_parser = name)]
        by: String,
    },
}

#[derive(Debug, Args)]
struct List {
    /// Those that were sent again, too.
    #[arg(long)]
    all: bool,
    /// How many at most.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..=10_000))]
    limit: i64,
    /// Only older ones than this `letterId`.
    #[arg(long)]
    before: Option<Uuid>,
}

fn name(text: &str) -> Result<String, &'static str> {
    let fits = (1..=100).contains(&text.chars().count()) && !text.chars().any(char::is_control);
    if fits { Ok(text.to_owned()) } else { Err("1 to 100 characters, none of them a control character") }
}

impl Tool {
    /// Does it; what comes back is JSON for standard output.
    ///
    /// # Errors
    /// When the database is not as it should be, or there is no such letter.
    pub async fn run(self, migrations: &Migrator, stop: &Stop) -> anyhow::Result<String> {
        let pg = crate::pg::open(&self.pg, migrations, stop).await?;
        let missing = |id| anyhow::anyhow!("this service keeps no dead letter {id}");
        let list = List { all: false, limit: 100, before: None };
        let text = match self.task.unwrap_or(Task::List(list)) {
            Task::List(List { all, limit, before }) => {
                let wanted = Wanted { before, redriven: (!all).then_some(false), max: limit };
                let items = store::list(&pg, wanted).await?;
                serde_json::to_string_pretty(&DeadLetters { items, next: None })?
            }
            Task::Show { id } => {
                serde_json::to_string_pretty(&store::one(&pg, id).await?.ok_or_else(|| missing(id))?)?
            }
            Task::Redrive { id, by } => {
                let letter = store::redrive(&pg, id, &by, Clock::system().now()).await?;
                let letter = letter.ok_or_else(|| missing(id))?;
                anyhow::ensure!(
                    letter.redriven_at.is_some(),
                    "{id} is larger than {} bytes: no topic takes it",
                    store::REDRIVE_MAX
                );
                serde_json::to_string_pretty(&letter)?
            }
        };
        pg.close().await;
        Ok(text)
    }
}
