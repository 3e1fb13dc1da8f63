//! How to start a process, and the command line that this makes.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use super::Probe;
use crate::error::{Context, Result};

/// Open files a child may have: every waiting shopper is a connection. Only as far as the hard limit allows.
const OPEN_FILES_MAX: u64 = 524_288;

/// How to start a process.
#[derive(Clone)]
pub struct Spec {
    pub(super) name: String,
    program: OsString,
    args: Vec<OsString>,
    envs: Vec<(OsString, OsString)>,
    removed_envs: Vec<OsString>,
    dir: Option<PathBuf>,
    pub(super) log: Option<PathBuf>,
    answer: Option<PathBuf>,
    pub(super) give_up: Option<Arc<AtomicBool>>,
    user: Option<&'static str>,
    pub(super) stop_signal: &'static str,
    pub(super) stop_within: Duration,
    pub(super) ready: Option<(Duration, Probe)>,
}

impl Spec {
    /// A process called `name` in messages; `program` is a path or is looked up in `PATH`.
    pub fn new(name: impl Into<String>, program: impl AsRef<OsStr>) -> Self {
        Self {
            name: name.into(),
            program: program.as_ref().to_owned(),
            args: Vec::new(),
            envs: Vec::new(),
            removed_envs: Vec::new(),
            dir: None,
            log: None,
            answer: None,
            give_up: None,
            user: None,
            stop_signal: "TERM",
            stop_within: Duration::from_secs(5),
            ready: None,
        }
    }

    /// Adds arguments.
    pub fn args<A: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Sets an environment variable; all others are inherited.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.envs.push((name.as_ref().to_owned(), value.as_ref().to_owned()));
        self
    }

    /// Takes an inherited environment variable away.
    pub fn env_remove(mut self, name: impl AsRef<OsStr>) -> Self {
        self.removed_envs.push(name.as_ref().to_owned());
        self
    }

    /// The directory it starts in.
    pub fn dir(mut self, dir: impl Into<PathBuf>) -> Self {
        self.dir = Some(dir.into());
        self
    }

    /// Appends its output to this file. Without it the output is this process's own.
    pub fn log(mut self, log: impl Into<PathBuf>) -> Self {
        self.log = Some(log.into());
        self
    }

    /// Writes its standard output to this file, for a command whose answer is read; the log has the rest.
    pub fn answer(mut self, file: impl Into<PathBuf>) -> Self {
        self.answer = Some(file.into());
        self
    }

    /// Ends the wait for readiness once this is set: another process of the same start failed.
    pub fn give_up(mut self, flag: Arc<AtomicBool>) -> Self {
        self.give_up = Some(flag);
        self
    }

    /// Runs it as this system user; only root can.
    pub fn user(mut self, user: Option<&'static str>) -> Self {
        self.user = user;
        self
    }

    /// How it is asked to stop, and how long it has before it is killed. Default: `TERM`, 5 s.
    pub fn stop(mut self, signal: &'static str, within: Duration) -> Self {
        self.stop_signal = signal;
        self.stop_within = within;
        self
    }

    /// When it is ready. Without a probe a process counts as ready once it is spawned.
    pub fn ready(
        mut self,
        within: Duration,
        probe: impl Fn(u32) -> std::result::Result<(), String> + Send + Sync + 'static,
    ) -> Self {
        self.ready = Some((within, Arc::new(probe)));
        self
    }

    pub(super) fn command(&self) -> Result<Command> {
        let mut command = match open_files_limit() {
            Some(limit) => {
                let mut command = Command::new("prlimit");
                command.arg(format!("--nofile={limit}:")).arg("setpriv");
                command
            }
            None => Command::new("setpriv"),
        };
        command.args(["--pdeathsig", "KILL"]);
        if let Some(user) = self.user {
            command.args(["--reuid", user, "--regid", user, "--init-groups"]);
        }
        command.arg("--").arg(&self.program).args(&self.args);
        for name in &self.removed_envs {
            command.env_remove(name);
        }
        command.envs(self.envs.iter().map(|(name, value)| (name, value)));
        if let Some(dir) = &self.dir {
            command.current_dir(dir);
        }
        command.stdin(Stdio::null());
        if let Some(path) = &self.log {
            let log = open_log(path)?;
            command.stderr(log.try_clone().context(format!("cannot use {}", path.display()))?).stdout(log);
        }
        if let Some(path) = &self.answer {
            command.stdout(File::create(path).context(format!("cannot write {}", path.display()))?);
        }
        // Its own group, so that Ctrl-C reaches the launcher alone and the children stop in the launcher's order.
        command.process_group(0);
        Ok(command)
    }
}

fn open_log(path: &Path) -> Result<File> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).context(format!("cannot create {}", parent.display()))?;
    }
    OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .context(format!("cannot write {}", path.display()))
}

/// The soft limit to set for children, or nothing when the present one is enough.
fn open_files_limit() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let mut numbers = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?.split_whitespace();
    let parse = |text: &str| if text == "unlimited" { Some(u64::MAX) } else { text.parse().ok() };
    let (soft, hard): (u64, u64) = (parse(numbers.next()?)?, parse(numbers.next()?)?);
    let wanted = hard.min(OPEN_FILES_MAX);
    (soft < wanted).then_some(wanted)
}
