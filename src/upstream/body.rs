//! Bodies on their way: streamed frame by frame in both directions, with limits on size and silence (H06).
//!
//! No timer is made for a body that comes without a pause. Trailers are dropped in both directions (S04).
//! Trust boundary: both ends are strangers; what one does wrong ends its own request.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep};

use super::pool::Lease;

/// What a client's body may be.
#[derive(Clone, Copy, Debug)]
pub struct BodyLimits {
    /// Bytes in all.
    pub size: u64,
    /// Silence between two pieces.
    pub stall: Duration,
}

/// Why a body ended before its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BodyError {
    /// More bytes than allowed.
    TooLarge,
    /// Nothing came for too long.
    Stalled,
    /// The connection or its framing broke.
    Broken,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "the body is larger than allowed",
            Self::Stalled => "the body stalled",
            Self::Broken => "the body broke off",
        })
    }
}

impl std::error::Error for BodyError {}

/// How far a client's body has come; shared with whoever waits for the answer.
#[derive(Debug, Default)]
pub struct BodyProgress {
    bytes: AtomicU64,
    state: AtomicU8,
}

const FINISHED: u8 = 1;
const TOO_LARGE: u8 = 2;
const STALLED: u8 = 3;
const BROKEN: u8 = 4;

impl BodyProgress {
    /// Bytes that went on to the application so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Whether the body was sent to its end.
    pub(super) fn is_finished(&self) -> bool {
        self.state.load(Ordering::Relaxed) == FINISHED
    }

    /// What was wrong with the body, if anything was.
    pub(super) fn failure(&self) -> Option<BodyError> {
        match self.state.load(Ordering::Relaxed) {
            TOO_LARGE => Some(BodyError::TooLarge),
            STALLED => Some(BodyError::Stalled),
            BROKEN => Some(BodyError::Broken),
            _ => None,
        }
    }

    fn set(&self, state: u8) {
        self.state.store(state, Ordering::Relaxed);
    }
}

/// A client's body on its way to the application.
pub struct RequestBody(Carried);

enum Carried {
    Nothing,
    Stream(Box<Streaming>),
    /// Read before; gone once it was sent.
    Whole(Bytes, Arc<BodyProgress>),
}

struct Streaming {
    inner: Incoming,
    limits: BodyLimits,
    silence: Silence,
    progress: Arc<BodyProgress>,
}

impl RequestBody {
    /// No body.
    pub const fn empty() -> Self {
        Self(Carried::Nothing)
    }

    /// A body that is there already; also returns where to look for its progress.
    pub fn whole(bytes: Bytes) -> (Self, Option<Arc<BodyProgress>>) {
        if bytes.is_empty() {
            return (Self::empty(), None);
        }
        let progress = Arc::new(BodyProgress::default());
        (Self(Carried::Whole(bytes, Arc::clone(&progress))), Some(progress))
    }

    /// Wraps what the server reads; also returns where to look for its progress, unless there is no body.
    pub fn new(inner: Incoming, limits: BodyLimits) -> (Self, Option<Arc<BodyProgress>>) {
        if inner.is_end_stream() {
            return (Self::empty(), None);
        }
        let progress = Arc::new(BodyProgress::default());
        let shared = Arc::clone(&progress);
        let stream = Streaming { inner, limits, silence: Silence::new(limits.stall), progress };
        (Self(Carried::Stream(Box::new(stream))), Some(shared))
    }

    /// Whether there is a body.
    pub const fn is_empty(&self) -> bool {
        matches!(self.0, Carried::Nothing)
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        match &mut self.0 {
            Carried::Nothing => Poll::Ready(None),
            Carried::Stream(body) => body.poll_frame(context),
            Carried::Whole(bytes, _) if bytes.is_empty() => Poll::Ready(None),
            Carried::Whole(bytes, progress) => {
                let bytes = std::mem::take(bytes);
                progress.bytes.store(bytes.len() as u64, Ordering::Relaxed);
                progress.set(FINISHED);
                Poll::Ready(Some(Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Carried::Nothing => true,
            Carried::Stream(body) => body.inner.is_end_stream(),
            Carried::Whole(bytes, _) => bytes.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Carried::Nothing => SizeHint::with_exact(0),
            Carried::Stream(body) => body.inner.size_hint(),
            Carried::Whole(bytes, _) => SizeHint::with_exact(bytes.len() as u64),
        }
    }
}

impl Streaming {
    fn poll_frame(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let data = match poll_data(&mut self.inner, context) {
            Poll::Ready(data) => data,
            Poll::Pending => {
                ready!(self.silence.poll_over(context));
                return self.fail(STALLED, BodyError::Stalled);
            }
        };
        self.silence.broken();
        match data {
            None => {
                self.progress.set(FINISHED);
                Poll::Ready(None)
            }
            Some(Err(_)) => self.fail(BROKEN, BodyError::Broken),
            Some(Ok(data)) => {
                let length = data.len() as u64;
                let sent = self.progress.bytes.fetch_add(length, Ordering::Relaxed) + length;
                if sent > self.limits.size {
                    return self.fail(TOO_LARGE, BodyError::TooLarge);
                }
                if self.inner.is_end_stream() {
                    self.progress.set(FINISHED);
                }
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
        }
    }

    fn fail(&self, state: u8, error: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.progress.set(state);
        Poll::Ready(Some(Err(error)))
    }
}

/// The application's body on its way to the client; gives the connection back when it was read to its end.
pub struct AnswerBody {
    inner: Incoming,
    lease: Option<Lease>,
    silence: Silence,
}

impl AnswerBody {
    pub(super) fn new(inner: Incoming, lease: Option<Lease>, stall: Duration) -> Self {
        let mut body = Self { inner, lease, silence: Silence::new(stall) };
        if body.inner.is_end_stream() {
            body.finish();
        }
        body
    }

    fn finish(&mut self) {
        if let Some(lease) = self.lease.take() {
            lease.give_back();
        }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let data = match poll_data(&mut self.inner, context) {
            Poll::Ready(data) => data,
            Poll::Pending => {
                ready!(self.silence.poll_over(context));
                self.lease = None;
                return Poll::Ready(Some(Err(BodyError::Stalled)));
            }
        };
        self.silence.broken();
        match data {
            None => {
                self.finish();
                Poll::Ready(None)
            }
            Some(Err(_)) => {
                self.lease = None;
                Poll::Ready(Some(Err(BodyError::Broken)))
            }
            Some(Ok(data)) => {
                if self.inner.is_end_stream() {
                    self.finish();
                }
                Poll::Ready(Some(Ok(Frame::data(data))))
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

/// The next piece of data; trailers are passed over.
fn poll_data(inner: &mut Incoming, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, hyper::Error>>> {
    loop {
        match ready!(Pin::new(&mut *inner).poll_frame(context)) {
            None => return Poll::Ready(None),
            Some(Err(error)) => return Poll::Ready(Some(Err(error))),
            Some(Ok(frame)) => {
                if let Ok(data) = frame.into_data() {
                    return Poll::Ready(Some(Ok(data)));
                }
            }
        }
    }
}

/// Notices when nothing comes for too long; a timer exists only once something had to be waited for.
struct Silence {
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl Silence {
    const fn new(limit: Duration) -> Self {
        Self { limit, timer: None, waiting: false }
    }

    /// Something came.
    const fn broken(&mut self) {
        self.waiting = false;
    }

    /// Nothing is there: ready once the silence has lasted too long.
    fn poll_over(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let limit = self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(limit)));
        if !self.waiting {
            self.waiting = true;
            timer.as_mut().reset(Instant::now() + limit);
        }
        timer.as_mut().poll(context)
    }
}
