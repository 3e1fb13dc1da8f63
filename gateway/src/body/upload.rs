//! The body of a request: held to its route's size and to its time, and where another needs its line, to a pace.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

/// How far a request's body has come; shared with the layers that wait meanwhile.
#[derive(Debug)]
pub struct Progress {
    began: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    bytes: u64,
    /// Whom to tell to look again; there while the client is waited for.
    waiting: Option<Waker>,
    ended: Option<Instant>,
    fault: Option<Fault>,
}

impl Default for Progress {
    fn default() -> Self {
        Self { began: Instant::now(), state: Mutex::default() }
    }
}

/// Why a request's body was broken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// More bytes than the route takes.
    #[error("the body is too large")]
    TooLarge,
    /// Not there in time.
    #[error("the body is too slow")]
    TooSlow,
    /// Slower than others, whom its service could not take beside it.
    #[error("the body gave way to a quicker one")]
    GaveWay,
    /// The client went away, or its framing is wrong.
    #[error("the body broke off")]
    Unreadable,
}

impl Progress {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, fault: Option<Fault>) {
        let mut state = self.state();
        state.waiting = None;
        state.ended.get_or_insert_with(Instant::now);
        state.fault = state.fault.or(fault);
    }

    /// So many bytes have come.
    pub(crate) fn came(&self, bytes: u64) {
        let mut state = self.state();
        state.waiting = None;
        state.bytes += bytes;
    }

    /// Notes that the client is waited for; or says why not any longer.
    pub(crate) fn wait(&self, cx: &Context<'_>) -> Option<Fault> {
        let mut state = self.state();
        if state.fault.is_none() {
            state.waiting = Some(cx.waker().clone());
        }
        state.fault
    }

    /// Whether the client is waited for, and not the service.
    #[must_use]
    pub fn is_waited_for(&self) -> bool {
        self.state().waiting.is_some()
    }

    /// Bytes per second until now.
    #[must_use]
    pub fn pace(&self) -> f64 {
        self.state().bytes as f64 / self.began.elapsed().as_secs_f64().max(f64::EPSILON)
    }

    /// Breaks it off for a quicker one.
    pub fn give_way(&self) {
        let mut state = self.state();
        state.fault = state.fault.or(Some(Fault::GaveWay));
        if let Some(waiting) = state.waiting.take() {
            waiting.wake();
        }
    }

    /// When the body had arrived, or was given up.
    #[must_use]
    pub fn ended(&self) -> Option<Instant> {
        self.state().ended
    }

    /// Why it was broken off.
    #[must_use]
    pub fn fault(&self) -> Option<Fault> {
        self.state().fault
    }
}

/// A request's body: as long and as slow as it may be, and without trailers, which no route knows.
///
/// In a box: hyper keeps room for 32 requests for each connection to a service.
#[derive(Debug)]
pub struct Upload(Option<Box<Coming>>);

#[derive(Debug)]
struct Coming {
    inner: Option<Incoming>,
    limits: Option<Limits>,
    /// What has arrived and waits to be passed on.
    here: Bytes,
}

#[derive(Debug)]
struct Limits {
    left: u64,
    until: Pin<Box<Sleep>>,
    progress: Arc<Progress>,
}

impl Upload {
    /// No body.
    #[must_use]
    pub fn empty() -> Self {
        Self(None)
    }

    /// A body as it comes in.
    #[must_use]
    pub fn new(incoming: Incoming) -> Self {
        if incoming.is_end_stream() {
            return Self::empty();
        }
        Self(Some(Box::new(Coming { inner: Some(incoming), limits: None, here: Bytes::new() })))
    }

    /// Holds the body to `max` bytes within `time`. `None` when there is no body.
    pub fn limit(&mut self, max: u64, time: Duration) -> Option<Arc<Progress>> {
        let coming = self.0.as_mut()?;
        let progress = Arc::new(Progress::default());
        coming.limits =
            Some(Limits { left: max, until: Box::pin(sleep(time)), progress: Arc::clone(&progress) });
        Some(progress)
    }

    /// How far it has come; `None` when there is no body.
    #[must_use]
    pub fn progress(&self) -> Option<Arc<Progress>> {
        self.0.as_ref()?.limits.as_ref().map(|limits| Arc::clone(&limits.progress))
    }

    /// Waits until all of it is here, or `most` bytes. Returns whether it is all.
    ///
    /// # Errors
    /// What broke it off.
    pub async fn arrive(&mut self, most: usize) -> Result<bool, Fault> {
        let Some(coming) = &mut self.0 else { return Ok(true) };
        // Of a client that sends byte by byte, each piece would keep a whole buffer: they are copied.
        let mut here = BytesMut::new();
        while here.len() < most
            && let Some(piece) = poll_fn(|cx| coming.poll_piece(cx)).await
        {
            here.extend_from_slice(&piece?);
        }
        coming.here = here.freeze();
        Ok(coming.inner.is_none())
    }
}

impl Coming {
    fn end(&mut self, fault: Option<Fault>) {
        self.inner = None;
        if let Some(limits) = &self.limits {
            limits.progress.set(fault);
        }
    }

    /// The next piece as it comes in.
    fn poll_piece(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Fault>>> {
        loop {
            let Some(inner) = &mut self.inner else { return Poll::Ready(None) };
            let fault = match Pin::new(inner).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    let Ok(data) = frame.into_data() else { continue };
                    let size = data.len() as u64;
                    match &mut self.limits {
                        Some(limits) if limits.left < size => Fault::TooLarge,
                        Some(limits) => {
                            limits.left -= size;
                            limits.progress.came(size);
                            return Poll::Ready(Some(Ok(data)));
                        }
                        None => return Poll::Ready(Some(Ok(data))),
                    }
                }
                Poll::Ready(Some(Err(_))) => Fault::Unreadable,
                Poll::Ready(None) => {
                    self.end(None);
                    return Poll::Ready(None);
                }
                // Only here is it the client who is slow, and not the service.
                Poll::Pending => {
                    let Some(limits) = &mut self.limits else { return Poll::Pending };
                    match limits.until.as_mut().poll(cx) {
                        Poll::Ready(()) => Fault::TooSlow,
                        Poll::Pending => match limits.progress.wait(cx) {
                            Some(fault) => fault,
                            None => return Poll::Pending,
                        },
                    }
                }
            };
            self.end(Some(fault));
            return Poll::Ready(Some(Err(fault)));
        }
    }
}

impl hyper::body::Body for Upload {
    type Data = Bytes;
    type Error = Fault;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Fault>>> {
        let Some(coming) = &mut self.0 else { return Poll::Ready(None) };
        if !coming.here.is_empty() {
            let here = std::mem::take(&mut coming.here);
            return Poll::Ready(Some(Ok(Frame::data(here))));
        }
        coming.poll_piece(cx).map(|piece| piece.map(|piece| piece.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        let has_ended = |coming: &Coming| {
            coming.here.is_empty() && coming.inner.as_ref().is_none_or(Incoming::is_end_stream)
        };
        self.0.as_deref().is_none_or(has_ended)
    }

    fn size_hint(&self) -> SizeHint {
        let Some(coming) = &self.0 else { return SizeHint::with_exact(0) };
        let here = coming.here.len() as u64;
        let rest = coming.inner.as_ref().map_or_else(|| SizeHint::with_exact(0), Incoming::size_hint);
        let mut hint = SizeHint::new();
        hint.set_lower(here + rest.lower());
        if let Some(upper) = rest.upper() {
            hint.set_upper(here + upper);
        }
        hint
    }
}

impl Drop for Coming {
    fn drop(&mut self) {
        // hyper does not ask again once it has all bytes of a known length.
        self.end(None);
    }
}
