//! How to start a stack.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use testkit::error::Result;
use testkit::redis::next_database;

use crate::servers::Addresses;

/// How to start a stack.
#[derive(Debug, Clone)]
pub struct Options {
    /// Keys, logs, `stack.json`, and the data of own servers.
    pub dir: PathBuf,
    /// The folder of the built programs.
    pub programs: PathBuf,
    /// Servers that run already; without them the stack starts its own.
    pub servers: Option<Addresses>,
    /// How many of a service; 1 where nothing is said.
    pub replicas: BTreeMap<String, usize>,
    /// Put before the names of the databases.
    pub database_prefix: String,
    /// The logical database of Redis.
    pub redis_database: u16,
    /// Put before the names of topics and consumer groups.
    pub topic_prefix: String,
    /// Where the keys are; stacks may share them.
    pub keys: PathBuf,
    /// Accounts prepared for the load generator.
    pub shoppers: u32,
    /// Further settings of every service.
    pub settings: Vec<(String, String)>,
    /// Is told of every thing that runs: name, address, pid, log.
    pub progress: fn(&str, &str, u32, &Path),
}

impl Options {
    /// A stack of its own in `dir`, one process of each service, with the programs beside this one.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        let dir = dir.into();
        Self {
            keys: dir.join("keys"),
            dir,
            programs: crate::programs("debug"),
            servers: None,
            replicas: BTreeMap::new(),
            database_prefix: String::new(),
            redis_database: 0,
            topic_prefix: String::new(),
            shoppers: 100,
            settings: Vec::new(),
            progress: |_, _, _, _| {},
        }
    }

    /// A stack for the test `name`: on the servers of `cargo dev test`, apart from every other stack there; where a
    /// test runs without them, on servers of its own. Its files are under `target/stacks`.
    ///
    /// # Errors
    /// The test servers do not answer, or old files cannot be removed.
    pub fn for_test(name: &str) -> Result<Self> {
        let id =
            format!("{}-{}", name.replace(|c: char| !c.is_ascii_alphanumeric(), "-"), std::process::id());
        let dir = crate::programs("stacks").join(&id);
        crate::folder::wipe(&dir)?;
        let mut options = Self::new(dir);
        options.servers = Addresses::of_tests()?;
        if let Some(servers) = &options.servers {
            options.redis_database = next_database(&servers.redis)?;
            options.database_prefix = format!("{}_", id.replace('-', "_").to_lowercase());
            options.topic_prefix = format!("{id}.");
        }
        Ok(options)
    }

    /// Sets how many processes of a service run.
    pub fn replicas(mut self, service: &str, count: usize) -> Self {
        self.replicas.insert(service.to_owned(), count);
        self
    }

    /// Starts servers of its own, so that a test can kill them.
    pub fn own_servers(mut self) -> Self {
        self.servers = None;
        self.redis_database = 0;
        self
    }
}
