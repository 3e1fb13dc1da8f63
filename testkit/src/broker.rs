//! A Kafka broker of one test's own, to be killed, cut off, or left without room on its disk.

use std::path::PathBuf;
use std::process::Command;

use crate::kafka::{Kafka, data_dir};
use crate::process::Server as _;
use crate::wire::Wire;
use crate::{jars, port, postgres};

/// A broker and the wire that all its clients come over. Dropping it stops it and removes its data.
pub struct Broker {
    /// The broker.
    pub kafka: Kafka,
    /// Between it and its clients.
    pub wire: Wire,
    folder: PathBuf,
    is_mounted: bool,
}

impl Broker {
    /// A broker with the whole disk.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn start() -> Self {
        Self::start_in(folder(), false).await
    }

    /// A broker on a file system of its own with so much room, in MiB; nothing where this process may not mount one.
    ///
    /// # Panics
    /// When it does not come up.
    pub async fn with_disk(mebibytes: u32) -> Option<Self> {
        let folder = folder();
        if !postgres::is_root() {
            return None;
        }
        std::fs::create_dir_all(&folder).expect("a folder for the broker");
        let size = format!("size={mebibytes}m");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(&folder).status();
        if !mounted.is_ok_and(|status| status.success()) {
            return None;
        }
        Some(Self::start_in(folder, true).await)
    }

    async fn start_in(folder: PathBuf, is_mounted: bool) -> Self {
        let jars = jars::ensure(&folder).expect("Kafka's jars");
        let port = port::pick().expect("a free port");
        let wire = Wire::to(&format!("127.0.0.1:{port}")).await.expect("a wire");
        let kafka =
            Kafka::start_behind(&folder, port, wire.address.port(), &jars).expect("the broker starts");
        Self { kafka, wire, folder, is_mounted }
    }

    /// Where clients find it.
    #[must_use]
    pub fn url(&self) -> String {
        self.wire.address.to_string()
    }

    /// Gives the broker's file system so much room, in MiB.
    ///
    /// # Panics
    /// When it has none of its own.
    pub fn resize_disk(&self, mebibytes: u32) {
        let size = format!("remount,size={mebibytes}m");
        let done = Command::new("mount").args(["-o", &size]).arg(&self.folder).status();
        assert!(self.is_mounted && done.is_ok_and(|status| status.success()), "no file system of its own");
    }

    /// Takes the last bytes of a topic's fullest partition away, as a disk does that lost its last writes. Only while the
    /// broker is down.
    ///
    /// # Panics
    /// When there is no such topic.
    pub fn lose(&self, topic: &str, bytes: u64) {
        let partitions = std::fs::read_dir(data_dir(&self.folder)).expect("the broker's data").flatten();
        let partitions = partitions.filter(|partition| {
            let name = partition.file_name();
            name.to_str().and_then(|name| name.rsplit_once('-')).is_some_and(|(of, _)| of == topic)
        });
        let segments = partitions.map(|partition| partition.path().join(format!("{:020}.log", 0)));
        let size = |path: &PathBuf| path.metadata().map(|about| about.len()).unwrap_or_default();
        let fullest = segments.max_by_key(size).expect("the topic");
        let segment = std::fs::OpenOptions::new().write(true).open(&fullest).expect("the segment");
        segment.set_len(size(&fullest) - bytes).expect("a shorter segment");
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.kafka.stop();
        if self.is_mounted {
            Command::new("umount").arg(&self.folder).status().ok();
        }
        std::fs::remove_dir_all(&self.folder).ok();
    }
}

fn folder() -> PathBuf {
    std::env::temp_dir().join(format!("astraphe-broker-{}", uuid::Uuid::new_v4().simple()))
}
