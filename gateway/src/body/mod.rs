//! Bodies in both directions: of answers here, of requests in `upload`. They are never collected: one piece is taken when the
//! other side can take it.

mod upload;

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use common::stop::Stop;
use futures::future::BoxFuture;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use rand::Rng as _;
use tokio::time::{Instant, Sleep, sleep_until};

pub use upload::{Fault, Progress, Upload};

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
