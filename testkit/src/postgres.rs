//! PostgreSQL as a child process, on TCP alone, open to everybody on the loopback address.
//!
//! The server refuses to run as root, so root runs it as the system user `postgres`.

use std::fs::{self, Permissions};
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use crate::error::{Context, Error, Result};
use crate::process::{Process, Server, Spec, run_checked};

const USER: &str = "postgres";
/// After a crash the server first syncs all its files and replays its log.
const READY_WITHIN: Duration = Duration::from_secs(180);
const STOP_WITHIN: Duration = Duration::from_millis(3500);
const PROBE_WITHIN: Duration = Duration::from_secs(1);
/// How long the sessions of a killed server may go on.
const OLD_SESSIONS_WITHIN: Duration = Duration::from_secs(10);

/// A PostgreSQL server on the loopback address.
pub struct Postgres {
    process: Process,
    port: u16,
    data: PathBuf,
}

impl Postgres {
    /// Starts a server with its data and log under `dir` and waits until it answers.
    ///
    /// # Errors
    /// The server is not installed, the folder cannot be written, or the server does not come up.
    pub fn start(dir: &Path, port: u16) -> Result<Self> {
        let bin = bin_dir().ok_or_else(|| Error::new("no PostgreSQL server is installed"))?;
        fs::create_dir_all(dir).context(format!("cannot create {}", dir.display()))?;
        let log = dir.join("postgres.log");
        let data = data_dir(dir)?;
        init(&bin, &data, &log)?;
        await_old_sessions(&data)?;
        let own_data = data.clone();
        let spec = Spec::new("postgres", bin.join("postgres"))
            .args(["-D".as_ref(), data.as_os_str()])
            .args(["-p", &port.to_string()])
            .args(settings().iter().flat_map(|setting| ["-c", setting]))
            .user(system_user())
            .dir("/")
            .log(log)
            // INT ends the sessions and then the server; TERM would wait for clients to leave.
            .stop("INT", STOP_WITHIN)
            .ready(READY_WITHIN, move |pid| probe(&own_data, port, pid));
        Ok(Self { process: Process::start(spec)?, port, data })
    }

    /// `postgres://postgres@127.0.0.1:<port>`, to which a database name may be added.
    pub fn url(&self) -> String {
        format!("postgres://postgres@127.0.0.1:{}", self.port)
    }
}

impl Server for Postgres {
    fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    fn restart(&mut self) -> Result<()> {
        self.process.stop();
        await_old_sessions(&self.data)?;
        self.process.restart()
    }
}

/// Removes the data that a server started with `dir` has; it must not run.
///
/// # Errors
/// A file cannot be removed.
pub fn remove(dir: &Path) -> Result<()> {
    for path in [dir, &fallback(dir)] {
        match fs::remove_dir_all(path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Error::new(format!("cannot remove {}: {error}", path.display())));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The folder of the newest installed server's programs.
pub fn bin_dir() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok().into_iter().flatten().flatten();
    let packaged = versions
        .filter_map(|entry| {
            Some((entry.file_name().to_str()?.parse::<u32>().ok()?, entry.path().join("bin")))
        })
        .filter(|(_, bin)| bin.join("postgres").exists() && bin.join("initdb").exists())
        .max();
    packaged.map(|(_, bin)| bin).or_else(|| {
        let path = std::env::var_os("PATH")?;
        std::env::split_paths(&path).find(|bin| bin.join("postgres").exists() && bin.join("initdb").exists())
    })
}

/// Memory for a shop of 600,000 products with the indexes that searches read; it is taken as it is used. By default a
/// checkpoint comes with every gigabyte of log, here 200,000 orders, and after it every page that changes is written once
/// more as a whole.
fn settings() -> [&'static str; 5] {
    [
        "listen_addresses=127.0.0.1",
        "unix_socket_directories=",
        "max_connections=400",
        "shared_buffers=768MB",
        "max_wal_size=4GB",
    ]
}

/// The user to run as, or nothing when this process already is an ordinary user.
fn system_user() -> Option<&'static str> {
    is_root().then_some(USER)
}

/// Whether this process belongs to root.
pub(crate) fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|data| data.uid() == 0)
}

/// Under `dir`, or outside where a parent folder is closed to the user that the server runs as.
fn data_dir(dir: &Path) -> Result<PathBuf> {
    let dir = fs::canonicalize(dir).context(format!("cannot open {}", dir.display()))?;
    let Some(user) = system_user() else { return Ok(dir.join("data")) };
    let open = Command::new("setpriv")
        .args(["--reuid", user, "--regid", user, "--init-groups", "test", "-x"])
        .arg(&dir)
        .status()
        .context("cannot run setpriv")?;
    Ok(if open.success() { dir.join("data") } else { fallback(&dir) })
}

fn fallback(dir: &Path) -> PathBuf {
    let dir = fs::canonicalize(dir).unwrap_or_else(|_| dir.to_owned());
    // FNV-1a: the name has to be the same at every start, which the standard hasher does not promise.
    let hash = dir.as_os_str().as_encoded_bytes().iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    PathBuf::from(format!("/var/tmp/astraphe-{hash:016x}"))
}

/// Makes the data folder unless it is there already.
fn init(bin: &Path, data: &Path, log: &Path) -> Result<()> {
    if data.join("PG_VERSION").exists() {
        return Ok(());
    }
    let cannot = |error: std::io::Error| Error::new(format!("cannot prepare {}: {error}", data.display()));
    if data.exists() {
        // An initdb that was cut short leaves a folder that the next one refuses.
        fs::remove_dir_all(data).map_err(cannot)?;
    }
    fs::create_dir(data).map_err(cannot)?;
    fs::set_permissions(data, Permissions::from_mode(0o700)).map_err(cannot)?;
    if let Some(user) = system_user() {
        let (uid, gid) = ids(user)?;
        chown(data, Some(uid), Some(gid)).map_err(cannot)?;
    }
    let spec = Spec::new("initdb", bin.join("initdb"))
        .args(["-D".as_ref(), data.as_os_str()])
        .args(["-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"])
        .user(system_user())
        .dir("/")
        .log(log);
    run_checked(spec)
}

/// Waits for the sessions of a server that was killed, and takes its pid file away: the server would take a process
/// that nobody waited for, as in a container without an init, for one that runs.
fn await_old_sessions(data: &Path) -> Result<()> {
    let started = Instant::now();
    while let Some(pid) = process_in(data) {
        if started.elapsed() > OLD_SESSIONS_WITHIN {
            return Err(Error::new(format!("a PostgreSQL (pid {pid}) still uses {}", data.display())));
        }
        thread::sleep(Duration::from_millis(20));
    }
    let file = data.join("postmaster.pid");
    match fs::remove_file(&file) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::new(format!("cannot remove {}: {error}", file.display())))
        }
        _ => Ok(()),
    }
}

/// A process that works in this folder, as the server and all its sessions do in that of their data.
fn process_in(data: &Path) -> Option<u32> {
    let data = fs::canonicalize(data).ok()?;
    let processes = fs::read_dir("/proc").ok()?.flatten();
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.find(|pid| fs::read_link(format!("/proc/{pid}/cwd")).is_ok_and(|cwd| cwd == data))
}

fn ids(user: &str) -> Result<(u32, u32)> {
    let missing = || Error::new(format!("there is no system user {user}"));
    let passwd = fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
    let line = passwd.lines().find(|line| line.split(':').next() == Some(user)).ok_or_else(missing)?;
    let mut ids = line.split(':').skip(2).map(str::parse);
    match (ids.next(), ids.next()) {
        (Some(Ok(uid)), Some(Ok(gid))) => Ok((uid, gid)),
        _ => Err(missing()),
    }
}

/// The server's own file says that it is ready, and a login works. The file alone tells it from a stranger on the port.
fn probe(data: &Path, port: u16, pid: u32) -> std::result::Result<(), String> {
    let status = fs::read_to_string(data.join("postmaster.pid")).unwrap_or_default();
    let mut lines = status.lines();
    let ready = lines.next() == Some(&pid.to_string()) && lines.nth(6).map(str::trim) == Some("ready");
    if !ready {
        return Err("starting".to_owned());
    }
    login(port).map_err(|error| error.to_string())
}

fn login(port: u16) -> std::io::Result<()> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let mut stream = TcpStream::connect_timeout(&address, PROBE_WITHIN)?;
    stream.set_read_timeout(Some(PROBE_WITHIN))?;
    let parameters = b"user\0postgres\0database\0postgres\0\0";
    let length = u32::try_from(8 + parameters.len()).expect("a few bytes");
    // Protocol 3.0, then Terminate after the answer. https://www.postgresql.org/docs/current/protocol-message-formats.html
    let message = [&length.to_be_bytes()[..], &196_608_u32.to_be_bytes(), parameters].concat();
    stream.write_all(&message)?;
    let mut kind = [0];
    stream.read_exact(&mut kind)?;
    stream.write_all(&[b'X', 0, 0, 0, 4])?;
    if kind == *b"R" { Ok(()) } else { Err(std::io::Error::other("it refuses a login")) }
}
