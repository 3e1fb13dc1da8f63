//! Ports for servers, chosen so that launchers and tests that run at the same time never take the same one.
//!
//! A chosen port stays reserved while the process that chose it lives, also when the server on it is dead: a server
//! killed with SIGKILL finds its port again.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions, Permissions};
use std::hash::{BuildHasher, RandomState};
use std::io::{Read, Seek, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::ops::Range;
use std::os::unix::fs::PermissionsExt;
use std::process;

use crate::error::{Context, Error, Result};
use crate::process::is_alive;

/// Below the range from which the kernel takes ports of outgoing connections.
pub const RANGE: Range<u16> = 20_000..32_000;

/// How often a server is tried on another port.
const TRIES: usize = 4;

/// Chooses a free port of [`RANGE`] on the loopback address.
///
/// # Errors
/// The file of reserved ports cannot be used, or no port is free.
pub fn pick() -> Result<u16> {
    let mut file = open()?;
    file.lock().context("cannot lock the file of reserved ports")?;
    let mut reserved = read(&mut file)?;
    let port = candidates()
        .find(|port| !reserved.contains_key(port) && is_free(*port))
        .ok_or_else(|| Error::new("no free port between 20000 and 32000"))?;
    reserved.insert(port, process::id());
    write(&mut file, &reserved)?;
    Ok(port)
}

/// Starts a server on a chosen port, and on another one when somebody else took that port meanwhile.
///
/// # Errors
/// What `start` answered, for the last port tried.
pub fn on_free_port<T>(start: impl Fn(u16) -> Result<T>) -> Result<T> {
    let mut tries = 0;
    loop {
        tries += 1;
        match start(pick()?) {
            Err(error) if error.is_port_taken() && tries < TRIES => {}
            result => return result,
        }
    }
}

fn open() -> Result<File> {
    let path = std::env::temp_dir().join("astraphe-ports");
    let file = OpenOptions::new().read(true).write(true).open(&path).or_else(|_| {
        let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path)?;
        // Other users of the machine choose from the same range.
        file.set_permissions(Permissions::from_mode(0o666))?;
        Ok::<_, std::io::Error>(file)
    });
    file.context(format!("cannot use {}", path.display()))
}

/// Lines of `port pid`; those of processes that are gone are left out.
fn read(file: &mut File) -> Result<BTreeMap<u16, u32>> {
    let mut text = String::new();
    file.read_to_string(&mut text).context("cannot read the file of reserved ports")?;
    let entry = |line: &str| {
        let (port, pid) = line.split_once(' ')?;
        Some((port.parse().ok()?, pid.parse().ok()?))
    };
    Ok(text.lines().filter_map(entry).filter(|(_, pid)| is_alive(*pid)).collect())
}

fn write(file: &mut File, reserved: &BTreeMap<u16, u32>) -> Result<()> {
    let text: String = reserved.iter().map(|(port, pid)| format!("{port} {pid}\n")).collect();
    file.set_len(0)
        .and_then(|()| file.rewind())
        .and_then(|()| file.write_all(text.as_bytes()))
        .context("cannot write the file of reserved ports")
}

/// All ports of the range, from a random one on: neighbours of a crowded start are often taken too.
fn candidates() -> impl Iterator<Item = u16> {
    let count = u64::from(RANGE.end - RANGE.start);
    let start = RandomState::new().hash_one(process::id()) % count;
    (0..count).map(move |step| {
        let offset = u16::try_from((start + step) % count).expect("smaller than the range");
        RANGE.start + offset
    })
}

fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}
