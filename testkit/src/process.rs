//! Child processes: they die with this process, write to a log file, are waited for until they really answer, and
//! are stopped in order.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Context, Error, Result};

/// Says with the child's pid whether it is ready, else what it answered.
pub type Probe = Arc<dyn Fn(u32) -> std::result::Result<(), String> + Send + Sync>;

/// Between two looks at a child that starts or stops.
const POLL: Duration = Duration::from_millis(20);

/// Open files a child may have: every waiting shopper is a connection. Only as far as the hard limit allows.
const OPEN_FILES_MAX: u64 = 524_288;

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

/// How to start a process.
#[derive(Clone)]
pub struct Spec {
    name: String,
    program: OsString,
    args: Vec<OsString>,
    envs: Vec<(OsString, OsString)>,
    removed_envs: Vec<OsString>,
    dir: Option<PathBuf>,
    log: Option<PathBuf>,
    answer: Option<PathBuf>,
    give_up: Option<Arc<AtomicBool>>,
    user: Option<&'static str>,
    stop_signal: &'static str,
    stop_within: Duration,
    ready: Option<(Duration, Probe)>,
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

    fn command(&self) -> Result<Command> {
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
        signal(self.pid(), self.spec.stop_signal);
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
    // The shell's own `kill` is there on every system; the program of that name is not.
    Command::new("sh")
        .args(["-c", &format!("kill -s {signal} {pid}")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .ok();
}

/// Whether a process with this id exists.
pub fn is_alive(pid: u32) -> bool {
    Path::new("/proc").join(pid.to_string()).exists()
}

type Job = (Command, mpsc::Sender<std::io::Result<Child>>);

fn spawn_logged(spec: &Spec) -> Result<(Child, u64)> {
    let command = spec.command()?;
    let log_start = spec.log.as_ref().and_then(|log| fs::metadata(log).ok()).map_or(0, |data| data.len());
    let child = spawn(command).context(format!("cannot start {}", spec.name))?;
    Ok((child, log_start))
}

/// Spawns from the one thread that lives as long as this process: the kernel sends a child its parent-death signal
/// when the *thread* that made it ends.
fn spawn(command: Command) -> std::io::Result<Child> {
    static SPAWNER: OnceLock<Mutex<mpsc::Sender<Job>>> = OnceLock::new();
    let spawner = SPAWNER.get_or_init(|| {
        let (sender, jobs) = mpsc::channel::<Job>();
        thread::spawn(move || {
            for (mut command, answer) in jobs {
                answer.send(command.spawn()).ok();
            }
        });
        Mutex::new(sender)
    });
    let (answer, child) = mpsc::channel();
    spawner
        .lock()
        .expect("nothing panics while it holds this lock")
        .send((command, answer))
        .expect("the spawner never ends");
    child.recv().expect("the spawner answers every job")
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

/// The soft limit to set for children, or nothing when the present one is enough.
fn open_files_limit() -> Option<u64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let mut numbers = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?.split_whitespace();
    let parse = |text: &str| if text == "unlimited" { Some(u64::MAX) } else { text.parse().ok() };
    let (soft, hard): (u64, u64) = (parse(numbers.next()?)?, parse(numbers.next()?)?);
    let wanted = hard.min(OPEN_FILES_MAX);
    (soft < wanted).then_some(wanted)
}
