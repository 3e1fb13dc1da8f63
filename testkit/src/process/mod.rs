//! Child processes: they die with this process, write to a log file, are waited for until they really answer, and
//! are stopped in order.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Context, Error, Result};

mod spawn;
mod spec;

use spawn::spawn;
pub use spec::Spec;

/// Says with the child's pid whether it is ready, else what it answered.
pub type Probe = Arc<dyn Fn(u32) -> std::result::Result<(), String> + Send + Sync>;

/// Between two looks at a child that starts or stops.
const POLL: Duration = Duration::from_millis(20);

/// Set once this process was told to stop: nothing is waited for any more.
static CANCELLED: AtomicBool = AtomicBool::new(false);

/// Makes every wait for a child's readiness fail from now on. For a launcher that was told to stop.
pub fn cancel() {
    CANCELLED.store(true, Ordering::Relaxed);
}

/// Whether [`cancel`] was called.
pub fn is_cancelled() -> bool {
    CANCELLED.load(Ordering::Relaxed)
}

/// A running (or ended) child process. Dropping it stops it.
pub struct Process {
    spec: Spec,
    child: Child,
    log_start: u64,
}

impl Process {
    /// Starts the process and waits until it is ready.
    ///
    /// # Errors
    /// It cannot be started, dies, or is not ready in time: then nothing is left running, and the error holds the
    /// last lines of its log and the log's path.
    pub fn start(spec: Spec) -> Result<Self> {
        let (child, log_start) = spawn_logged(&spec)?;
        let mut process = Self { spec, child, log_start };
        process.wait_ready()?;
        Ok(process)
    }

    /// Starts it again as it was started first, after it ended or was killed.
    ///
    /// # Errors
    /// As [`Process::start`].
    pub fn restart(&mut self) -> Result<()> {
        self.stop();
        (self.child, self.log_start) = spawn_logged(&self.spec)?;
        self.wait_ready()
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.spec.name
    }

    /// Its process id; after a restart a new one.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The file that holds its output.
    pub fn log(&self) -> Option<&Path> {
        self.spec.log.as_deref()
    }

    /// How it ended, or nothing while it runs.
    pub fn exited(&mut self) -> Option<ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// Waits until it ended by itself; stops it when the launcher was told to stop meanwhile.
    pub fn wait(&mut self) -> Option<ExitStatus> {
        loop {
            if let Some(status) = self.exited() {
                return Some(status);
            }
            if is_cancelled() {
                self.stop();
                return None;
            }
            thread::sleep(POLL);
        }
    }

    /// Kills it without a warning, as a crash does.
    pub fn kill9(&mut self) {
        // Both fail only for a child that has already ended and been waited for.
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// Asks it to stop, and kills it when it does not in time.
    pub fn stop(&mut self) {
        self.stop_within(self.spec.stop_within);
    }

    /// As [`Process::stop`], with another time.
    pub fn stop_within(&mut self, within: Duration) {
        if self.exited().is_some() {
            return;
        }
        // All of its group: cargo does not pass a signal on to the tests that it runs.
        send(&format!("-{}", self.pid()), self.spec.stop_signal);
        let asked = Instant::now();
        while asked.elapsed() < within {
            if self.exited().is_some() {
                return;
            }
            thread::sleep(POLL);
        }
        self.kill9();
    }

    fn wait_ready(&mut self) -> Result<()> {
        let Some((within, probe)) = self.spec.ready.clone() else { return Ok(()) };
        let started = Instant::now();
        loop {
            if is_cancelled() || self.spec.give_up.as_ref().is_some_and(|flag| flag.load(Ordering::Relaxed)) {
                self.stop();
                return Err(Error::new(format!("told to stop while {} was starting", self.spec.name)));
            }
            if let Some(status) = self.exited() {
                return Err(self.failure(&format!("died during start ({status})")));
            }
            let answer = match probe(self.pid()) {
                Ok(()) => return Ok(()),
                Err(answer) => answer,
            };
            if started.elapsed() > within {
                let error = self.failure(&format!("is not ready after {} s, {answer}", within.as_secs()));
                self.kill9();
                return Err(error);
            }
            thread::sleep(POLL);
        }
    }

    /// An error about this process in one line: what happened, its last log lines, the log's path.
    pub fn failure(&self, what: &str) -> Error {
        let name = &self.spec.name;
        let Some(path) = self.log() else { return Error::new(format!("{name} {what}")) };
        let log = read_from(path, self.log_start);
        let tail = last_lines(&log);
        let path = path.display();
        Error::from_log(format!("{name} {what}{tail} (log: {path})"), &log)
    }
}

/// Something that is one process: all that a launcher or a crash test needs to know of it.
pub trait Server: Send {
    /// The process.
    fn process(&mut self) -> &mut Process;

    /// Starts it again on the same address and data.
    ///
    /// # Errors
    /// It does not come up.
    fn restart(&mut self) -> Result<()> {
        self.process().restart()
    }

    /// Kills it with SIGKILL.
    fn kill9(&mut self) {
        self.process().kill9();
    }

    /// Stops it in order.
    fn stop(&mut self) {
        self.process().stop();
    }
}

impl Server for Process {
    fn process(&mut self) -> &mut Process {
        self
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Runs a command to its end and returns how it ended; nothing when the launcher was told to stop meanwhile.
///
/// # Errors
/// It cannot be started.
pub fn run(spec: Spec) -> Result<Option<ExitStatus>> {
    Ok(Process::start(spec)?.wait())
}

/// Runs a command that has to succeed, with its output in the spec's log.
///
/// # Errors
/// It cannot be started, or fails: then with its last log lines.
pub fn run_checked(spec: Spec) -> Result<()> {
    let mut process = Process::start(spec)?;
    match process.wait() {
        Some(status) if status.success() => Ok(()),
        Some(status) => Err(process.failure(&format!("failed ({status})"))),
        None => Err(Error::new(format!("told to stop while {} was running", process.name()))),
    }
}

/// Sends a signal by name (`TERM`, `INT`) to a process.
pub fn signal(pid: u32, signal: &str) {
    send(&pid.to_string(), signal);
}

/// `target` is a pid, or with a minus in front the group of that process.
fn send(target: &str, signal: &str) {
    // The shell's own `kill` is there on every system; the program of that name is not.
    Command::new("sh")
        .args(["-c", &format!("kill -s {signal} -- {target}")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .ok();
}

/// Whether a process with this id runs. One that ended and that nobody waited for does not.
pub fn is_alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The state follows the program's name in parentheses.
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

fn spawn_logged(spec: &Spec) -> Result<(Child, u64)> {
    let command = spec.command()?;
    let log_start = spec.log.as_ref().and_then(|log| fs::metadata(log).ok()).map_or(0, |data| data.len());
    let child = spawn(command).context(format!("cannot start {}", spec.name))?;
    Ok((child, log_start))
}

fn read_from(path: &Path, start: u64) -> String {
    let mut bytes = Vec::new();
    if let Ok(mut file) = File::open(path)
        && file.seek(SeekFrom::Start(start)).is_ok()
    {
        file.read_to_end(&mut bytes).ok();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The end of a log as part of a one-line message.
fn last_lines(log: &str) -> String {
    let lines: Vec<&str> = log.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let tail = lines[lines.len().saturating_sub(3)..].join(" | ");
    let short: String = tail.chars().take(600).collect();
    if short.is_empty() { String::new() } else { format!(": {short}") }
}
