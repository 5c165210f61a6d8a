//! One connection on HTTP/1.1: its stream, and what was read of it and is not used yet.
//!
//! The connection's task owns it; the body of the request under way reads from it too, in whatever task that is. So it is behind a lock
//! that is never held for longer than one poll. Only one of them reads at a time: the connection does not while there is a body to come.
//!
//! May touch: the stream and its watch. Trust boundary: what is read is a stranger's; heads and bodies are checked before anybody sees them.
//! Bounds: `limits.header_bytes` and one read more for a head, [`ReadAhead`]'s for a body. Specification: RFC 9112, RFC 9110 section 10.1.1.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Bytes, BytesMut};
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::config::Limits;
use crate::http::decoder::Decoder;
use crate::http::request::{Arrived, HeadReader, UnreadableHead};
use crate::server::watch::Watch;
use crate::socket::{Outbox, ReadAhead};
use crate::upstream::BodyError;

const CONTINUE: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
/// Bytes of a body that nobody wants which are thrown away at the most, so that the connection can be used again.
const UNWANTED: usize = 256 << 10;

/// A connection.
pub(super) struct Wire<S> {
    stream: S,
    watch: Arc<Watch>,
    read: ReadAhead,
    heads: HeadReader,
    /// What is left of the body of the request under way.
    body: Decoder,
    /// Whose body it is: counts the bodies of the connection.
    number: u64,
    /// Whether somebody may still read it, or holds what was read of it.
    wanted: bool,
    broken: bool,
    /// Whether the client has left in the middle of a body.
    left: bool,
    /// What is to be written before more of the body is read: the client waits for it.
    go_on: &'static [u8],
    /// Whoever waits for the body's end.
    waiting: Option<Waker>,
    /// Whether whoever writes an answer waits for the client to take it; the stream wakes one writer only.
    blocked: bool,
}

/// A connection, shared with the body under way.
pub(super) struct Shared<S>(Arc<Mutex<Wire<S>>>);

impl<S> Shared<S> {
    pub(super) fn new(stream: S, watch: Arc<Watch>, limits: &Limits) -> Self {
        let wire = Wire {
            stream,
            watch,
            read: ReadAhead::default(),
            heads: HeadReader::new(limits.header_bytes, limits.header_count),
            body: Decoder::Done,
            number: 0,
            wanted: false,
            broken: false,
            left: false,
            go_on: b"",
            waiting: None,
            blocked: false,
        };
        Self(Arc::new(Mutex::new(wire)))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Wire<S>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The stream, and what was read of it, when nobody else has a part in the connection.
    pub(super) fn into_parts(self) -> Option<(S, BytesMut)> {
        let wire = Arc::into_inner(self.0)?.into_inner().unwrap_or_else(PoisonError::into_inner);
        Some((wire.stream, wire.read.bytes))
    }

    /// The body of a request whose head was just taken.
    pub(super) fn body(&self, body: Decoder, expects_continue: bool) -> Body<S> {
        let mut wire = self.lock();
        wire.wanted = !body.is_done();
        wire.body = body;
        wire.number += 1;
        let number = wire.number;
        // Who has sent something of the body waits for nothing.
        wire.go_on = if expects_continue && wire.read.bytes.is_empty() { CONTINUE } else { b"" };
        drop(wire);
        Body { wire: Self(Arc::clone(&self.0)), number }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    /// The next request's head; none when there will be no more.
    pub(super) fn poll_head(&mut self, context: &mut Context<'_>) -> Poll<Result<Option<Arrived>, UnreadableHead>> {
        if self.read.bytes.is_empty() {
            // Nobody holds a part of the last head any more, so its room is used again.
            self.read.make_room();
        }
        loop {
            if let Some(arrived) = self.heads.take(&mut self.read.bytes)? {
                return Poll::Ready(Ok(Some(arrived)));
            }
            // Empty lines begin no request, wherever they are cut.
            if !matches!(*self.read.bytes, [] | [b'\r']) {
                self.watch.begins_head();
            }
            let between = self.read.bytes.is_empty();
            match self.poll_more(context) {
                Poll::Ready(Ok(1..)) => {}
                // Half a head is none, and nobody is there who would read what is said of it.
                Poll::Ready(Ok(0) | Err(_)) => return Poll::Ready(Ok(None)),
                Poll::Pending if between && self.watch.is_finishing() && !self.watch.awaits_first_byte() => {
                    return Poll::Ready(Ok(None));
                }
                Poll::Pending => {
                    self.watch.is_between(between);
                    return Poll::Pending;
                }
            }
        }
    }

    /// Ready when the client has left while it is answered. What it sends meanwhile is the next request's; of that no more is read than
    /// what comes at once.
    pub(super) fn poll_left(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.left {
            return Poll::Ready(());
        }
        if !self.body.is_done() || !self.read.bytes.is_empty() {
            return Poll::Pending;
        }
        self.read.expect(Some(0));
        match self.poll_more(context) {
            Poll::Ready(Ok(0) | Err(_)) => Poll::Ready(()),
            Poll::Ready(Ok(_)) | Poll::Pending => Poll::Pending,
        }
    }

    /// Ready when nobody has a part in the body of the last request any more; whether it was read to its end. A body that was read and is not
    /// let go of is not over: its last piece may still wait for the application, and the next request's body would be read as its.
    pub(super) fn poll_body_over(&mut self, context: &mut Context<'_>) -> Poll<bool> {
        if self.wanted && !self.broken {
            self.waiting = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(!self.broken && self.throw_away(context))
    }

    /// Whether the body was read to its end, or may still be, or is thrown away.
    pub(super) fn may_go_on(&mut self, context: &mut Context<'_>) -> bool {
        // The answer says more than that one may go on.
        self.forget_go_on();
        !self.broken && (self.wanted || self.throw_away(context))
    }

    /// Throws away what has come of a body that nobody wants; whether that was all.
    fn throw_away(&mut self, context: &mut Context<'_>) -> bool {
        let mut left = UNWANTED;
        while !self.body.is_done() {
            match self.body.take(&mut self.read.bytes) {
                Ok(Some(data)) if data.len() <= left => left -= data.len(),
                Ok(None) if self.body.is_done() => {}
                Ok(None) if matches!(self.poll_more(context), Poll::Ready(Ok(1..))) => {}
                Ok(_) | Err(_) => return false,
            }
        }
        true
    }

    /// The body's next piece; none at its end.
    fn poll_body(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            match self.body.take(&mut self.read.bytes) {
                Ok(Some(data)) => return Poll::Ready(Some(Ok(data))),
                Ok(None) if self.body.is_done() => return Poll::Ready(None),
                Ok(None) => {}
                Err(_) => return self.break_off(),
            }
            // An answer that waits to be written says the rest of what was begun, too.
            if !self.blocked && ready!(self.poll_go_on(context)).is_err() {
                return self.leave();
            }
            self.read.expect(self.body.expected());
            match ready!(self.poll_more(context)) {
                Ok(1..) => self.forget_go_on(),
                Ok(0) | Err(_) => return self.leave(),
            }
        }
    }

    fn leave(&mut self) -> Poll<Option<Result<Bytes, BodyError>>> {
        self.left = true;
        self.break_off()
    }

    fn break_off(&mut self) -> Poll<Option<Result<Bytes, BodyError>>> {
        self.broken = true;
        Poll::Ready(Some(Err(BodyError::Broken)))
    }

    /// Does not tell the client to go on; what was begun is said to its end.
    fn forget_go_on(&mut self) {
        if self.go_on.len() == CONTINUE.len() {
            self.go_on = b"";
        }
    }

    /// Tells a client that waits for it to go on.
    fn poll_go_on(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.go_on.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while !self.go_on.is_empty() {
            let written = ready!(Pin::new(&mut self.stream).poll_write(context, self.go_on))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.go_on = self.go_on.get(written..).unwrap_or_default();
        }
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_more(&mut self, context: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Poll::Ready(more) = self.read.poll_more(&mut self.stream, context) else {
            // A TLS session may have something to say to what it read, and waits with it until somebody writes. An answer that waits to be
            // written will; to flush in its place would have the stream wake the reader, and not it.
            if !self.blocked {
                let _ = Pin::new(&mut self.stream).poll_flush(context)?;
            }
            return Poll::Pending;
        };
        let more = more?;
        if more > 0 {
            self.watch.is_between(false);
        }
        Poll::Ready(Ok(more))
    }

    /// Writes what is in the outbox.
    pub(super) fn poll_write(&mut self, outbox: &mut Outbox, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let written = match self.poll_go_on(context) {
            Poll::Ready(Ok(())) => outbox.poll_write(&mut self.stream, context),
            other => other,
        };
        self.blocked = written.is_pending();
        written
    }

    /// Writes what waits within a TLS session.
    pub(super) fn poll_flush(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.blocked = flushed.is_pending();
        flushed
    }
}

/// The body of one request. One that is held for longer than its request reads nothing of the next one's: it breaks off.
pub(super) struct Body<S> {
    wire: Shared<S>,
    number: u64,
}

impl<S> Body<S> {
    /// The connection, while this is the body under way.
    fn wire(&self) -> Option<MutexGuard<'_, Wire<S>>> {
        Some(self.wire.lock()).filter(|wire| wire.number == self.number)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> http_body::Body for Body<S> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(mut wire) = self.wire() else { return Poll::Ready(Some(Err(BodyError::Broken))) };
        let polled = wire.poll_body(context);
        wire.tell_whoever_waits();
        polled.map(|data| data.map(|data| data.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.wire().is_some_and(|wire| wire.body.is_done())
    }

    fn size_hint(&self) -> SizeHint {
        let Some(wire) = self.wire() else { return SizeHint::default() };
        match wire.body {
            Decoder::Length(left) => SizeHint::with_exact(left),
            Decoder::Done => SizeHint::with_exact(0),
            Decoder::Chunked { .. } | Decoder::UntilClose => SizeHint::default(),
        }
    }
}

impl<S> Drop for Body<S> {
    fn drop(&mut self) {
        let Some(mut wire) = self.wire() else { return };
        wire.wanted = false;
        wire.tell_whoever_waits();
    }
}

impl<S> Wire<S> {
    /// Wakes who waits for the body's end, when that has come.
    fn tell_whoever_waits(&mut self) {
        if (self.broken || !self.wanted)
            && let Some(waiting) = self.waiting.take()
        {
            waiting.wake();
        }
    }
}

#[cfg(test)]
mod tests;
