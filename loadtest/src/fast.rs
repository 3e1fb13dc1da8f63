//! A lean HTTP/1.1 client for benchmarks: requests prepared as bytes, kept-alive connections with one request in
//! flight each, all on one thread. Of an answer it reads the status and the length, so that what it takes from the
//! machine stays small beside what it measures.

use std::collections::VecDeque;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use hdrhistogram::Histogram;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Protocol, Socket, Type};

use crate::notes::histogram;

/// An answer's head is shorter than this, in bytes.
const HEAD_MAX: usize = 16 << 10;
/// Nothing heard for this long: the server is stuck.
const SILENCE_MAX: Duration = Duration::from_secs(10);
/// Connections from one source address at most. Linux gives out 28,000 ports by default, but looks for a free one ever
/// longer the fewer are left.
const PER_SOURCE: usize = 2_000;

/// What is sent where.
pub(crate) struct Barrage {
    /// The server.
    pub(crate) to: SocketAddr,
    /// Whole requests in their order; see [`request`]. The client's thread makes them, where they are not made before.
    pub(crate) requests: Box<dyn Iterator<Item = Arc<[u8]>> + Send>,
    /// Connections, and so requests in flight at most.
    pub(crate) connections: usize,
    /// How long they are sent; `None`: to their end.
    pub(crate) time: Option<Duration>,
    /// Requests per second, each at its moment however late answers are; `None`: as fast as answers come.
    pub(crate) rate: Option<f64>,
}

/// What came of it.
#[derive(Debug)]
pub(crate) struct Volley {
    /// From the first request to the last answer.
    pub(crate) took: Duration,
    /// Answers other than 2xx, and connections that broke.
    pub(crate) failed: u64,
    /// The first of them.
    pub(crate) failure: Option<String>,
    /// Processor time of this client, in seconds.
    pub(crate) cpu_s: f64,
    /// Answers with 2xx, in microseconds.
    pub(crate) latency: Histogram<u64>,
}

impl Volley {
    /// Requests that were answered with 2xx.
    pub(crate) fn count(&self) -> u64 {
        self.latency.len()
    }

    /// Those per second.
    pub(crate) fn per_s(&self) -> f64 {
        self.count() as f64 / self.took.as_secs_f64()
    }
}

/// A request without a body, as bytes.
pub(crate) fn request(method: &str, path: &str, token: Option<&str>, further: &str) -> Arc<[u8]> {
    let identity = token.map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
    let length = if method == "POST" { "content-length: 0\r\n" } else { "" };
    format!("{method} {path} HTTP/1.1\r\nhost: bench\r\n{identity}{length}{further}\r\n").into_bytes().into()
}

/// A POST with a JSON body, as bytes; `further`: header lines, each with its end.
pub(crate) fn post(path: &str, token: &str, further: &str, body: &str) -> Arc<[u8]> {
    let length = body.len();
    format!(
        "POST {path} HTTP/1.1\r\nhost: bench\r\nauthorization: Bearer {token}\r\n\
         content-type: application/json\r\ncontent-length: {length}\r\n{further}\r\n{body}"
    )
    .into_bytes()
    .into()
}

/// `http://host:port` as an address of this machine.
pub(crate) fn address(url: &str) -> anyhow::Result<SocketAddr> {
    let host = url.strip_prefix("http://").with_context(|| format!("{url}: no http:// address"))?;
    host.trim_end_matches('/').parse().with_context(|| url.to_owned())
}

/// A connection from the loopback address of its number, so that ports suffice; `buffer`: bytes that the kernel keeps
/// for it in each direction.
pub(crate) fn connect(to: SocketAddr, number: usize, buffer: Option<usize>) -> anyhow::Result<TcpStream> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, Some(Protocol::TCP)).context("no socket")?;
    if let Some(bytes) = buffer {
        socket.set_recv_buffer_size(bytes)?;
        socket.set_send_buffer_size(bytes)?;
    }
    let part = u8::try_from(number / PER_SOURCE % 250).expect("below 250");
    let source = IpAddr::V4(Ipv4Addr::new(127, 0, 2, part + 1));
    socket.bind(&SocketAddr::new(source, 0).into()).context("no free port")?;
    // On loopback this is over at once.
    socket.connect_timeout(&to.into(), SILENCE_MAX).with_context(|| format!("connecting to {to}"))?;
    socket.set_tcp_nodelay(true)?;
    socket.set_nonblocking(true)?;
    Ok(TcpStream::from_std(socket.into()))
}

/// Sends it all from a thread of its own and waits for the end.
///
/// # Errors
/// When the server cannot be reached or falls silent.
pub(crate) async fn fire(barrage: Barrage) -> anyhow::Result<Volley> {
    tokio::task::spawn_blocking(move || Client::new(barrage)?.run()).await.context("the client panicked")?
}

/// One connection, and how much of its answer is still to come.
struct Line {
    socket: TcpStream,
    /// When it was due.
    sent: Instant,
    /// A head that came in pieces.
    head: Vec<u8>,
    /// Bytes of the body that are still to come.
    body: usize,
    status: u16,
}

struct Client {
    requests: Box<dyn Iterator<Item = Arc<[u8]>> + Send>,
    rate: Option<f64>,
    poll: Poll,
    lines: Vec<Line>,
    /// Connections without a request.
    /// The one that rested longest comes first: a server closes those that never ask anything.
    idle: VecDeque<usize>,
    sent: u64,
    start: Instant,
    until: Option<Instant>,
    volley: Volley,
}

impl Client {
    fn new(barrage: Barrage) -> anyhow::Result<Self> {
        let Barrage { to, requests, connections, time, rate } = barrage;
        let poll = Poll::new()?;
        let mut lines = Vec::with_capacity(connections);
        for number in 0..connections {
            let mut socket = connect(to, number, None)?;
            poll.registry().register(&mut socket, Token(number), Interest::READABLE)?;
            lines.push(Line { socket, sent: Instant::now(), head: Vec::new(), body: 0, status: 0 });
        }
        let volley =
            Volley { took: Duration::ZERO, failed: 0, failure: None, cpu_s: 0.0, latency: histogram() };
        let (idle, start) = ((0..connections).collect(), Instant::now());
        let until = time.map(|time| start + time);
        Ok(Self { requests, rate, poll, lines, idle, sent: 0, start, until, volley })
    }

    fn run(mut self) -> anyhow::Result<Volley> {
        let cpu = thread_cpu_s();
        let mut events = Events::with_capacity(self.lines.len());
        let mut buffer = vec![0; 64 << 10];
        let mut heard = Instant::now();
        loop {
            let next = self.send_due()?;
            let in_flight = self.lines.len() - self.idle.len();
            let wait = match next {
                None if in_flight == 0 => break,
                Some(due) if !self.idle.is_empty() => due.saturating_duration_since(Instant::now()),
                _ => SILENCE_MAX,
            };
            self.poll.poll(&mut events, Some(wait))?;
            if in_flight == 0 || !events.is_empty() {
                heard = Instant::now();
            }
            ensure!(
                heard.elapsed() < SILENCE_MAX,
                "the server fell silent with {in_flight} requests in flight"
            );
            for event in &events {
                let number = event.token().0;
                if self.receive(number, &mut buffer)? {
                    self.idle.push_back(number);
                }
            }
        }
        self.volley.took = self.start.elapsed();
        self.volley.cpu_s = thread_cpu_s() - cpu;
        Ok(self.volley)
    }

    /// Sends what is due while connections are idle; returns when the next request is due, unless there is none.
    fn send_due(&mut self) -> anyhow::Result<Option<Instant>> {
        loop {
            let now = Instant::now();
            if self.until.is_some_and(|until| now >= until) {
                return Ok(None);
            }
            let due = match self.rate {
                Some(rate) => self.start + Duration::from_secs_f64(self.sent as f64 / rate),
                None => now,
            };
            if due > now || self.idle.is_empty() {
                return Ok(Some(due));
            }
            let Some(request) = self.requests.next() else { return Ok(None) };
            let number = self.idle.pop_front().expect("some are idle");
            self.send(number, &request, due)?;
        }
    }

    fn send(&mut self, number: usize, request: &[u8], due: Instant) -> anyhow::Result<()> {
        let line = &mut self.lines[number];
        line.sent = due;
        // The connection is idle: its buffer takes a whole request.
        let written = line.socket.write(request).context("sending a request")?;
        ensure!(written == request.len(), "a request did not fit into a connection's buffer");
        self.sent += 1;
        Ok(())
    }

    /// Reads what there is; true when the answer is whole.
    fn receive(&mut self, number: usize, buffer: &mut [u8]) -> anyhow::Result<bool> {
        let line = &mut self.lines[number];
        // A read that does not fill the buffer has emptied the socket: the next bytes raise the next event.
        let count = match line.socket.read(buffer) {
            Ok(0) => bail!("the server closed a connection in use"),
            Ok(count) => count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) => return Err(error).context("reading an answer"),
        };
        if !line.take(&buffer[..count])? {
            return Ok(false);
        }
        if (200..300).contains(&line.status) {
            let micros = u64::try_from(line.sent.elapsed().as_micros()).unwrap_or(u64::MAX);
            self.volley.latency.saturating_record(micros);
        } else {
            self.volley.failed += 1;
            let text = || String::from_utf8_lossy(&buffer[..count.min(600)]).replace("\r\n", " ");
            self.volley.failure.get_or_insert_with(text);
        }
        Ok(true)
    }
}

impl Line {
    /// Takes the next bytes of an answer; true when it is whole.
    fn take(&mut self, bytes: &[u8]) -> anyhow::Result<bool> {
        let come = if self.body > 0 {
            bytes.len()
        } else if self.head.is_empty()
            && let Some(head) = Head::read(bytes)?
        {
            // Nearly every answer comes in one piece.
            (self.status, self.body) = (head.status, head.body);
            bytes.len() - head.length
        } else {
            self.head.extend_from_slice(bytes);
            let Some(head) = Head::read(&self.head)? else {
                ensure!(self.head.len() < HEAD_MAX, "an answer whose head does not end");
                return Ok(false);
            };
            (self.status, self.body) = (head.status, head.body);
            let come = self.head.len() - head.length;
            self.head.clear();
            come
        };
        ensure!(come <= self.body, "more bytes than the answer has");
        self.body -= come;
        Ok(self.body == 0)
    }
}

/// What is needed of an answer's head.
#[derive(Debug, PartialEq, Eq)]
struct Head {
    /// Bytes up to the body.
    length: usize,
    status: u16,
    /// Bytes of the body.
    body: usize,
}

impl Head {
    /// `None` while the head has not come to its end.
    fn read(bytes: &[u8]) -> anyhow::Result<Option<Self>> {
        let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else { return Ok(None) };
        let text = std::str::from_utf8(&bytes[..end]).context("an answer's head is no text")?;
        let status =
            text.get(9..12).and_then(|digits| digits.parse().ok()).context("an answer without status")?;
        let length = text.lines().find_map(|line| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse().ok())?
        });
        let body = match length {
            Some(length) => length,
            None if status == 204 => 0,
            None => bail!("an answer without content-length: {text}"),
        };
        Ok(Some(Self { length: end + 4, status, body }))
    }
}

/// Processor time of this thread, in seconds; 0 where the kernel does not say.
pub(crate) fn thread_cpu_s() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    text.split(' ').next().and_then(|nanos| nanos.parse::<f64>().ok()).unwrap_or(0.0) / 1e9
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line() -> Line {
        // Never connected: `take` does not touch it.
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let socket = TcpStream::from_std(socket.into());
        Line { socket, sent: Instant::now(), head: Vec::new(), body: 0, status: 0 }
    }

    #[test]
    fn an_answer_may_come_in_any_pieces() {
        let answer = b"HTTP/1.1 409 Conflict\r\nContent-Length: 5\r\nx: y\r\n\r\nhello";
        for first in 1..answer.len() {
            let mut line = line();
            assert!(!line.take(&answer[..first]).unwrap(), "whole after {first} bytes");
            assert!(line.take(&answer[first..]).unwrap(), "not whole, cut after {first} bytes");
            assert_eq!(line.status, 409);
        }
        assert!(line().take(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap());
        assert!(line().take(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
        assert!(line().take(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\nab").is_err());
    }
}
