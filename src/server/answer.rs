//! Bodies as hyper gives and takes them: whole or broken, counted while they live, and on HTTP/2 taken back from a client that does not take them.
//!
//! On HTTP/1.1 a client that reads nothing blocks the socket, which the watchman sees. On HTTP/2 it shuts one stream's window while the
//! socket goes on, and hyper does not ask for the body meanwhile; so each body notes since when it is the client's turn. Taking it back
//! lets go of the application; the stream itself is left to the client and ends with its connection (D01).

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

use super::watch::{InFlight, Watch};
use crate::gateway::Body;
use crate::http::frame_guard::worth_of_answer;
use crate::upstream::BodyError;

/// A body; while it lives, its connection is not idle.
pub(super) struct Counted<B> {
    body: B,
    _in_flight: InFlight,
}

impl<B> Counted<B> {
    pub(super) fn new(body: B, in_flight: InFlight) -> Self {
        Self { body, _in_flight: in_flight }
    }
}

impl<B: http_body::Body<Data = Bytes, Error = BodyError> + Unpin> http_body::Body for Counted<B> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// What a client sends on HTTP/2: it is over only where the client has said so.
///
/// hyper takes a stream that was reset with NO_ERROR for one that has ended, and what came of it for all there is. Only END_STREAM says
/// that (RFC 9113 section 8.1).
pub(super) struct Upload(Incoming);

impl Upload {
    pub(super) fn new(body: Incoming) -> Self {
        Self(body)
    }
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(match ready!(Pin::new(&mut self.0).poll_frame(context)) {
            None if self.0.is_end_stream() => None,
            Some(Ok(frame)) => Some(Ok(frame)),
            None | Some(Err(_)) => Some(Err(BodyError::Broken)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.size_hint()
    }
}

/// A body on HTTP/2.
pub(super) struct Offered {
    offer: Arc<Mutex<Offer>>,
    watch: Arc<Watch>,
}

/// What the watchman may take back.
pub(super) struct Offer {
    /// Two pointers, so what stays of a finished offer until the next look is small.
    body: Option<Counted<Body>>,
    /// The tick since when it is the client's turn.
    since: Option<u64>,
}

impl Offered {
    /// Offers `body` to the client of the connection that `watch` is for.
    pub(super) fn new(body: Counted<Body>, watch: &Arc<Watch>) -> Self {
        let offer = Arc::new(Mutex::new(Offer { body: Some(body), since: Some(watch.now()) }));
        watch.offered(Arc::downgrade(&offer));
        Self { offer, watch: Arc::clone(watch) }
    }
}

impl http_body::Body for Offered {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut offer = self.offer.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(body) = &mut offer.body else { return Poll::Ready(Some(Err(BodyError::Stalled))) };
        let polled = Pin::new(body).poll_frame(context);
        offer.since = polled.is_ready().then(|| self.watch.now());
        if let Poll::Ready(Some(Ok(frame))) = &polled {
            self.watch.earned(worth_of_answer(frame.data_ref().map_or(0, Bytes::len)));
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        let offer = self.offer.lock().unwrap_or_else(PoisonError::into_inner);
        offer.body.as_ref().is_some_and(http_body::Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let offer = self.offer.lock().unwrap_or_else(PoisonError::into_inner);
        offer.body.as_ref().map(http_body::Body::size_hint).unwrap_or_default()
    }
}

/// Takes back what has been the client's turn for longer than `over` allows; forgets what is gone. Returns how many were taken back.
pub(super) fn take_back(offers: &mut Vec<Weak<Mutex<Offer>>>, over: impl Fn(u64) -> bool) -> usize {
    let mut taken = 0;
    offers.retain(|offer| {
        let Some(offer) = offer.upgrade() else { return false };
        let mut offer = offer.lock().unwrap_or_else(PoisonError::into_inner);
        if !offer.since.is_some_and(&over) {
            return true;
        }
        taken += usize::from(offer.body.take().is_some());
        false
    });
    taken
}
