//! The application's body on its way to the client: streamed piece by piece, with limits on silence (H06).
//!
//! It gives the connection back when it was read to its clean end (H07), and sends on what is left of a request that was answered before its
//! end. Trust boundary: the application may be hostile; what it does wrong ends its own answer.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use super::BodyError;
use super::leash::{Held, Leash};
use super::pool::Lease;
use super::rest;
use super::sending::{SendError, Sending};
use super::silence::Silence;
use crate::http::decoder::Decoder;

/// How long an application may be silent that waits for the rest of a request which will not come: what it says of that arrives.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// An answer's body.
pub struct AnswerBody {
    decoder: Decoder,
    lease: Option<Lease>,
    /// Whether the connection may be used again.
    keeps: bool,
    /// What is still to be sent of the request.
    sending: Option<Box<Sending>>,
    stall: Duration,
    silence: Silence,
    held: Option<Held>,
    /// What is told the next time: what came before it is to leave first.
    failed: Option<BodyError>,
}

impl AnswerBody {
    pub(super) fn new(
        decoder: Decoder,
        (lease, keeps): (Lease, bool),
        sending: Option<Box<Sending>>,
        stall: Duration,
    ) -> Self {
        let (silence, lease) = (Silence::new(stall), Some(lease));
        let mut body = Self { decoder, lease, keeps, sending, stall, silence, held: None, failed: None };
        // A rest is sent on when it is known what holds it.
        if body.decoder.is_done() && body.sending.is_none() {
            body.finish();
        }
        body
    }

    /// No body, and no connection behind it.
    pub(super) fn empty() -> Self {
        let stall = Duration::ZERO;
        let silence = Silence::new(stall);
        Self {
            decoder: Decoder::Done,
            lease: None,
            keeps: false,
            sending: None,
            stall,
            silence,
            held: None,
            failed: None,
        }
    }

    /// The same body, which breaks off when `leash` does not hold any more.
    #[must_use]
    pub fn on(mut self, leash: Arc<dyn Leash>) -> Self {
        self.held = Some(Held::by(leash));
        self
    }

    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        let Some(connection) = self.lease.as_mut().and_then(Lease::connection) else {
            let broken = Some(Err(BodyError::Broken)).filter(|_| !self.decoder.is_done());
            return Poll::Ready(broken);
        };
        if let Some(sending) = &mut self.sending {
            let before = sending.sent();
            if let Poll::Ready(sent) = sending.poll(&mut connection.socket, context) {
                self.keeps &= sent.is_ok();
                self.sending = None;
                match sent {
                    Err(SendError::Body(_)) => self.silence = Silence::new(self.stall.min(LAST_WORDS)),
                    // From here on the application is waited for. Whoever answers early need not take the rest; what counts is the answer.
                    Ok(()) | Err(SendError::Socket) => self.silence.broken(),
                }
            } else if sending.sent() != before || sending.waits_for_client() {
                // An application that still takes the request is not silent; a client that sends nothing has a limit of its own.
                self.silence.broken();
            }
        }
        let data = ready!(connection.poll_data(&mut self.decoder, context));
        Poll::Ready(data.map(|data| data.map_err(|_| BodyError::Broken)))
    }

    /// Breaks off, at the next poll: a server drops what it has not written yet when a body fails. The connection is not used again.
    fn fail(&mut self, error: BodyError, context: &Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        (self.lease, self.sending) = (None, None);
        self.failed = Some(error);
        context.waker().wake_by_ref();
        Poll::Pending
    }

    fn finish(&mut self) {
        let Some(lease) = self.lease.take().filter(|_| self.keeps) else { return };
        match self.sending.take() {
            None => lease.give_back(),
            Some(sending) => rest::send(sending, lease, self.stall, self.held.take()),
        }
    }
}

impl Drop for AnswerBody {
    fn drop(&mut self) {
        // Nobody asks for the body of an answer that has none.
        if self.decoder.is_done() {
            self.finish();
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
        let this = &mut *self;
        if let Some(error) = this.failed {
            return Poll::Ready(Some(Err(error)));
        }
        let data = match this.poll_data(context) {
            Poll::Ready(data) => data,
            Poll::Pending => {
                let error = ready!(this.silence.poll_over(context, this.held.as_mut()));
                return this.fail(error, context);
            }
        };
        this.silence.broken();
        match data {
            None => {
                this.finish();
                Poll::Ready(None)
            }
            Some(Err(error)) => this.fail(error, context),
            Some(Ok(data)) if this.held.as_mut().is_some_and(|held| !held.passed(data.len())) => {
                this.fail(BodyError::Recalled, context)
            }
            Some(Ok(data)) => {
                if this.decoder.is_done() {
                    this.finish();
                }
                Poll::Ready(Some(Ok(Frame::data(data))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.decoder.is_done()
    }

    fn size_hint(&self) -> SizeHint {
        match self.decoder {
            Decoder::Length(left) => SizeHint::with_exact(left),
            Decoder::Done => SizeHint::with_exact(0),
            Decoder::Chunked { .. } | Decoder::UntilClose => SizeHint::default(),
        }
    }
}
