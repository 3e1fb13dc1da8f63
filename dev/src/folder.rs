//! The folder of one launcher, `.dev`: its lock, its data, and whether there is room.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{self, Command};

use testkit::error::{Context, Error, Result};
use testkit::postgres;
use testkit::process::is_alive;

/// A rush with the servers' own preallocated files needs about half of it.
const FREE_LEAST_MB: u64 = 500;

/// Makes the folder and checks that it can be used.
pub(crate) fn prepare(dir: &Path) -> Result<PathBuf> {
    fs::create_dir_all(dir).context(format!("cannot create {}", dir.display()))?;
    let dir = fs::canonicalize(dir).context(format!("cannot open {}", dir.display()))?;
    let probe = dir.join(format!(".probe-{}", process::id()));
    let written = fs::write(&probe, vec![0; 1 << 20]);
    fs::remove_file(&probe).ok();
    written.context(format!("cannot write in {}", dir.display()))?;
    match free_mb(&dir) {
        Some(free) if free < FREE_LEAST_MB => Err(Error::new(format!(
            "the disk of {} is full: {free} MB are free, {FREE_LEAST_MB} MB are needed",
            dir.display()
        ))),
        _ => Ok(dir),
    }
}

/// Holds the folder for this process alone, until the file is dropped.
pub(crate) fn lock(dir: &Path) -> Result<File> {
    let path = dir.join("lock");
    let mut file = open(&path)?;
    match file.try_lock() {
        Ok(()) => {}
        Err(TryLockError::WouldBlock) => {
            let pid = holder(dir).map_or_else(|| "unknown".to_owned(), |pid| pid.to_string());
            return Err(Error::new(format!(
                "`cargo dev up` already runs in {} (pid {pid}); `cargo dev down` stops it",
                dir.display()
            )));
        }
        Err(TryLockError::Error(error)) => {
            return Err(Error::new(format!("cannot lock {}: {error}", path.display())));
        }
    }
    let pid = process::id().to_string();
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| file.write_all(pid.as_bytes()))
        .context(format!("cannot write {}", path.display()))?;
    Ok(file)
}

/// The process that holds the folder; none when nobody does.
pub(crate) fn holder(dir: &Path) -> Option<u32> {
    let path = dir.join("lock");
    let file = OpenOptions::new().read(true).write(true).open(&path).ok()?;
    match file.try_lock() {
        Err(TryLockError::WouldBlock) => fs::read_to_string(&path).ok()?.trim().parse().ok(),
        _ => None,
    }
}

/// Removes what an earlier start left.
pub(crate) fn wipe(dir: &Path) -> Result<()> {
    postgres::remove(&dir.join("postgres"))?;
    for name in ["redis", "kafka", "keys", "logs"] {
        remove(&dir.join(name), |path| fs::remove_dir_all(path))?;
    }
    remove(&dir.join("stack.json"), |path| fs::remove_file(path))
}

/// Removes folders that a process which is gone named after its pid (`test-4711`).
pub(crate) fn remove_abandoned(base: &Path) {
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.rsplit_once('-')?.1.parse().ok());
        if pid.is_some_and(|pid| !is_alive(pid)) && entry.path().is_dir() {
            postgres::remove(&entry.path().join("postgres")).ok();
            // Another run may remove it at the same time.
            fs::remove_dir_all(entry.path()).ok();
        }
    }
}

fn remove(path: &Path, how: impl Fn(&Path) -> std::io::Result<()>) -> Result<()> {
    match how(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::new(format!("cannot remove {}: {error}", path.display())))
        }
        _ => Ok(()),
    }
}

fn open(path: &Path) -> Result<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    file.context(format!("cannot write {}", path.display()))
}

fn free_mb(dir: &Path) -> Option<u64> {
    let output = Command::new("df").arg("-Pm").arg(dir).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    text.lines().nth(1)?.split_whitespace().nth(3)?.parse().ok()
}
