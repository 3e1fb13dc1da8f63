//! Redis as a child process: append-only file, nothing evicted, a logical database per test.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::{Context, Error, Result};
use crate::process::{Process, Server, Spec};

/// Logical databases; an unused one costs nothing. The services' Redis client counts them in a byte.
const DATABASES: u16 = 256;
const READY_WITHIN: Duration = Duration::from_secs(20);
const STOP_WITHIN: Duration = Duration::from_millis(3500);
const PROBE_WITHIN: Duration = Duration::from_secs(1);

/// A Redis server on the loopback address.
pub struct Redis {
    process: Process,
    port: u16,
    data: PathBuf,
}

impl Redis {
    /// Starts a server with its data and log under `dir` and waits until it answers.
    ///
    /// # Errors
    /// The folder cannot be written, or the server does not come up.
    pub fn start(dir: &Path, port: u16) -> Result<Self> {
        let data = dir.join("data");
        fs::create_dir_all(&data).context(format!("cannot create {}", data.display()))?;
        let config = dir.join("redis.conf");
        fs::write(&config, settings(&data, port)).context(format!("cannot write {}", config.display()))?;
        let spec = Spec::new("redis", "redis-server")
            .args([&config])
            .log(dir.join("redis.log"))
            .stop("TERM", STOP_WITHIN)
            .ready(READY_WITHIN, move |pid| probe(port, pid));
        Ok(Self { process: Process::start(spec)?, port, data })
    }

    /// Kills it, and takes out of its file what it wrote from the first mention of `word` on: with a machine that dies,
    /// the last second of writes is lost.
    ///
    /// # Errors
    /// The file cannot be changed.
    pub fn die_before(&mut self, word: &str) -> Result<()> {
        self.kill9();
        let file = self.data.join("appendonlydir/appendonly.aof.1.incr.aof");
        let context = || format!("cannot cut {}", file.display());
        let written = fs::read(&file).context(context())?;
        if let Some(at) = written.windows(word.len()).position(|bytes| bytes == word.as_bytes()) {
            fs::write(&file, &written[..at]).context(context())?;
        }
        Ok(())
    }

    /// `redis://127.0.0.1:<port>`, to which a database number may be added.
    pub fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }
}

impl Server for Redis {
    fn process(&mut self) -> &mut Process {
        &mut self.process
    }
}

/// The number of a logical database that nobody else who asks this server here gets: one for each test. `url` is that
/// of [`Redis::url`]. Database 0 keeps the count.
///
/// # Errors
/// The server does not answer.
pub fn next_database(url: &str) -> Result<u16> {
    let wrong = || Error::new(format!("not the address of a Redis server: {url}"));
    let address = url.strip_prefix("redis://").and_then(|rest| rest.split('/').next()).ok_or_else(wrong)?;
    let address = address.parse().map_err(|_| wrong())?;
    let answer = ask(address, "INCR testkit:databases").context(url)?;
    let count = answer.strip_prefix(':').and_then(|rest| rest.lines().next()?.parse::<u16>().ok());
    count
        .filter(|count| *count < DATABASES)
        .ok_or_else(|| Error::new(format!("{url} has no database left: {answer}")))
}

fn settings(data: &Path, port: u16) -> String {
    format!(
        "bind 127.0.0.1\nport {port}\ndir \"{}\"\ndaemonize no\nappendonly yes\nappendfsync everysec\nsave \"\"\n\
         maxmemory-policy noeviction\n# One for each test.\ndatabases {DATABASES}\n",
        data.display()
    )
}

/// Asks the server for its process id, so that a stranger on the same port is not taken for it.
fn probe(port: u16, pid: u32) -> std::result::Result<(), String> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    let text = ask(address, "PING\r\nINFO server").map_err(|error| error.to_string())?;
    if !text.starts_with("+PONG") {
        return Err(text.lines().next().unwrap_or_default().to_owned());
    }
    let own = format!("process_id:{pid}\r\n");
    if text.contains(&own) { Ok(()) } else { Err(format!("another Redis answers on port {port}")) }
}

fn ask(address: SocketAddr, commands: &str) -> std::io::Result<String> {
    let mut stream = TcpStream::connect_timeout(&address, PROBE_WITHIN)?;
    stream.set_read_timeout(Some(PROBE_WITHIN))?;
    // QUIT makes the server close, so that the answers are read to their end.
    stream.write_all(format!("{commands}\r\nQUIT\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
