//! Many live streams in one process of its own, so that each has its own limit of open files: joins, opens a stream
//! per person, counts events, and says who was told what, and when. News go to standard output, a JSON text per line;
//! the crowd goes home when its standard input ends.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Args as ClapArgs;
use common::clock::Clock;
use common::wire::queue::QueueState;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use serde::{Deserialize, Serialize};

use crate::account;
use crate::fast::{self, Barrage};
use crate::stack::Stack;

/// Connections that join.
const JOINING: usize = 64;
/// Streams that are being opened at once: below the backlog that servers give their listeners.
const OPENING: usize = 256;
/// Bytes that the kernel keeps for a stream in each direction; Linux doubles it.
const BUFFER: usize = 4 << 10;
/// Between two looks at the end of the input, and two tallies.
const BEAT: Duration = Duration::from_millis(500);
/// What stands before the state in a place.
const STATE: &[u8] = b"\"state\":\"";
/// The longest state with its closing quote, and more.
const STATE_MAX: usize = 16;

/// A crowd.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// Describes the running platform.
    #[arg(long)]
    stack: PathBuf,
    /// The room.
    #[arg(long)]
    product: i64,
    /// Number of the first person; 0 is the first prepared shopper.
    #[arg(long)]
    first: usize,
    /// How many they are.
    #[arg(long)]
    count: usize,
}

/// What a crowd has to say.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(super) enum News {
    /// All stand in the line.
    Joined,
    /// All streams are open.
    Opened,
    /// Somebody was told a state other than `waiting`; `at` in microseconds since 1970.
    Told { person: usize, state: QueueState, at: i64 },
    /// So far.
    Tally(Tally),
}

/// What a crowd has seen so far.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Tally {
    /// Streams that are open.
    pub(super) open: usize,
    /// Places that came over them.
    pub(super) places: u64,
    /// Bytes that came over them.
    pub(super) bytes: u64,
    /// Streams that were refused, or ended though nobody ended them.
    pub(super) failed: u64,
    /// The first of them.
    pub(super) failure: Option<String>,
    /// Processor time of the crowd, in seconds.
    pub(super) cpu_s: f64,
}

/// Is the crowd, until standard input ends.
pub(crate) async fn run(args: Args) -> anyhow::Result<bool> {
    rlimit::increase_nofile_limit(u64::MAX).context("raising the limit of open files")?;
    let stack = Stack::read(&args.stack)?;
    let people = args.first..args.first + args.count;
    let logins = account::numbered(&stack, people, &Clock::system())?;
    let servers: Vec<SocketAddr> =
        stack.queue_server.iter().map(|url| fast::address(url)).collect::<anyhow::Result<_>>()?;
    let path = format!("/api/queue/{}", args.product);
    let join = |login: &account::Login| fast::request("POST", &path, Some(&login.token), "");
    let to = *servers.first().context("stack.json names no queue-server")?;
    let joins: Vec<_> = logins.iter().map(join).collect();
    let requests = Box::new(joins.into_iter());
    let joined = fast::fire(Barrage { to, requests, connections: JOINING, time: None, rate: None }).await?;
    ensure!(joined.failed == 0, "{} could not join: {}", joined.failed, joined.failure.unwrap_or_default());
    say(&[News::Joined])?;
    // All crowds join before the first one opens a stream: what both take is told apart.
    tokio::task::spawn_blocking(|| std::io::stdin().read_line(&mut String::new())).await??;

    let live = format!("{path}/live");
    let open = |login: &account::Login| {
        fast::request("GET", &live, Some(&login.token), "accept: text/event-stream\r\n")
    };
    let requests = logins.iter().map(open).collect();
    let crowd = Crowd::new(args.first, servers, requests)?;
    let is_over = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&is_over);
    let looking = tokio::task::spawn_blocking(move || crowd.look(&seen));
    tokio::select! {
        looked = looking => looked.context("the crowd panicked")??,
        _ = tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())) => {}
    }
    is_over.store(true, Ordering::Relaxed);
    Ok(true)
}

/// Says these, a line each.
fn say(news: &[News]) -> anyhow::Result<()> {
    let mut text = Vec::new();
    for one in news {
        serde_json::to_writer(&mut text, one)?;
        text.push(b'\n');
    }
    let mut out = std::io::stdout().lock();
    out.write_all(&text).and_then(|()| out.flush()).context("nobody listens any more")
}

/// A person's stream.
struct Stream {
    socket: Option<TcpStream>,
    /// Whether its head has come.
    is_open: bool,
    /// The last bytes, which the next ones may complete to a state.
    tail: [u8; STATE.len() + STATE_MAX],
    tail_length: u8,
}

struct Crowd {
    first: usize,
    servers: Vec<SocketAddr>,
    requests: Vec<Arc<[u8]>>,
    poll: Poll,
    streams: Vec<Stream>,
    opening: usize,
    tally: Tally,
    cpu_s: f64,
    /// Who was told what since the last round: a write for each of 100,000 would slow down those who tell.
    told: Vec<News>,
}

impl Crowd {
    fn new(first: usize, servers: Vec<SocketAddr>, requests: Vec<Arc<[u8]>>) -> anyhow::Result<Self> {
        let streams = Vec::with_capacity(requests.len());
        let tally = Tally::default();
        let (poll, told) = (Poll::new()?, Vec::new());
        Ok(Self { first, servers, requests, poll, streams, opening: 0, tally, cpu_s: 0.0, told })
    }

    /// Opens all streams and reads them until it is over.
    fn look(mut self, is_over: &AtomicBool) -> anyhow::Result<()> {
        self.cpu_s = fast::thread_cpu_s();
        let mut events = Events::with_capacity(4_096);
        let mut buffer = vec![0; 64 << 10];
        let (mut beat, mut opened) = (Instant::now(), false);
        while !is_over.load(Ordering::Relaxed) {
            while self.streams.len() < self.requests.len() && self.opening < OPENING {
                self.open()?;
            }
            if !opened && self.streams.len() == self.requests.len() && self.opening == 0 {
                opened = true;
                say(&[News::Opened])?;
            }
            self.poll.poll(&mut events, Some(BEAT))?;
            for event in &events {
                self.read(event.token().0, &mut buffer)?;
            }
            say(&self.told)?;
            self.told.clear();
            if beat.elapsed() >= BEAT {
                beat = Instant::now();
                self.tally.cpu_s = fast::thread_cpu_s() - self.cpu_s;
                say(&[News::Tally(self.tally.clone())])?;
            }
        }
        Ok(())
    }

    fn open(&mut self) -> anyhow::Result<()> {
        let number = self.streams.len();
        // People of other crowds come from other addresses.
        let source = self.first + number;
        let mut socket = fast::connect(self.servers[number % self.servers.len()], source, Some(BUFFER))?;
        let request = std::mem::take(&mut self.requests[number]);
        let written = socket.write(&request).context("asking for a stream")?;
        ensure!(written == request.len(), "a request did not fit into a connection's buffer");
        self.poll.registry().register(&mut socket, Token(number), Interest::READABLE)?;
        self.streams.push(Stream {
            socket: Some(socket),
            is_open: false,
            tail: [0; STATE.len() + STATE_MAX],
            tail_length: 0,
        });
        self.opening += 1;
        Ok(())
    }

    fn read(&mut self, number: usize, buffer: &mut [u8]) -> anyhow::Result<()> {
        let stream = &mut self.streams[number];
        loop {
            let Some(socket) = &mut stream.socket else { return Ok(()) };
            // The last bytes of before stand in front of the new ones.
            let kept = usize::from(stream.tail_length);
            buffer[..kept].copy_from_slice(&stream.tail[..kept]);
            let count = match socket.read(&mut buffer[kept..]) {
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(_) => 0,
            };
            if count == 0 {
                stream.socket = None;
                self.tally.open -= usize::from(stream.is_open);
                if !stream.is_open {
                    self.opening -= 1;
                    self.tally.failed += 1;
                    self.tally.failure.get_or_insert_with(|| "closed before its first byte".into());
                }
                return Ok(());
            }
            self.tally.bytes += count as u64;
            let text = &buffer[..kept + count];
            if !stream.is_open {
                stream.is_open = true;
                self.opening -= 1;
                self.tally.open += 1;
                if !text.starts_with(b"HTTP/1.1 200") {
                    self.tally.failed += 1;
                    let why = || String::from_utf8_lossy(&text[..text.len().min(600)]).replace("\r\n", " ");
                    self.tally.failure.get_or_insert_with(why);
                }
            }
            let used = states(text, |state| {
                self.tally.places += 1;
                if state == QueueState::Waiting {
                    return Ok(());
                }
                let at = Clock::system().now().timestamp_micros();
                self.told.push(News::Told { person: self.first + number, state, at });
                Ok(())
            })?;
            let rest = &text[used.max(text.len().saturating_sub(stream.tail.len()))..];
            stream.tail[..rest.len()].copy_from_slice(rest);
            stream.tail_length = u8::try_from(rest.len()).expect("a tail is short");
            if kept + count < buffer.len() {
                return Ok(());
            }
        }
    }
}

/// Finds the whole states in a piece of a stream; says up to where it has looked for good.
fn states(text: &[u8], mut found: impl FnMut(QueueState) -> anyhow::Result<()>) -> anyhow::Result<usize> {
    let mut from = 0;
    while let Some(at) = find(&text[from..]) {
        let start = from + at + STATE.len();
        let Some(length) = text[start..].iter().take(STATE_MAX).position(|byte| *byte == b'"') else {
            // The rest of it comes with the next bytes.
            break;
        };
        let state = std::str::from_utf8(&text[start..start + length])?;
        found(serde_json::from_value(state.into()).context("a state that the contract does not know")?)?;
        from = start + length;
    }
    Ok(from)
}

fn find(text: &[u8]) -> Option<usize> {
    let mut from = 0;
    while let Some(quote) = text[from..].iter().position(|byte| *byte == b'"') {
        if text[from + quote..].starts_with(STATE) {
            return Some(from + quote);
        }
        from += quote + 1;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_are_found_in_any_pieces() {
        let text = br#"event: place
data: {"productId":1,"state":"waiting","rank":7}

event: place
data: {"productId":1,"state":"soldOut"}

"#;
        for cut in 0..text.len() {
            let mut seen = Vec::new();
            let mut see = |state| {
                seen.push(state);
                Ok(())
            };
            let used = states(&text[..cut], &mut see).unwrap();
            let kept = used.max(cut.saturating_sub(STATE.len() + STATE_MAX));
            states(&text[kept..], &mut see).unwrap();
            assert_eq!(seen, [QueueState::Waiting, QueueState::SoldOut], "cut after {cut} bytes");
        }
    }
}
