//! Bodies in both directions. They are never collected: one piece is taken when the other side can take it.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use common::stop::Stop;
use futures::future::BoxFuture;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use rand::Rng as _;
use tokio::time::{Instant, Sleep, sleep, sleep_until};

use crate::browser::Squeezed;
use crate::socket::Busy;

/// What breaks a body off.
pub type Broken = Box<dyn std::error::Error + Send + Sync>;
/// The body of an answer.
pub type Body = UnsyncBoxBody<Bytes, Broken>;

/// An answer's body that is already here.
#[must_use]
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// How far a request's body has come; shared with the layers that wait meanwhile.
#[derive(Debug, Default)]
pub struct Progress(Mutex<State>);

#[derive(Debug, Default, Clone, Copy)]
struct State {
    ended: Option<Instant>,
    fault: Option<Fault>,
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
    /// The client went away, or its framing is wrong.
    #[error("the body broke off")]
    Unreadable,
}

impl Progress {
    fn state(&self) -> State {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, fault: Option<Fault>) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.ended.get_or_insert_with(Instant::now);
        state.fault = state.fault.or(fault);
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
                Poll::Pending => match &mut self.limits {
                    Some(limits) => {
                        ready!(limits.until.as_mut().poll(cx));
                        Fault::TooSlow
                    }
                    None => return Poll::Pending,
                },
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

/// The body of a service's answer. `held` is given back at its end.
pub struct Download<H: Held> {
    inner: Incoming,
    pause_max: Option<Duration>,
    pause: Option<Pin<Box<Sleep>>>,
    is_whole: bool,
    held: H,
}

/// What an answer holds until its end.
pub trait Held: Unpin {
    /// The answer has ended; `is_whole` when nothing is missing of it.
    fn end(&mut self, is_whole: bool);
}

impl<H: Held> Download<H> {
    /// A body that may pause for `pause_max`, when it has to come on at all.
    pub fn new(inner: Incoming, pause_max: Option<Duration>, held: H) -> Self {
        Self { inner, pause_max, pause: None, is_whole: false, held }
    }
}

impl<H: Held> Drop for Download<H> {
    fn drop(&mut self) {
        // hyper does not ask again once it has all bytes of a known length.
        let is_whole = self.is_whole || self.inner.is_end_stream();
        self.held.end(is_whole);
    }
}

impl<H: Held> hyper::body::Body for Download<H> {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        let this = &mut *self;
        loop {
            match Pin::new(&mut this.inner).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    this.pause = None;
                    if frame.is_data() {
                        return Poll::Ready(Some(Ok(frame)));
                    }
                }
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(error.into()))),
                Poll::Ready(None) => {
                    this.is_whole = true;
                    return Poll::Ready(None);
                }
                Poll::Pending => {
                    let Some(max) = this.pause_max else { return Poll::Pending };
                    let pause = this.pause.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + max)));
                    ready!(pause.as_mut().poll(cx));
                    return Poll::Ready(Some(Err("the service stopped in the middle of its answer".into())));
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// An event stream, which the gateway's own stop ends between two events, with the request to come again soon: to
/// whoever takes the gateway's place. Not all at once, so each is told another time.
pub struct Live {
    inner: Body,
    stop: BoxFuture<'static, ()>,
    /// Whether an event has just ended, or none has begun.
    is_between: bool,
    has_ended: bool,
}

/// Clients come again this much later, in ms.
const RETRY_MS: std::ops::Range<u32> = 500..3_000;

impl Live {
    /// `inner` until `stop`.
    pub fn new(inner: Body, stop: Stop) -> Self {
        let stop = Box::pin(async move { stop.stopped().await });
        Self { inner, stop, is_between: true, has_ended: false }
    }
}

impl hyper::body::Body for Live {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if self.has_ended {
            return Poll::Ready(None);
        }
        if self.is_between && self.stop.as_mut().poll(cx).is_ready() {
            self.has_ended = true;
            self.inner = full(Bytes::new());
            let last = format!("retry: {}\n\n", rand::rng().random_range(RETRY_MS));
            return Poll::Ready(Some(Ok(Frame::data(last.into()))));
        }
        let polled = ready!(Pin::new(&mut self.inner).poll_frame(cx));
        if let Some(Ok(frame)) = &polled
            && let Some(data) = frame.data_ref()
        {
            self.is_between = data.ends_with(b"\n\n") || data.ends_with(b"\r\n\r\n");
        }
        Poll::Ready(polled)
    }
}

/// The body of any answer, for which its connection is busy until it ends.
pub struct Reply {
    inner: Squeezed,
    _busy: Busy,
}

impl Reply {
    /// Holds `busy` for as long as `inner` lasts.
    pub fn new(inner: Squeezed, busy: Busy) -> Self {
        Self { inner, _busy: busy }
    }
}

impl hyper::body::Body for Reply {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
