//! What clients send on HTTP/2, as the gateway takes it: whole or broken, and counted while it lives.
//!
//! hyper takes a stream that was reset with NO_ERROR for one that has ended, and what came of it for all there is. Only END_STREAM says that
//! (RFC 9113 section 8.1).

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

use super::watch::InFlight;
use crate::upstream::BodyError;

/// A body; while it lives, its connection is not idle.
pub(super) struct Upload {
    body: Incoming,
    _in_flight: InFlight,
}

impl Upload {
    pub(super) fn new(body: Incoming, in_flight: InFlight) -> Self {
        Self { body, _in_flight: in_flight }
    }
}

impl http_body::Body for Upload {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        Poll::Ready(match ready!(Pin::new(&mut self.body).poll_frame(context)) {
            Some(Ok(frame)) => Some(Ok(frame)),
            None if self.body.is_end_stream() => None,
            None | Some(Err(_)) => Some(Err(BodyError::Broken)),
        })
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
