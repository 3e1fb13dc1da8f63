//! A Redis or PostgreSQL of one test's own, to be killed.

use std::path::{Path, PathBuf};

use crate::error::Result;
use crate::process::Server;
use crate::{port, postgres};

/// The server and its data. Dropping it stops the one and removes the other.
pub struct Own<S: Server> {
    /// The server.
    pub server: S,
    /// Its data and log.
    pub folder: PathBuf,
}

impl<S: Server> Own<S> {
    /// A server without data; `start` takes its folder and a port, as the servers' own `start` does.
    ///
    /// # Panics
    /// When it does not come up.
    pub fn start(start: impl Fn(&Path, u16) -> Result<S>) -> Self {
        let folder = std::env::temp_dir().join(format!("astraphe-own-{}", uuid::Uuid::new_v4().simple()));
        std::fs::create_dir_all(&folder).expect("a folder for the server");
        let server = port::on_free_port(|port| start(&folder, port)).expect("the server starts");
        Self { server, folder }
    }
}

impl<S: Server> Drop for Own<S> {
    fn drop(&mut self) {
        self.server.stop();
        // Also what PostgreSQL keeps elsewhere where its user may not enter the folder.
        postgres::remove(&self.folder).ok();
    }
}
