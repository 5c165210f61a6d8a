//! A client's body on its way to the application: streamed piece by piece, with limits on size and silence (H06).
//!
//! No timer is made for a body that comes without a pause. Trailers are dropped (S04).
//! Trust boundary: the client is a stranger; what it does wrong ends its own request.

use std::any::Any;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};

use super::UpstreamError;
use super::silence::Silence;
use super::tunnel::Upgrade;
use crate::forward::BodyLength;

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
    /// Whoever asked may not have it any more.
    Recalled,
}

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLarge => "the body is larger than allowed",
            Self::Stalled => "the body stalled",
            Self::Broken => "the body broke off",
            Self::Recalled => "the session is over",
        })
    }
}

impl std::error::Error for BodyError {}

/// A client's body as the server reads it.
type Incoming = Pin<Box<dyn Body<Data = Bytes, Error = BodyError> + Send>>;

/// What a client sends behind a request's head.
#[derive(Default)]
pub struct ClientBody {
    /// None: nothing comes.
    body: Option<Incoming>,
    /// Where the client would speak another protocol.
    upgrade: Option<Upgrade>,
}

impl ClientBody {
    /// A body that comes; one that is over already is none.
    pub fn new(body: impl Body<Data = Bytes, Error = BodyError> + Send + 'static) -> Self {
        Self { body: (!body.is_end_stream()).then(|| Box::pin(body) as Incoming), upgrade: None }
    }

    /// The same, from a client that would speak another protocol.
    #[must_use]
    pub fn upgrading(self, upgrade: Upgrade) -> Self {
        Self { upgrade: Some(upgrade), ..self }
    }

    /// The client's connection, where it would speak another protocol; once.
    pub fn take_upgrade(&mut self) -> Option<Upgrade> {
        self.upgrade.take()
    }

    /// Whether nothing comes.
    pub fn is_empty(&self) -> bool {
        self.body.as_ref().is_none_or(|body| body.size_hint().exact() == Some(0))
    }

    /// The fewest bytes that may come.
    pub fn at_least(&self) -> u64 {
        self.body.as_ref().map_or(0, |body| body.size_hint().lower())
    }

    /// All of it.
    ///
    /// # Errors
    ///
    /// [`BodyError::TooLarge`] above `most` bytes, others where it breaks off.
    pub async fn read(self, most: usize) -> Result<Bytes, BodyError> {
        let Some(body) = self.body else { return Ok(Bytes::new()) };
        match Limited::new(body, most).collect().await {
            Ok(collected) => Ok(collected.to_bytes()),
            Err(error) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge),
            Err(_) => Err(BodyError::Broken),
        }
    }
}

/// How far a client's body has come; shared with whoever waits for the answer.
#[derive(Debug, Default)]
pub struct BodyProgress {
    bytes: AtomicU64,
    state: AtomicU8,
}

const TOO_LARGE: u8 = 1;
const STALLED: u8 = 2;
const BROKEN: u8 = 3;

impl BodyProgress {
    /// Bytes that went on to the application so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// The reason code of what was wrong with the body, if anything was.
    pub fn reason(&self) -> Option<&'static str> {
        self.failure().map(|failure| UpstreamError::from(failure).code())
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
pub struct RequestBody {
    carried: Carried,
    /// What lasts as long as it does.
    _kept: Option<Arc<dyn Any + Send + Sync>>,
}

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
        Self { carried: Carried::Nothing, _kept: None }
    }

    /// A body that is there already; also returns where to look for its progress.
    pub fn whole(bytes: Bytes) -> (Self, Option<Arc<BodyProgress>>) {
        if bytes.is_empty() {
            return (Self::empty(), None);
        }
        let progress = Arc::new(BodyProgress::default());
        (Self { carried: Carried::Whole(bytes, Arc::clone(&progress)), _kept: None }, Some(progress))
    }

    /// Wraps what the server reads; also returns where to look for its progress, unless there is no body.
    pub fn new(body: ClientBody, limits: BodyLimits) -> (Self, Option<Arc<BodyProgress>>) {
        let Some(inner) = body.body else { return (Self::empty(), None) };
        let progress = Arc::new(BodyProgress::default());
        let shared = Arc::clone(&progress);
        let stream = Streaming { inner, limits, silence: Silence::new(limits.stall), progress };
        (Self { carried: Carried::Stream(Box::new(stream)), _kept: None }, Some(shared))
    }

    /// The same body; `kept` is held until it was sent, which may be after the answer.
    #[must_use]
    pub fn keeping(self, kept: Option<Arc<dyn Any + Send + Sync>>) -> Self {
        Self { _kept: kept, ..self }
    }

    /// How long it is.
    pub fn length(&self) -> BodyLength {
        match &self.carried {
            Carried::Nothing => BodyLength::Nothing,
            Carried::Stream(body) => body.inner.size_hint().exact().map_or(BodyLength::Chunked, BodyLength::Known),
            Carried::Whole(bytes, _) => BodyLength::Known(bytes.len() as u64),
        }
    }

    /// The next piece; trailers are passed over.
    pub(super) fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        match &mut self.carried {
            Carried::Nothing => Poll::Ready(None),
            Carried::Stream(body) => body.poll_data(context),
            Carried::Whole(bytes, _) if bytes.is_empty() => Poll::Ready(None),
            Carried::Whole(bytes, progress) => {
                let bytes = std::mem::take(bytes);
                progress.bytes.store(bytes.len() as u64, Ordering::Relaxed);
                Poll::Ready(Some(Ok(bytes)))
            }
        }
    }
}

impl Streaming {
    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let data = match poll_data(&mut self.inner, context) {
            Poll::Ready(data) => data,
            Poll::Pending => {
                ready!(self.silence.poll_over(context, None));
                return self.fail(STALLED, BodyError::Stalled);
            }
        };
        self.silence.broken();
        match data {
            None => Poll::Ready(None),
            Some(Err(_)) => self.fail(BROKEN, BodyError::Broken),
            Some(Ok(data)) => {
                let length = data.len() as u64;
                let sent = self.progress.bytes.fetch_add(length, Ordering::Relaxed) + length;
                if sent > self.limits.size {
                    return self.fail(TOO_LARGE, BodyError::TooLarge);
                }
                Poll::Ready(Some(Ok(data)))
            }
        }
    }

    fn fail(&self, state: u8, error: BodyError) -> Poll<Option<Result<Bytes, BodyError>>> {
        self.progress.set(state);
        Poll::Ready(Some(Err(error)))
    }
}

/// The next piece of data; trailers are passed over.
fn poll_data(inner: &mut Incoming, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
    loop {
        match ready!(inner.as_mut().poll_frame(context)) {
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
