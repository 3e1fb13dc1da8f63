//! A client's socket: how long it may take for a head, how long it may stay idle, and how it is closed.
//!
//! hyper has one timer for both, started anew for every request: here a client that has begun a head must end it soon,
//! one that rests between two requests may rest for longer, and a request costs no timer.
//!
//! hyper answers a head that it cannot read by itself, and without a body. What is written while no request is being
//! answered, all of the last answer having left, can only be that: here it becomes a problem like any other.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::error::Error;
use crate::refusal::{of_head, refusal};

/// How long, and for how many bytes, a closed connection is still read.
const LINGER_MAX: Duration = Duration::from_secs(1);
const LINGER_MAX_BYTES: usize = 8 << 20;

/// What a client may take its time for.
#[derive(Debug, Clone, Copy)]
pub struct Patience {
    /// For a whole request head, from its first byte on; on a new connection from the start on.
    pub head: Duration,
    /// Between an answer and the next request.
    pub idle: Duration,
    /// Between two pieces of an answer that it takes.
    pub stall: Duration,
}

/// Where a connection is between two requests; shared by the socket and what serves its requests.
#[derive(Debug)]
pub struct Turns {
    start: Instant,
    /// Requests whose head has arrived.
    heads: AtomicU32,
    is_busy: AtomicBool,
    /// When the last answer ended, in ms since the start.
    idle_since_ms: AtomicU64,
}

impl Turns {
    fn new() -> Self {
        let (heads, is_busy, idle_since_ms) = Default::default();
        Self { start: Instant::now(), heads, is_busy, idle_since_ms }
    }

    /// A request's head has arrived. Until what this returns is dropped, its body and its answer take as long as
    /// their own limits allow.
    pub fn begin(self: &Arc<Self>) -> Busy {
        self.heads.fetch_add(1, Ordering::Relaxed);
        self.is_busy.store(true, Ordering::Relaxed);
        Busy { turns: Arc::clone(self), is_for_good: false }
    }
}

/// Held from the head of a request to the end of its answer.
#[derive(Debug)]
pub struct Busy {
    turns: Arc<Turns>,
    is_for_good: bool,
}

impl Busy {
    /// No request will follow: the connection has become something else, which may rest as long as it likes.
    pub fn stay(&mut self) {
        self.is_for_good = true;
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        if self.is_for_good {
            return;
        }
        let ms = u64::try_from(self.turns.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.turns.idle_since_ms.store(ms, Ordering::Relaxed);
        self.turns.is_busy.store(false, Ordering::Relaxed);
    }
}

/// The socket, and what is held for as long as it is open.
#[derive(Debug)]
pub struct Socket<H> {
    socket: TcpStream,
    turns: Arc<Turns>,
    patience: Patience,
    /// When the next head began, and how many there were before it.
    begun: (u32, Instant),
    /// Whether anything has arrived at all.
    has_spoken: bool,
    /// How many heads there were when the last answer had left whole.
    answered: u32,
    /// The answer to what is no request.
    refusal: Bytes,
    timer: Option<Pin<Box<Sleep>>>,
    /// While it takes nothing of what is written.
    stall: Option<Pin<Box<Sleep>>>,
    closing: Option<Pin<Box<Sleep>>>,
    left: usize,
    _held: H,
}

/// What a client is waited for, and until when.
enum Wait {
    Answer(Instant),
    Head(Instant),
    Idle(Instant),
}

impl<H: Unpin> Socket<H> {
    /// A connection just accepted; `held` is dropped with it.
    #[must_use]
    pub fn new(socket: TcpStream, patience: Patience, held: H) -> Self {
        Self {
            socket,
            turns: Arc::new(Turns::new()),
            patience,
            begun: (0, Instant::now()),
            has_spoken: false,
            answered: 0,
            refusal: Bytes::new(),
            timer: None,
            stall: None,
            closing: None,
            left: LINGER_MAX_BYTES,
            _held: held,
        }
    }

    fn is_busy(&self) -> bool {
        self.turns.is_busy.load(Ordering::Relaxed)
    }

    fn heads(&self) -> u32 {
        self.turns.heads.load(Ordering::Relaxed)
    }

    /// Whether nothing of any answer is on its way.
    fn is_at_rest(&self) -> bool {
        !self.is_busy() && self.answered == self.heads()
    }

    /// Takes hyper's own answer out of its hands, where these first bytes are one.
    fn takes(&mut self, bytes: &[u8]) -> bool {
        let is_hypers = self.is_at_rest() && self.refusal.is_empty() && !bytes.is_empty();
        if is_hypers {
            self.refusal = refusal(of_head(bytes));
        }
        is_hypers
    }

    /// Writes what is left of a refusal.
    fn poll_refuse(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while self.refusal.has_remaining() {
            let count = ready!(Pin::new(&mut self.socket).poll_write(cx, &self.refusal))?;
            self.refusal.advance(count);
        }
        Poll::Ready(Ok(()))
    }

    /// To be told when requests begin and end.
    #[must_use]
    pub fn turns(&self) -> Arc<Turns> {
        Arc::clone(&self.turns)
    }

    fn waits_for(&self) -> Wait {
        let turns = &self.turns;
        if self.is_busy() {
            return Wait::Answer(Instant::now() + self.patience.idle);
        }
        let (before, begun) = self.begun;
        if before == self.heads() {
            return Wait::Head(begun + self.patience.head);
        }
        let since = Duration::from_millis(turns.idle_since_ms.load(Ordering::Relaxed));
        Wait::Idle(turns.start + since + self.patience.idle)
    }

    /// Nothing has come: completes when nothing may be waited for any longer. The timer is left running over
    /// requests; it only looks what time it is.
    fn poll_patience(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            let wait = self.waits_for();
            let (Wait::Answer(until) | Wait::Head(until) | Wait::Idle(until)) = wait;
            let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(until)));
            if timer.deadline() > until {
                timer.as_mut().reset(until);
            }
            ready!(timer.as_mut().poll(cx));
            match wait {
                _ if Instant::now() < until => timer.as_mut().reset(until),
                Wait::Answer(_) => {}
                Wait::Head(_) => return self.poll_give_up(cx),
                // As if the client had closed: nothing is lost, and nothing went wrong.
                Wait::Idle(_) => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Nothing, or something, was taken of what was written: completes when that has been nothing for too long.
    fn poll_taken<T>(&mut self, cx: &mut Context<'_>, taken: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if taken.is_ready() {
            self.stall = None;
            return taken;
        }
        let patience = self.patience.stall;
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(patience)));
        ready!(stall.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Ends the wait for a head. Whoever has said nothing at all hears nothing: a browser that opened a connection ahead
    /// of its need would take it for the answer to its first request.
    fn poll_give_up(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.has_spoken && self.is_at_rest() {
            if self.closing.is_none() && self.refusal.is_empty() {
                self.refusal = refusal(Error::HeadTooSlow);
            }
            ready!(Pin::new(&mut *self).poll_shutdown(cx))?;
        }
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<H: Unpin> AsyncRead for Socket<H> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = into.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, into);
        if read.is_pending() {
            return self.poll_patience(cx);
        }
        let heads = self.heads();
        if into.filled().len() > before && !self.is_busy() {
            self.has_spoken = true;
            if self.begun.0 != heads {
                self.begun = (heads, Instant::now());
            }
        }
        read
    }
}

impl<H: Unpin> AsyncWrite for Socket<H> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        if self.takes(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        let taken = Pin::new(&mut self.socket).poll_write(cx, bytes);
        self.poll_taken(cx, taken)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if self.takes(pieces.first().map_or(&[], |piece| piece)) {
            return Poll::Ready(Ok(pieces.iter().map(|piece| piece.len()).sum()));
        }
        let taken = Pin::new(&mut self.socket).poll_write_vectored(cx, pieces);
        self.poll_taken(cx, taken)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_refuse(cx))?;
        ready!(Pin::new(&mut self.socket).poll_flush(cx))?;
        if !self.is_busy() {
            self.answered = self.heads();
        }
        Poll::Ready(Ok(()))
    }

    /// Closed for writing, it is read for a moment longer. A socket closed with unread bytes sends a reset, which makes
    /// the client lose the answer: a 413 is written while the body is still coming.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(this.poll_refuse(cx))?;
        if this.closing.is_none() {
            ready!(Pin::new(&mut this.socket).poll_shutdown(cx))?;
        }
        let until = this.closing.get_or_insert_with(|| Box::pin(sleep(LINGER_MAX)));
        let mut scrap = [0; 8 << 10];
        while until.as_mut().poll(cx).is_pending() && this.left > 0 {
            let mut into = ReadBuf::new(&mut scrap);
            match Pin::new(&mut this.socket).poll_read(cx, &mut into) {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) if !into.filled().is_empty() => {
                    this.left = this.left.saturating_sub(into.filled().len());
                }
                Poll::Ready(_) => break,
            }
        }
        Poll::Ready(Ok(()))
    }
}
